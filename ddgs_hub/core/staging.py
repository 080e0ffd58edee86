"""Folders that are written whole or not at all, by one command at a time; and what is kept beside them meanwhile."""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import by_the_first

WORKSHOP = ".ddgs-hub"  # in a folder that cannot be renamed: what else is beside it; all that begins so is ours
MOUNTS = Path("/proc/self/mountinfo")  # Linux; the fifth word of each line is where it is mounted

LOG = logging.getLogger(__name__)
_owned: set[Path] = set()  # by this command


def refuse_unwritable(folder: str | Path) -> None:
    """Raises an InputError where `folder` cannot be made or replaced: before the work rather than after it."""
    path = Path(folder).resolve()
    if path.exists() and not path.is_dir():
        raise InputError(f"cannot write {folder}: it is a file; choose another --output")
    place = _written_in(path)
    if not place.is_dir():
        raise InputError(f"cannot write {folder}: {place} is a file; choose another --output")
    if not os.access(place, os.W_OK):
        raise InputError(f"cannot write {folder}: no permission to write in {place}; choose another --output")


def refuse_existing(folder: str | Path) -> None:
    """Raises an InputError where `folder` cannot be made, or holds something, which somebody made."""
    refuse_unwritable(folder)
    path = Path(folder)
    if hidden_sibling(path, "whole").exists():
        with owned(path):
            pass  # finishes what a kill has left half moved
    if path.is_dir() and any(_entries(path)):
        raise InputError(f"{folder} is not empty: choose another --output, or remove it")


def is_writable(folder: str | Path) -> bool:
    """Whether `folder` can be made or replaced, as far as permissions say."""
    return os.access(_written_in(Path(folder).resolve()), os.W_OK)


@contextmanager
def claimed(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """`owned` for all processes of a launch, each of which calls it: the first owns the folder for all of them."""
    with ExitStack() as stack:
        by_the_first(lambda: stack.enter_context(owned(folder, wait=wait)))
        yield


@contextmanager
def owned(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps other commands from writing a folder, and what is hidden beside it; a kill of this one lets them.

    Args:
        folder: there or not; what a killed command has left half replaced is set right.
        wait: until another command is done with it.

    Raises:
        InputError: it cannot be written, another command works there, or its file system has no locks.
    """
    path = Path(folder).resolve()
    if path in _owned:  # a stage writes what its command owns
        yield
        return
    refuse_unwritable(folder)
    with _locked(path, folder, wait):
        _owned.add(path)
        try:
            _settle(path)
            yield
        finally:
            _owned.discard(path)


@contextmanager
def _locked(path: Path, named: str | Path, wait: bool) -> Iterator[None]:
    lock = path / f"{WORKSHOP}.lock" if _stays(path) else hidden_sibling(path, "lock")
    holder = FileLock(lock, thread_local=False)
    with ExitStack() as stack:
        stack.callback(_remove_empty, *(parent for parent in lock.parents if not parent.exists()))
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            _acquire(holder, named, wait)
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or "its file system has no locks"
            raise InputError(f"cannot lock {named}: {reason}; choose another --output") from error
        stack.callback(holder.release)
        stack.callback(_remove_lock, lock)
        if _stays(path):
            stack.callback(_remove_empty, path / WORKSHOP)
        yield


def _acquire(holder: FileLock, named: str | Path, wait: bool) -> None:
    try:
        holder.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            advice = "wait until it is done, or give another folder"
            raise InputError(f"another command works in {named}: {advice}") from error
        LOG.warning("another command works in %s: waiting for it", named)
        holder.acquire()


def _remove_lock(lock: Path) -> None:
    """Removes a lock while it is held: who waits for it sees that it is gone, and makes another."""
    with suppress(OSError):  # Windows removes it by itself, later
        lock.unlink()


def _remove_empty(*folders: Path) -> None:
    with suppress(OSError):  # something is in it
        for folder in folders:
            folder.rmdir()


@contextmanager
def staged_folder(target: str | Path) -> Iterator[Path]:
    """Yields a temporary sibling of `target` that takes its name when the block ends well, and is removed otherwise.

    A killed process leaves `target` as it was; what it had begun is cleared by the next one that stages there. Where
    `target` cannot be renamed, see `hidden_sibling`, what is in it is replaced, entry by entry, and a kill in the midst
    of that is set right by the next one that owns it.

    Raises:
        InputError: the folder cannot be written, `target` is a file, or another command works there.
    """
    refuse_unwritable(target)
    named, target = target, Path(target).resolve()  # behind a link lies the folder that is to be replaced
    with owned(target):
        partial = hidden_sibling(target, "partial")
        with _in_one_sentence(named):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        try:
            yield partial
            with _in_one_sentence(named):
                _replace(target, partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            _settle(target)


def hidden_sibling(folder: Path, kind: str) -> Path:
    """The hidden neighbour of a folder where the work on it is kept until it is done.

    Of a mount point, and of a folder in one that may not be written, it is inside.
    """
    folder = folder.resolve()
    return folder / WORKSHOP / kind if _stays(folder) else folder.with_name(f".{folder.name}.{kind}")


def shared_sibling(folder: Path, name: str) -> Path:
    """A neighbour that several folders use, and that stays; hidden where it is inside, see `hidden_sibling`."""
    folder = folder.resolve()
    return folder / WORKSHOP / name if _stays(folder) else folder.with_name(name)


def open_weights(folder: str | Path) -> None:
    """Gives weights the mode of their config.json, which is by the user's umask: safetensors lets no one else read."""
    for config in Path(folder).rglob("config.json"):
        for weights in config.parent.glob("*.safetensors"):
            shutil.copymode(config, weights)


def _written_in(folder: Path) -> Path:
    """The folder that must be writable: itself, or the nearest above it that is there."""
    return folder if _stays(folder) else next(parent for parent in folder.parents if parent.exists())


def _stays(folder: Path) -> bool:
    """Whether a folder cannot be renamed, as a mount point, or one in a folder that may not be written."""
    return folder.is_dir() and (_is_mounted(folder) or not os.access(folder.parent, os.W_OK))


def _is_mounted(folder: Path) -> bool:
    if not MOUNTS.is_file():
        return os.path.ismount(folder)
    # os.path.ismount does not see a folder of the same disk, as a volume in another volume can be.
    written = re.sub(r"[ \t\n\\]", lambda found: f"\\{ord(found[0]):03o}", str(folder))
    lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return any(line.split(" ")[4] == written for line in lines)


@contextmanager
def _in_one_sentence(folder: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another --output") from error


def _replace(target: Path, partial: Path) -> None:
    """Puts what is whole in the place of what is there, which goes last: removing it takes time."""
    old = hidden_sibling(target, "old")
    shutil.rmtree(old, ignore_errors=True)
    if not _stays(target):
        if target.exists():
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.mkdir()
        _move(target, old)
        partial.rename(hidden_sibling(target, "whole"))  # from now on it counts
        _finish(target)


def _settle(target: Path) -> None:
    """Sets right what `_replace` has left: what was whole is put there, or else what was there before."""
    old, whole = hidden_sibling(target, "old"), hidden_sibling(target, "whole")
    if not _stays(target):
        if old.is_dir() and not target.exists():
            old.rename(target)
        return
    if whole.is_dir():
        _finish(target)
    elif old.is_dir():
        _move(old, target)
        old.rmdir()


def _finish(target: Path) -> None:
    old, whole = hidden_sibling(target, "old"), hidden_sibling(target, "whole")
    _move(whole, target)
    shutil.rmtree(old, ignore_errors=True)
    whole.rmdir()  # last: without it what is in `old` would be put back


def _move(source: Path, target: Path) -> None:
    for entry in list(_entries(source)):
        entry.rename(target / entry.name)


def _entries(folder: Path) -> Iterator[Path]:
    """What is in a folder beside our own."""
    return (path for path in folder.iterdir() if not path.name.startswith(WORKSHOP))
