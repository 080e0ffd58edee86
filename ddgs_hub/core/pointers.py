"""Files that Git LFS keeps elsewhere: a checkout without it has a few lines of text in the place of each."""

from pathlib import Path

from ddgs_hub.core.errors import InputError

POINTER = b"version https://git-lfs.github.com/spec/"  # with which each of them begins


def refuse_pointer(content: bytes, what: str) -> None:
    """Raises an InputError where the first bytes of a file are those of a pointer; `what` names the file."""
    if content.startswith(POINTER):
        raise InputError(f"{what} is a pointer of Git LFS and not the file: run `git lfs pull` where it was cloned")


def refuse_pointer_file(path: Path, where: str) -> None:
    """The same for a file of `where`."""
    with path.open("rb") as file:
        refuse_pointer(file.read(len(POINTER)), f"{path.name} of {where}")
