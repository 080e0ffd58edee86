"""What to do when the Hub does not answer as it should: read the state again and go on, or say why that is no use."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)

from ddgs_hub.core.errors import InputError, causes
from ddgs_hub.core.text import one_line
from ddgs_hub.core.tokens import given_token

# httpx's and requests' errors, Xet's ConnectionError, and what a page of HTML in the place of an answer raises. The
# client wraps what went wrong with an upload into a RuntimeError, so the causes of an error count, too.
TROUBLE = (OSError, HTTPError, json.JSONDecodeError)
BAD_CARD = "Invalid metadata in README.md"  # what the client's ValueError says when the Hub does not accept a card
MOST_OF_A_REASON = 500  # characters of what a server says
FAILURES = 6  # of one command: half a minute of waiting, where the Hub does not ask for more
LONGEST_WAIT = 120.0  # seconds, whatever the Hub asks for
PASSES = 20  # others may write in between, but not for ever
PASSING = (408, 409, 412, 423, 425, 429)  # statuses that another look at the state can mend; and all from 500 on

LOG = logging.getLogger(__name__)
T = TypeVar("T")


def persist(repo_id: str, attempt: Callable[[], T | None], *, repo_type: str = "dataset") -> T:
    """Calls `attempt` until it returns something, again after trouble on the way, with longer and longer pauses.

    `attempt` must begin by reading the state of the repository: what it was about to do may have been done.

    Raises:
        InputError: the Hub refuses, does not answer, or others do not stop writing.
    """
    failures = 0
    for _ in range(PASSES):
        try:
            result = attempt()
        except InputError:
            raise
        except (*TROUBLE, RuntimeError, ValueError) as error:
            if not any(isinstance(link, TROUBLE) or BAD_CARD in str(link) for link in causes(error)):
                raise
            refused = explain(error, repo_id, repo_type)
            if refused:
                raise InputError(refused) from error
            if _overtaken(error):
                continue
            failures += 1
            if failures == FAILURES:
                raise InputError(
                    f"the Hub did not serve {repo_id} {failures} times, the last time because of {_reason(error)}: "
                    "start the same command again later, it goes on where it was"
                ) from error
            seconds = _pause(error, failures)
            LOG.warning("the Hub does not serve %s (%s): again in %g s", repo_id, _reason(error), seconds)
            time.sleep(seconds)
            continue
        if result is not None:
            return result
    raise InputError(f"{repo_id} was changed by others {PASSES} times meanwhile: start the same command again later")


def explain(error: BaseException, repo_id: str, repo_type: str = "dataset") -> str | None:
    """Why the Hub refuses, and the way out; None where the next attempt may go well."""
    if any(isinstance(link, OfflineModeIsEnabled) for link in causes(error)):
        return "HF_HUB_OFFLINE is set, and what is on the Hub must be seen: unset it"
    if BAD_CARD in str(error):
        return f"the Hub does not accept the card ({_one_line(error)}): mend its front matter"
    response = _response(error)
    if response is None or isinstance(error, RevisionNotFoundError):
        return None
    status = response.status_code
    if status in PASSING or status >= 500:
        return None
    if isinstance(error, GatedRepoError):
        return f"the files of {repo_id} are gated: ask for access at {page_of(repo_id, repo_type)}"
    if status == 401:
        return f"the Hub does not accept this token for {repo_id}: log in with `hf auth login`, or set HF_TOKEN"
    if status == 403:
        return may_not_write(repo_id)
    if status == 404:
        return (
            f"there is no {repo_type} {repo_id} on the Hub, or this token may not see it: check the name and the token"
        )
    return f"the Hub refuses this for {repo_id} (status {status}, {_one_line(error)})"


def may_not_write(repo_id: str) -> str:
    """What to say of a token that may not write to a repository."""
    return f"this token may not write to {repo_id}: take one with the role write of a member of {repo_id.split('/')[0]}"


def page_of(repo_id: str, repo_type: str, endpoint: str = constants.ENDPOINT) -> str:
    """The address of a repository's page."""
    return f"{endpoint}/{constants.REPO_TYPES_URL_PREFIXES.get(repo_type, '')}{repo_id}"


def make_client(api: HfApi | None, token: str | None) -> HfApi:
    """The client to use: `api`, or one with `token`, or with that of the command, the environment or the login.

    Raises:
        InputError: a token has characters that no token has.
    """
    api = api or HfApi(token=token or given_token())
    used = used_token(api)
    # An HTTP client would quote the header with the token in its error.
    if used is not None and not (used.isascii() and used.isprintable() and " " not in used):
        raise InputError("the token has blanks or characters that no token has: copy it again")
    return api


def used_token(api: HfApi) -> str | None:
    """The token that a client sends; None: it is nobody."""
    if api.token is False:
        return None
    return api.token if isinstance(api.token, str) else get_token()


def _pause(error: BaseException, failures: int) -> float:
    """Seconds to wait: what the Hub asks for, or 1, 2, 4 and so on."""
    response = _response(error)
    asked = "" if response is None else response.headers.get("Retry-After", "")
    if asked.isdigit():
        return min(float(asked), LONGEST_WAIT)
    return float(2 ** (failures - 1))


def _overtaken(error: BaseException) -> bool:
    """Somebody else was faster, and what they did is to be seen at once."""
    response = _response(error)
    return response is not None and response.status_code in (409, 412)


def _response(error: BaseException) -> Any:
    """The Hub's answer that an error is about, or that of what caused it; None where there was no answer."""
    return next((link.response for link in causes(error) if isinstance(link, HfHubHTTPError)), None)


def _reason(error: BaseException) -> str:
    response = _response(error)
    return f"status {response.status_code}" if response is not None else _one_line(list(causes(error))[-1])


def _one_line(error: BaseException) -> str:
    return one_line(error, MOST_OF_A_REASON) or type(error).__name__
