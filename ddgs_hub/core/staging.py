"""Folders that are written whole or not at all, by one command at a time; and what is kept beside them meanwhile.

A stage writes into a hidden neighbour of its folder, which takes the folder's name when it is whole. A folder that
cannot be renamed is replaced entry by entry, from a hidden folder inside of it.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import CONFIG_FILE
from ddgs_hub.core.processes import run_on_main

# In a folder that cannot be renamed: holds what otherwise lies beside it. All names that begin so are ours.
WORK_FOLDER = ".ddgs-hub"
MOUNTS = Path("/proc/self/mountinfo")  # on Linux; the fifth word of each line is a mount point

LOG = logging.getLogger(__name__)
_locked: set[Path] = set()  # folders that this command has locked


def refuse_unwritable(folder: str | Path) -> None:
    """Refuses a folder that cannot be made or replaced: before the work rather than after it.

    Raises:
        InputError: it is a file or below a file, or there is no permission to write.
    """
    path = Path(folder).resolve()
    if path.exists() and not path.is_dir():
        raise InputError(f"cannot write {folder}: it is a file; choose another --output")
    parent = _needs_permission(path)
    if not parent.is_dir():
        raise InputError(f"cannot write {folder}: {parent} is a file; choose another --output")
    if not os.access(parent, os.W_OK):
        raise InputError(f"cannot write {folder}: no permission to write in {parent}; choose another --output")


def refuse_existing(folder: str | Path) -> None:
    """Refuses a folder that cannot be made, or that is not empty: its content is not ours.

    Raises:
        InputError: it is not empty; or as `refuse_unwritable`.
        UnicodeEncodeError: its name is none in the encoding of the locale: Arrow could write there, but not read.
    """
    str(folder).encode()
    refuse_unwritable(folder)
    path = Path(folder)
    if hidden_sibling(path, "whole").exists():
        with locked_folder(path):
            pass  # completes what a killed command has left half moved
    if path.is_dir() and any(_entries(path)):
        raise InputError(f"{folder} is not empty: choose another --output, or remove it")


def is_writable(folder: str | Path) -> bool:
    """Whether `folder` can be made or replaced, by its permissions."""
    return os.access(_needs_permission(Path(folder).resolve()), os.W_OK)


@contextmanager
def locked_for_launch(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """`locked_folder` for a launch: each of its processes calls this, and the first one holds the lock for all."""
    with ExitStack() as stack:
        run_on_main(lambda: stack.enter_context(locked_folder(folder, wait=wait)))
        yield


@contextmanager
def locked_folder(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """In the block, no other command writes the folder or what is hidden beside it; a kill frees the lock.

    First completes or undoes what a killed command has left half replaced.

    Args:
        folder: it need not exist.
        wait: whether to wait for another command that has locked it.

    Raises:
        InputError: the folder cannot be written, another command has locked it, or its file system has no locks.
    """
    path = Path(folder).resolve()
    if path in _locked:  # by the command that calls this stage
        yield
        return
    refuse_unwritable(folder)
    with _holding_lock(path, folder, wait):
        _locked.add(path)
        try:
            _recover(path)
            yield
        finally:
            _locked.discard(path)


@contextmanager
def _holding_lock(path: Path, given: str | Path, wait: bool) -> Iterator[None]:
    lock = path / f"{WORK_FOLDER}.lock" if _stays(path) else hidden_sibling(path, "lock")
    holder = FileLock(lock, thread_local=False)
    with ExitStack() as stack:
        stack.callback(_remove_empty, *(parent for parent in lock.parents if not parent.exists()))
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            _acquire(holder, given, wait)
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or "its file system has no locks"
            raise InputError(f"cannot lock {given}: {reason}; choose another --output") from error
        stack.callback(holder.release)
        stack.callback(_remove_lock, lock)
        if _stays(path):
            stack.callback(_remove_empty, path / WORK_FOLDER)
        yield


def _acquire(holder: FileLock, given: str | Path, wait: bool) -> None:
    try:
        holder.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            advice = "wait until it is done, or give another folder"
            raise InputError(f"another command works in {given}: {advice}") from error
        LOG.warning("another command works in %s: waiting for it", given)
        holder.acquire()


def _remove_lock(lock: Path) -> None:
    """Removes the file of a lock while it is held: a command that waits for it notices, and makes another one."""
    with suppress(OSError):  # Windows removes it later, by itself
        lock.unlink()


def _remove_empty(*folders: Path) -> None:
    with suppress(OSError):  # something is in it
        for folder in folders:
            folder.rmdir()


@contextmanager
def staged_folder(target: str | Path) -> Iterator[Path]:
    """Yields a temporary folder that replaces `target` when the block ends; after an error it is removed instead.

    A kill leaves `target` as it was, and the next call removes the temporary folder. If `target` cannot be renamed, see
    `hidden_sibling`, its content is replaced entry by entry. If a kill comes in the middle of that, the next command
    that locks the folder completes or undoes it.

    Raises:
        InputError: the folder cannot be written, `target` is a file, or another command works there.
        UnicodeEncodeError: `target` is no name in the encoding of the locale.
    """
    str(target).encode()  # a name that is none in the locale: libraries fail to read it after all is written
    refuse_unwritable(target)
    given, target = target, Path(target).resolve()  # of a link, the folder behind it is replaced
    with locked_folder(target):
        partial = hidden_sibling(target, "partial")
        with _in_one_sentence(given):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        try:
            yield partial
            with _in_one_sentence(given):
                _replace(target, partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            _recover(target)


def hidden_sibling(folder: Path, kind: str) -> Path:
    """The hidden neighbour of a folder in which unfinished work is kept: `.<folder>.<kind>`.

    It lies inside of a folder that cannot be renamed: a mount point, or a folder whose parent may not be written.
    """
    folder = folder.resolve()
    return folder / WORK_FOLDER / kind if _stays(folder) else folder.with_name(f".{folder.name}.{kind}")


def shared_sibling(folder: Path, name: str) -> Path:
    """A neighbour that several folders share, and that stays; hidden if it lies inside, see `hidden_sibling`."""
    folder = folder.resolve()
    return folder / WORK_FOLDER / name if _stays(folder) else folder.with_name(name)


def make_weights_readable(folder: str | Path) -> None:
    """Gives weights the permissions of their `config.json`, by the user's umask: safetensors lets nobody else read."""
    for config in Path(folder).rglob(CONFIG_FILE):
        for weights in config.parent.glob("*.safetensors"):
            shutil.copymode(config, weights)


def _needs_permission(folder: Path) -> Path:
    """The folder that must be writable: the folder itself if it stays, or else the nearest existing one above it."""
    return folder if _stays(folder) else next(parent for parent in folder.parents if parent.exists())


def _stays(folder: Path) -> bool:
    """Whether a folder cannot be renamed: it is a mount point, or its parent may not be written."""
    return folder.is_dir() and (_is_mounted(folder) or not os.access(folder.parent, os.W_OK))


def _is_mounted(folder: Path) -> bool:
    if not MOUNTS.is_file():
        return os.path.ismount(folder)
    # os.path.ismount misses mounts of a folder of the same disk, such as a volume inside of another volume.
    escaped = re.sub(r"[ \t\n\\]", lambda match: f"\\{ord(match[0]):03o}", str(folder))
    lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return any(line.split(" ")[4] == escaped for line in lines)


@contextmanager
def _in_one_sentence(folder: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another --output") from error


def _replace(target: Path, partial: Path) -> None:
    """Puts the finished folder in the place of the old one, which is removed last, because that takes time."""
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
        partial.rename(hidden_sibling(target, "whole"))  # from here on the new content counts
        _finish(target)


def _recover(target: Path) -> None:
    """Completes what a killed `_replace` has left, if the new content was whole; otherwise restores the old one."""
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
    """Moves the new content into a folder that stays, and removes the old one."""
    old, whole = hidden_sibling(target, "old"), hidden_sibling(target, "whole")
    _move(whole, target)
    shutil.rmtree(old, ignore_errors=True)
    whole.rmdir()  # last: without this folder, the old content would be restored


def _move(source: Path, target: Path) -> None:
    for entry in list(_entries(source)):
        entry.rename(target / entry.name)


def _entries(folder: Path) -> Iterator[Path]:
    """What is in a folder, without our own hidden entries."""
    return (path for path in folder.iterdir() if not path.name.startswith(WORK_FOLDER))
