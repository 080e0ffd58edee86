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


def refuse_missing(name: str) -> None:
    """Refuses the path of something that is not here, which could else be taken for the name of a repository.

    A path begins with `.`, `/` or `~`, ends with `/` or has more than one `/`; or what looks like `OWNER/NAME` begins
    with the name of a folder here, and then `OWNER/NAME@main` still means the repository.

    Args:
        name: a path, or what is found by its name elsewhere.

    Raises:
        InputError: it is a path, and there is nothing.
    """
    first, _, rest = name.partition("/")
    like_a_path = name.startswith((".", "/", "~")) or name.endswith("/") or "/" in rest
    beside_a_folder = not like_a_path and bool(rest) and "@" not in name and Path(first).is_dir()
    if (like_a_path or beside_a_folder) and not expanded(name).exists():
        way_out = f", or give {name}@main if a repository is meant" if beside_a_folder else ""
        raise InputError(f"there is no folder {name}: check the path{way_out}")


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
