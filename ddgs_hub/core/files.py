"""Files and folders that a user or a dataset names: checked before anything is read from them."""

import uuid
from contextlib import suppress
from pathlib import Path

from ddgs_hub.core.errors import InputError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # how every pointer file of Git LFS begins


def expanded(name: str | Path) -> Path:
    """A path with the home folder in place of `~`; `~name` stays as it is if there is no such account."""
    path = Path(name)
    with suppress(RuntimeError):
        path = path.expanduser()
    return path


def require_file(path: Path, where: str) -> None:
    """Refuses pipes and devices: opening a pipe can wait for ever, and a device has no end. A missing file may pass.

    Args:
        path: the file.
        where: what it is or belongs to, for messages.

    Raises:
        InputError: something else than a file is there.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{where} is no file ({path.name}): put a file in its place")


def refuse_pointer(content: bytes, what: str) -> None:
    """Refuses a pointer of Git LFS: a clone without LFS has these few lines of text in place of each large file.

    Args:
        content: the first bytes of a file, or all of them.
        what: the file, for messages.

    Raises:
        InputError: the content is a pointer.
    """
    if content.startswith(LFS_POINTER):
        raise InputError(f"{what} is a pointer of Git LFS and not the file: run `git lfs pull` where it was cloned")


def refuse_pointer_file(path: Path, where: str) -> None:
    """Refuses a file that is a pointer of Git LFS; see `refuse_pointer`.

    Raises:
        InputError: the message names the file and `where`.
    """
    with path.open("rb") as file:
        refuse_pointer(file.read(len(LFS_POINTER)), f"{path.name} of {where}")


def put_in_place(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all, whoever else writes the same one; text is UTF-8.

    Args:
        path: of the file. A link there is replaced, not followed.
        content: of the file.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        beside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
