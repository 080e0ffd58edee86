"""Turns the Hub's errors into sentences for the user, and tells which ones another try may mend.

Three things are done on the Hub, each with words of its own: a repository is opened (`why_not_opened`), the files in it
are read (`why_not_read`), or something is published (`why_not_served`).
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from datasets.table import CastError
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ddgs_hub.core.errors import ConnectionLostError, InputError, causes
from ddgs_hub.core.hub_client.clients import LOG_IN, page_of
from ddgs_hub.core.text import one_line

# What pyarrow raises for a file that is damaged, or was forged to do damage.
UNREADABLE = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError)
NO_ANSWER = (HTTPError, ConnectionError)  # of the HTTP library, of the Hub's client (which is one of these), of Xet
NO_SERVER = "ConnectError"  # the HTTP library's, where no server listens or the name is unknown
BAD_CARD = "Invalid metadata in README.md"  # what the client's ValueError says when the Hub does not accept a card
PASSING = (408, 409, 412, 423, 425, 429)  # statuses that another try can mend; and all from 500 on
OVERTAKEN = (409, 412)  # of these: another writer was faster; the new state is read at once, without waiting
MOST_OF_A_REASON = 500  # characters of what a server says
AGAIN = "start the same command again"


def answer_to(error: BaseException) -> Any:
    """The Hub's answer that an error, or what caused it, is about; None where there was none."""
    return next((link.response for link in causes(error) if isinstance(link, HfHubHTTPError)), None)


def status_of(error: BaseException) -> int | None:
    """The status of the answer that an error itself is about; None where there was none."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None


def may_pass(status: int | None) -> bool:
    """Whether another try may succeed after this status; None: there was no answer."""
    return status is None or status in PASSING or status >= 500


def is_unreachable(error: BaseException) -> bool:
    """Whether no server was found at the Hub's address."""
    return type(error).__name__ == NO_SERVER


def was_overtaken(error: BaseException) -> bool:
    """Whether the Hub refused a change because another writer made one meanwhile."""
    answer = answer_to(error)
    return answer is not None and answer.status_code in OVERTAKEN


def reason_of(error: BaseException) -> str:
    """What went wrong, in a few words: the status of the answer, or the first cause."""
    answer = answer_to(error)
    return f"status {answer.status_code}" if answer is not None else _words(list(causes(error))[-1])


def why_not_opened(
    error: Exception, repo_id: str, repo_type: str, revision: str | None, *, page: str, token: str | None
) -> InputError:
    """Why a repository cannot be opened, and the way out.

    Args:
        error: what the client raised.
        repo_id: as the user spelt it.
        repo_type: "dataset" or "model".
        revision: what was asked for.
        page: the address of the repository.
        token: with which it was asked for; None: without one.
    """
    if isinstance(error, GatedRepoError):
        granted = f"ask for access on {page}" if token else f"ask for access on {page} and {LOG_IN}"
        return InputError(f"{repo_id} is gated and this account has no access to it: {granted}")
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{repo_id} has no revision '{revision}': those that it has are on {page}/tree/main")
    if isinstance(error, RepositoryNotFoundError):
        hidden, advice = ("its token may not read it", "use a token that may") if token else ("it is private", LOG_IN)
        where = f"there is no {repo_type} {repo_id} on {constants.ENDPOINT}"
        return InputError(f"{where}, or {hidden}: correct the id, or {advice}")
    return why_not_read(error, repo_id)


def why_not_read(error: Exception, where: str) -> InputError:
    """Why files of `where` could not be read: a ConnectionLostError where another try may do better."""
    endpoint, status = constants.ENDPOINT, status_of(error)
    if status in (401, 403):
        return InputError(f"{endpoint} does not accept the token for {where}: it is wrong or no longer valid; {LOG_IN}")
    if is_unreachable(error):
        offline = "HF_HUB_OFFLINE=1 reads what is in the cache"
        return ConnectionLostError(f"cannot reach {endpoint} for {where}: check the connection and {AGAIN}; {offline}")
    answer = f"answered {status}" if status else "broke the connection"
    return ConnectionLostError(f"{endpoint} {answer} while {where} was read: {AGAIN}")


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turns errors in the block into one sentence: why the rows of `where` cannot be read.

    Raises:
        ConnectionLostError: the Hub no longer answers.
        InputError: the files are damaged, or do not hold what their schema says.
    """
    try:
        yield
    except (InputError, UnicodeEncodeError):  # a path that the locale has no name for is no fault of the files
        raise
    except NO_ANSWER as error:
        raise why_not_read(error, where) from error
    except (*UNREADABLE, CastError, tarfile.TarError) as error:
        reason = one_line((str(error).strip() or type(error).__name__).splitlines()[0], 300)
        raise InputError(f"cannot read {where}: {reason}; check its files") from error


def why_not_served(error: BaseException, repo_id: str, repo_type: str = "dataset") -> str | None:
    """Why the Hub refuses what publishing asks for, and the way out; None where the next attempt may go well."""
    if any(isinstance(link, OfflineModeIsEnabled) for link in causes(error)):
        return "HF_HUB_OFFLINE is set, and what is on the Hub must be seen: unset it"
    if BAD_CARD in str(error):
        return f"the Hub does not accept the card ({_words(error)}): mend its front matter"
    answer = answer_to(error)
    status = None if answer is None else answer.status_code
    if may_pass(status) or isinstance(error, RevisionNotFoundError):
        return None
    if isinstance(error, GatedRepoError):
        return f"the files of {repo_id} are gated: ask for access at {page_of(repo_id, repo_type)}"
    if status == 401:
        return f"the Hub does not accept this token for {repo_id}: log in with `hf auth login`, or set HF_TOKEN"
    if status == 403:
        return may_not_write(repo_id)
    if status == 404:
        where = f"there is no {repo_type} {repo_id} on the Hub"
        return f"{where}, or this token may not see it: check the name and the token"
    return f"the Hub refuses this for {repo_id} (status {status}, {_words(error)})"


def may_not_write(repo_id: str) -> str:
    """The sentence for a token that may not write to a repository."""
    return f"this token may not write to {repo_id}: take one with the role write of a member of {repo_id.split('/')[0]}"


def _words(error: BaseException) -> str:
    return one_line(error, MOST_OF_A_REASON) or type(error).__name__
