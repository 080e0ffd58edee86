"""The token that a command was given for the Hub; all code that reads from the Hub gets it here."""

from collections.abc import Iterator
from contextlib import contextmanager

_given: str | None = None  # of the process, not of a thread: threads that fetch need it, too


@contextmanager
def using_token(token: str | None) -> Iterator[None]:
    """In the block, the Hub is asked with `token`; None: with the token of the environment or the login.

    It is handed to the clients call by call. In the environment every child process would have it.
    """
    global _given
    before, _given = _given, token
    try:
        yield
    finally:
        _given = before


def given_token() -> str | None:
    """The `token` for clients of the Hub; None: they use that of the environment or the login."""
    return _given
