import pytest
from huggingface_hub import HfApi
from stock_clients import DATA, PARQUET, commit


@pytest.fixture
def api(hub):
    """The client of alice, who writes to her own repositories and to those of acme."""
    hub.add_user("alice", "hf_alice", orgs=["acme"])
    hub.add_user("alice", "hf_alice_read", role="read", orgs=["acme"])
    hub.add_user("bob", "hf_bob")
    return HfApi(endpoint=hub.url, token="hf_alice")


@pytest.fixture
def rows(hub, api):
    """A dataset with a text file and an LFS file, in one commit of alice's."""
    api.create_repo(DATA, repo_type="dataset")
    commit(api, "first", {"notes.txt": b"one\n", "data/rows.parquet": PARQUET})
    return hub.repository("dataset", DATA)
