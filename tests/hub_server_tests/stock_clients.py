"""What the tests of the local Hub do with the real clients."""

from huggingface_hub import CommitOperationAdd, HfApi

DATA = "acme/rows"
PARQUET = b"PAR1" + bytes(range(256)) * 40 + b"PAR1"


def commit(api, message, files, **options):
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    return api.create_commit(DATA, operations, repo_type="dataset", commit_message=message, **options)


def client(hub, token):
    return HfApi(endpoint=hub.url, token=token)


def status_of(error):
    return error.value.response.status_code
