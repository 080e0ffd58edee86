"""The token that a command was given for the Hub: all that read from there ask for it here."""

from collections.abc import Iterator
from contextlib import contextmanager

_given: str | None = None  # of the whole process, not of a thread: what fetches in the background needs it, too


@contextmanager
def using_token(token: str | None) -> Iterator[None]:
    """Has everything within the block ask the Hub with `token`; None: with that of the environment or the login.

    It is handed to the clients call by call. In the environment every child process would have it.
    """
    global _given
    before, _given = _given, token
    try:
        yield
    finally:
        _given = before


def given_token() -> str | None:
    """What the clients of the Hub take as `token`; None: they look for one as they always do."""
    return _given
