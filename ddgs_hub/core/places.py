"""Places that a user names: found, and seen to be what they must be, before anything is read or written there."""

from contextlib import suppress
from pathlib import Path

from ddgs_hub.core.errors import InputError


def expanded(name: str | Path) -> Path:
    """A path with the home folder in the place of `~`; that of an account that is not there stays as it is."""
    path = Path(name)
    with suppress(RuntimeError):
        path = path.expanduser()
    return path


def require_file(path: Path, where: str) -> None:
    """Refuses what is no file: to open a pipe waits for ever, and a device has no end.

    Raises:
        InputError: `where` is what it is in the message.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{where} is no file ({path.name}): put a file in its place")
