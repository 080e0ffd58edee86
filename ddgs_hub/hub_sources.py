"""Datasets of the Hub: found, allowed and pinned to a commit before any of their rows is read; else one sentence."""

import json
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from datasets.table import CastError
from huggingface_hub import HfApi, constants, get_token, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ddgs_hub.errors import ConnectionLostError, InputError

T = TypeVar("T")
# What the client raises where the Hub says no (HfHubHTTPError) or nothing: a class of the HTTP library beneath.
NoAnswer: type[Exception] = HfHubHTTPError.__bases__[0]
NO_SERVER = "ConnectError"  # of a class of that library: nobody listens, or the name is unknown
WAITS = (1, 2, 4, 8)  # seconds between two tries, as huggingface_hub waits where it tries again by itself
LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


@dataclass(frozen=True)
class Pinned:
    """A dataset of the Hub at one commit.

    Attributes:
        id: as the Hub spells it: `imagenet-1k` is ILSVRC/imagenet-1k.
        commit: 40 hexadecimal digits.
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
    token = get_token()
    if token is not None and not (token.isascii() and token.isprintable()):  # the client's error would show it
        raise InputError(f"the token of the Hub has characters that no token has: {LOG_IN}")
    api = HfApi()
    page = f"{constants.ENDPOINT}/datasets/{source}"
    try:
        info = patiently(lambda: api.dataset_info(source, revision=revision))
        page = f"{constants.ENDPOINT}/datasets/{info.id}"
        patiently(lambda: api.auth_check(info.id, repo_type="dataset"))
    except HFValidationError as error:
        raise InputError(f"'{source}' is neither a folder nor the id of a Hub dataset, such as name/dataset") from error
    except GatedRepoError as error:
        granted = f"ask for access on {page}" if token else f"ask for access on {page} and {LOG_IN}"
        raise InputError(f"{source} is gated and this account has no access to it: {granted}") from error
    except RevisionNotFoundError as error:
        raise InputError(f"{source} has no revision '{revision}': those that it has are on {page}/tree/main") from error
    except RepositoryNotFoundError as error:
        hidden = "its token may not read it" if token else "it is private"
        advice = "use a token that may" if token else LOG_IN
        raise InputError(
            f"there is no dataset {source} on {constants.ENDPOINT}, or {hidden}: correct the id, or {advice}"
        ) from error
    except (NoAnswer, ConnectionError) as error:
        raise _refused(error, source) from error
    license = info.card_data.get("license") if info.card_data else None
    return Pinned(info.id, str(info.sha), bool(info.gated), license if isinstance(license, str) else None)


def cached_snapshot(source: str, revision: str | None = None) -> Path | None:
    """The folder where the cache of huggingface_hub holds all files of a dataset; None where some may be missing."""
    try:
        folder = Path(snapshot_download(source, repo_type="dataset", revision=revision, local_files_only=True))
    except (OSError, HFValidationError):  # LocalEntryNotFoundError, IncompleteSnapshotError
        return None
    # Without the list of all files, which a whole download leaves, the folder is what someone happened to look at.
    return folder if (folder.parents[1] / "trees" / f"{folder.name}.json").is_file() else None


def webdataset_size(pinned: Pinned, split: str) -> int | None:
    """How many images a split of a WebDataset has, by the `_info.json` that timm puts beside its shards, if it did."""
    try:
        path = patiently(lambda: hf_hub_download(pinned.id, "_info.json", repo_type="dataset", revision=pinned.commit))
    except EntryNotFoundError:
        return None
    splits = json.loads(Path(path).read_text(encoding="utf-8")).get("splits", {})
    return splits.get(split, {}).get("num_samples")


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
    except (pa.ArrowException, CastError, tarfile.TarError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
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
