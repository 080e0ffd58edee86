"""What is on the Hub: found, allowed and pinned to a commit before any rows are read; else one sentence."""

import re
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from datasets.table import CastError
from huggingface_hub import (
    HfApi,
    constants,
    get_token,
    hf_hub_download,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import validate_repo_id

from ddgs_hub.core.errors import ConnectionLostError, InputError
from ddgs_hub.core.text import one_line
from ddgs_hub.core.tokens import given_token

T = TypeVar("T")
# What pyarrow raises for a file that is damaged, or was forged to do damage.
UNREADABLE = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError)
# What the client raises where the Hub says no (HfHubHTTPError) or nothing: a class of the HTTP library beneath.
NoAnswer: type[Exception] = HfHubHTTPError.__bases__[0]
NO_SERVER = "ConnectError"  # of a class of that library: nobody listens, or the name is unknown
WAITS = (1, 2, 4, 8)  # seconds between two tries, as huggingface_hub waits where it tries again by itself
LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


@dataclass(frozen=True)
class Pinned:
    """A dataset or a model at one state.

    Attributes:
        id: as the Hub spells it: `imagenet-1k` is ILSVRC/imagenet-1k.
        commit: 40 hexadecimal digits; of a local folder, where one is pinned, the fingerprint of its files.
        gated: who reads it has agreed to terms; False where nobody could be asked.
        license: as its card says it; None where it does not, or nobody could be asked.
    """

    id: str
    commit: str
    gated: bool = False
    license: str | None = None


def pin_dataset(source: str, revision: str | None = None) -> Pinned:
    """The commit that a revision of a dataset is at, where its files may be read; asks the Hub, downloads nothing.

    Raises:
        InputError: there is no such dataset or revision, it is private or gated, or the token is wrong.
        ConnectionLostError: the Hub cannot be reached.
    """
    return _pin(source, revision, "dataset")


def why_no_model(name: str, revision: str | None, error: Exception) -> str:
    """Why a model could not be had: what the Hub says of it, asked after the attempt, or else the error's first line.

    Not asked before: where the Hub cannot be reached, its clients take what is in their cache.
    """
    if not Path(name).exists():
        try:
            require_id(name, "model")
            if not constants.HF_HUB_OFFLINE:
                _pin(name, revision, "model")
            elif isinstance(error, LocalEntryNotFoundError):
                raise not_cached(name, revision, "model")
        except InputError as refused:
            return str(refused)
    return " ".join(str(error).strip().split("\n")[0].split())


def _pin(source: str, revision: str | None, repo_type: str) -> Pinned:
    token = given_token() or get_token()
    if token is not None and not (token.isascii() and token.isprintable()):  # the client's error would show it
        raise InputError(f"the token of the Hub has characters that no token has: {LOG_IN}")
    require_id(source, repo_type)
    api = HfApi(token=given_token())
    pages = f"{constants.ENDPOINT}/{constants.REPO_TYPES_URL_PREFIXES.get(repo_type, '')}"
    page = f"{pages}{source}"
    try:
        info = patiently(lambda: api.repo_info(source, revision=revision, repo_type=repo_type))
        page = f"{pages}{info.id}"
        patiently(lambda: api.auth_check(info.id, repo_type=repo_type))
    except GatedRepoError as error:
        granted = f"ask for access on {page}" if token else f"ask for access on {page} and {LOG_IN}"
        raise InputError(f"{source} is gated and this account has no access to it: {granted}") from error
    except RevisionNotFoundError as error:
        raise InputError(f"{source} has no revision '{revision}': those that it has are on {page}/tree/main") from error
    except RepositoryNotFoundError as error:
        hidden = "its token may not read it" if token else "it is private"
        advice = "use a token that may" if token else LOG_IN
        raise InputError(
            f"there is no {repo_type} {source} on {constants.ENDPOINT}, or {hidden}: correct the id, or {advice}"
        ) from error
    except (NoAnswer, ConnectionError) as error:
        raise _refused(error, source) from error
    card = getattr(info, "card_data", None) or {}
    license, gated = card.get("license"), bool(getattr(info, "gated", False))
    return Pinned(info.id, str(info.sha), gated, license if isinstance(license, str) else None)


def require_id(name: str, repo_type: str) -> None:
    """Raises an InputError where a name can be no id, whether or not the Hub can be asked."""
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        wanted = f"neither a folder nor the id of a Hub {repo_type}, such as name/{repo_type}"
        raise InputError(f"'{name}' is {wanted}") from error


def split_revision(spec: str) -> tuple[str, str | None]:
    """The id and the revision of `owner/name@revision`; without an `@` the revision is None, the newest commit.

    Raises:
        InputError: it is not of that form.
    """
    name, at, revision = spec.partition("@")
    if name.count("/") != 1 or name[0] in "/.~" or bool(at) != bool(revision):
        raise InputError(f"'{spec}' is neither a folder nor OWNER/NAME or OWNER/NAME@REVISION of a Hub dataset")
    return name, revision or None


def cached_commit(source: str, revision: str | None = None) -> str | None:
    """The commit that a revision of a dataset was at when its files were last asked for; None where nobody knows."""
    if revision and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    refs = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=source, repo_type="dataset"), "refs")
    noted = refs / (revision or constants.DEFAULT_REVISION)
    return noted.read_text(encoding="utf-8").strip() if noted.is_file() else None


def dataset_file(pinned: Pinned, path: str, revision: str | None = None) -> Path | None:
    """A file of a dataset, in the cache of huggingface_hub; None where the dataset has none of that name.

    Args:
        pinned: where it is read.
        path: in the repository.
        revision: what was found to be at that commit; the cache keeps it in mind for `cached_commit`.

    Raises:
        InputError: the Hub refuses the file, or HF_HUB_OFFLINE is set and nobody knows whether there is one.
        ConnectionLostError: the Hub does not answer.
    """
    if constants.HF_HUB_OFFLINE:
        found = try_to_load_from_cache(pinned.id, path, revision=pinned.commit, repo_type="dataset")
        if found is None and not cached_snapshot(pinned.id, pinned.commit):
            raise not_cached(pinned.id, pinned.commit)
        return Path(found) if isinstance(found, str) else None

    def fetch(at: str) -> Path:
        try:
            return Path(hf_hub_download(pinned.id, path, repo_type="dataset", revision=at, token=given_token()))
        except LocalEntryNotFoundError as error:  # hides why there is no answer, and with it whether to ask again
            raise error.__cause__ or error from None

    with reading(pinned.id):
        try:
            file = patiently(lambda: fetch(revision or constants.DEFAULT_REVISION))
            # The branch may have moved since it was pinned: all that is read is of one commit.
            return file if pinned.commit in file.parts else patiently(lambda: fetch(pinned.commit))
        except EntryNotFoundError:
            return None


def not_cached(source: str, revision: str | None, repo_type: str = "dataset") -> InputError:
    """What to say where HF_HUB_OFFLINE is set and a dataset or a model is not in the caches."""
    at, option = (f" at revision '{revision}'", f" --revision {revision}") if revision else ("", "")
    advice = f"unset it, or fetch it before with `hf download --repo-type {repo_type} {source}{option}`"
    return InputError(f"HF_HUB_OFFLINE is set and {source}{at} is not in the cache: {advice}")


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
    # Without the list of all files, which a whole download leaves, the folder is what someone happened to look at.
    return folder if (folder.parents[1] / "trees" / f"{folder.name}.json").is_file() else None


def patiently(ask: Callable[[], T]) -> T:
    """What `ask` returns; it is asked again where the connection broke or the Hub was busy."""
    for wait in WAITS:
        try:
            return ask()
        except (NoAnswer, ConnectionError) as error:
            if not _passes(error):
                raise
        time.sleep(wait)
    return ask()


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Says in one sentence why the rows of `where` cannot be read to their end.

    Raises:
        ConnectionLostError: the Hub no longer answers.
        InputError: the files are damaged, or do not hold what their schema says.
    """
    try:
        yield
    except InputError:
        raise
    except (NoAnswer, ConnectionError) as error:
        raise _refused(error, where) from error
    except (*UNREADABLE, CastError, tarfile.TarError) as error:
        reason = one_line((str(error).strip() or type(error).__name__).splitlines()[0], 300)
        raise InputError(f"cannot read {where}: {reason}; check its files") from error


def _status(error: Exception) -> int | None:
    return error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None


def _passes(error: Exception) -> bool:
    """Whether another try may do better: not where nobody listens, or where the Hub said no."""
    status = _status(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    return type(error).__name__ != NO_SERVER


def _refused(error: Exception, where: str) -> InputError:
    status, endpoint = _status(error), constants.ENDPOINT
    if status in (401, 403):
        return InputError(f"{endpoint} does not accept the token for {where}: it is wrong or no longer valid; {LOG_IN}")
    again = "start the same command again"
    if type(error).__name__ == NO_SERVER:
        offline = "HF_HUB_OFFLINE=1 reads what is in the cache"
        return ConnectionLostError(f"cannot reach {endpoint} for {where}: check the connection and {again}; {offline}")
    answer = f"answered {status}" if status else "broke the connection"
    return ConnectionLostError(f"{endpoint} {answer} while {where} was read: {again}")
