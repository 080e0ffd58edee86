"""Repeats requests that failed for a passing reason: `patiently` to read, `persist` to change a repository."""

import json
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HTTPError

from ddgs_hub.core.errors import InputError, causes
from ddgs_hub.core.hub_client.refusals import (
    AGAIN,
    BAD_CARD,
    NO_ANSWER,
    answer_to,
    is_unreachable,
    may_pass,
    reason_of,
    status_of,
    was_overtaken,
    why_not_served,
)

READ_TRIES = 5  # of one request; quarter of a minute of waiting, where the Hub does not ask for more
FAILURES = 6  # of one command that changes something: half a minute of waiting
LOOKS = 20  # how often a repository is looked at: others may write in between, but not for ever
LONGEST_WAIT = 120.0  # seconds, whatever the Hub asks for
# httpx's and requests' errors, Xet's ConnectionError, and what a page of HTML in the place of an answer raises. The
# client wraps what went wrong with an upload into a RuntimeError, so the causes of an error count, too.
TROUBLE = (OSError, HTTPError, json.JSONDecodeError)

LOG = logging.getLogger(__name__)
T = TypeVar("T")


def try_again(
    ask: Callable[[], T],
    *,
    tries: int,
    passes: Callable[[Exception], bool],
    announce: Callable[[Exception, float], None] | None = None,
) -> T:
    """What `ask` returns; it is asked again, after longer and longer pauses, where its error may pass.

    Args:
        ask: one request, or several.
        tries: how often it is asked at most.
        passes: whether another try may succeed after this error.
        announce: called with each such error and the seconds until the next try.

    Raises:
        Exception: the last error of `ask`, or one that `passes` refuses.
    """
    for failures in range(1, tries):
        try:
            return ask()
        except Exception as error:
            if not passes(error):
                raise
            seconds = _pause(error, failures)
            if announce:
                announce(error, seconds)
        time.sleep(seconds)
    return ask()


def patiently(ask: Callable[[], T]) -> T:
    """What `ask` returns, which reads from the Hub; asked again where the connection broke or the Hub was busy."""

    def passes(error: Exception) -> bool:
        return isinstance(error, NO_ANSWER) and may_pass(status_of(error)) and not is_unreachable(error)

    return try_again(ask, tries=READ_TRIES, passes=passes)


def persist(repo_id: str, attempt: Callable[[], T | None], *, repo_type: str = "dataset") -> T:
    """Calls `attempt`, which changes a repository step by step, until it returns something.

    `attempt` must begin by reading the state of the repository: an earlier call may have done what it was about to do.

    Raises:
        InputError: the Hub refuses, does not answer, or others do not stop writing.
    """
    looks = iter(range(LOOKS))

    def advance() -> T:
        for _ in looks:
            try:
                result = attempt()
            except Exception as error:
                if not _is_trouble(error):
                    raise
                if refused := why_not_served(error, repo_id, repo_type):
                    raise InputError(refused) from error
                if not was_overtaken(error):
                    raise
            else:
                if result is not None:
                    return result
        raise InputError(f"{repo_id} was changed by others {LOOKS} times meanwhile: {AGAIN} later")

    def announce(error: Exception, seconds: float) -> None:
        LOG.warning("the Hub does not serve %s (%s): again in %g s", repo_id, reason_of(error), seconds)

    try:
        return try_again(advance, tries=FAILURES, passes=_is_trouble, announce=announce)
    except Exception as error:
        if not _is_trouble(error):
            raise
        last = f"the last time because of {reason_of(error)}"
        raise InputError(
            f"the Hub did not serve {repo_id} {FAILURES} times, {last}: {AGAIN} later, it goes on where it was"
        ) from error


def _is_trouble(error: Exception) -> bool:
    """Whether an error is the Hub's or the connection's, and not a defect of ours or a sentence for the user."""
    if isinstance(error, InputError) or not isinstance(error, (*TROUBLE, RuntimeError, ValueError)):
        return False
    return any(isinstance(link, TROUBLE) or BAD_CARD in str(link) for link in causes(error))


def _pause(error: Exception, failures: int) -> float:
    """Seconds to wait: what the Hub asks for, or 1, 2, 4 and so on."""
    answer = answer_to(error)
    asked = "" if answer is None else answer.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_WAIT) if asked.isdigit() else float(2 ** (failures - 1))
