"""Files of datasets in the cache of huggingface_hub, fetched where they are missing, and what the cache remembers."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client.patience import patiently
from ddgs_hub.core.hub_client.pinned import Pinned
from ddgs_hub.core.hub_client.refusals import reading
from ddgs_hub.core.tokens import given_token


def cached_commit(source: str, revision: str | None = None) -> str | None:
    """The commit that a revision of a dataset was at when its files were last asked for; None where it is not known."""
    if revision and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    refs = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=source, repo_type="dataset"), "refs")
    note = refs / (revision or constants.DEFAULT_REVISION)
    return note.read_text(encoding="utf-8").strip() if note.is_file() else None


def cached_model_commit(name: str, files: Iterable[str], revision: str | None = None) -> str | None:
    """The commit of a model of which one of these files was loaded into the cache; None where none was.

    Args:
        name: a Hub id; any other name has no commit.
        files: paths in the repository, of which a loaded model has one.
        revision: commit, tag or branch; None: the main branch.
    """
    for file in files:
        with suppress(HFValidationError):
            path = try_to_load_from_cache(name, file, revision=revision)
            if isinstance(path, str):
                return Path(path).parents[file.count("/")].name
    return None


def dataset_file(pinned: Pinned, path: str, revision: str | None = None) -> Path | None:
    """A file of a dataset, in the cache of huggingface_hub; None where the dataset has none of that name.

    Args:
        pinned: where it is read.
        path: in the repository.
        revision: that is at this commit; the cache notes it for `cached_commit`.

    Raises:
        InputError: the Hub refuses the file, or HF_HUB_OFFLINE is set and the cache does not say whether there is one.
        ConnectionLostError: the Hub does not answer.
    """
    if constants.HF_HUB_OFFLINE:
        cached = try_to_load_from_cache(pinned.id, path, revision=pinned.commit, repo_type="dataset")
        if cached is None and not cached_snapshot(pinned.id, pinned.commit):
            raise not_cached(pinned.id, pinned.commit)
        return Path(cached) if isinstance(cached, str) else None

    def fetch(at: str) -> Path:
        with _unhidden():
            return Path(hf_hub_download(pinned.id, path, repo_type="dataset", revision=at, token=given_token()))

    with reading(pinned.id):
        try:
            file = patiently(lambda: fetch(revision or constants.DEFAULT_REVISION))
            # The branch may have moved since it was pinned: all that is read is of one commit.
            return file if pinned.commit in file.parts else patiently(lambda: fetch(pinned.commit))
        except EntryNotFoundError:
            return None


def dataset_files(source: str, revision: str | None, patterns: Sequence[str], where: str) -> Path:
    """The folder in the cache of huggingface_hub with the files of a dataset that fit one of `patterns`.

    They are fetched by the name of the revision, so that the cache notes its commit, and HF_HUB_OFFLINE finds them by
    that name.

    Args:
        source: the Hub id.
        revision: a tag, a branch or a commit; None: the newest commit.
        patterns: of paths in the repository.
        where: what is read, for messages.

    Raises:
        InputError: HF_HUB_OFFLINE is set and some may be missing in the cache, or the Hub refuses them.
        ConnectionLostError: the Hub does not answer.
    """
    if constants.HF_HUB_OFFLINE:
        folder = cached_snapshot(source, revision, patterns)
        if folder is None:
            raise not_cached(source, revision)
        return folder

    def fetch() -> Path:
        with _unhidden():
            token, wanted = given_token(), list(patterns)
            return Path(
                snapshot_download(source, repo_type="dataset", revision=revision, allow_patterns=wanted, token=token)
            )

    with reading(where):
        return patiently(fetch)


@contextmanager
def _unhidden() -> Iterator[None]:
    """Raises why the Hub gave no answer, which the client hides behind a missing file."""
    try:
        yield
    except LocalEntryNotFoundError as error:
        raise error.__cause__ or error from None


def cached_snapshot(source: str, revision: str | None = None, patterns: Sequence[str] | None = None) -> Path | None:
    """The folder where the cache of huggingface_hub holds the files of a dataset; None where some may be missing.

    All of them, or those that fit one of `patterns`.
    """
    wanted = list(patterns) if patterns else None
    try:
        folder = Path(
            snapshot_download(
                source, repo_type="dataset", revision=revision, allow_patterns=wanted, local_files_only=True
            )
        )
    except (OSError, HFValidationError):  # LocalEntryNotFoundError, IncompleteSnapshotError
        return None
    # Only a whole download leaves a list of all files; without it, the folder may lack some.
    return folder if (folder.parents[1] / "trees" / f"{folder.name}.json").is_file() else None


def not_cached(source: str, revision: str | None, repo_type: str = "dataset") -> InputError:
    """The error if HF_HUB_OFFLINE is set and a dataset or a model is not in the caches."""
    at, option = (f" at revision '{revision}'", f" --revision {revision}") if revision else ("", "")
    advice = f"unset it, or fetch it before with `hf download --repo-type {repo_type} {source}{option}`"
    return InputError(f"HF_HUB_OFFLINE is set and {source}{at} is not in the cache: {advice}")
