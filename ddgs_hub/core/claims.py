"""Claims: which worker does what, in a folder that all workers see. No server, and no shared kernel, is needed.

A claim is a file that only one worker can make. Its owner touches it again and again, from a thread. Who finds a claim
that has not been touched for a while takes it for a dead worker's and removes it. On the machine of its owner nobody
need wait: the kernel says whether the owner still lives.

Two workers can end up with one claim where a machine stands still for longer than that. Work that is claimed must
therefore have the same result whoever does it, and be put in place as a whole.
"""

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ddgs_hub.core.files import put_in_place

LEASE = 180.0  # seconds without a touch, after which an owner counts as dead
BEATS = 9  # touches in that time
BOOT = Path("/proc/sys/kernel/random/boot_id")  # on Linux: tells machines of one name apart


@dataclass(frozen=True)
class _Owner:
    """What the file of a claim says, and when it was touched last."""

    worker: str
    machine: str | None
    touched: float


class Claims:
    """The claims of one worker; a context that is left gives up what the worker still has.

    Args:
        folder: of the files, made if it is not there; all workers see it.
        lease: seconds after which a worker that does not touch its claims counts as dead.
    """

    def __init__(self, folder: str | Path, lease: float = LEASE) -> None:
        self.folder = Path(folder)
        self.lease = lease
        self.worker = uuid.uuid4().hex
        # None: the kernel cannot be asked about other workers, and the lease alone counts.
        self.machine = f"{socket.gethostname()} {BOOT.read_text().strip()}" if BOOT.is_file() else None
        self.held: set[Path] = set()
        self._stopped = threading.Event()

    def __enter__(self) -> "Claims":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._alive = FileLock(self._life(self.worker), thread_local=False)
        try:
            self._alive.acquire()
        except (OSError, NotImplementedError):  # a file system without locks
            self.machine = None
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._alive.release()
        with suppress(OSError):
            self._life(self.worker).unlink()

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Claims `name` for the block; yields whether it is ours. False: another worker has it.

        Args:
            name: of the work; a file name.
        """
        path = self.folder / f"{name}.claim"
        mine = self._take(path)
        try:
            yield mine
        finally:
            if mine:
                self.held.discard(path)
                if (owner := _read(path)) and owner.worker == self.worker:
                    path.unlink(missing_ok=True)

    def _take(self, path: Path) -> bool:
        mine = self._made(path) or self._taken_over(path)
        if mine:
            self.held.add(path)
        return mine

    def _made(self, path: Path) -> bool:
        """Makes a file in our name, if there is none."""
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump({"worker": self.worker, "machine": self.machine}, file)
        except FileExistsError:
            return False
        return True

    def _taken_over(self, path: Path) -> bool:
        """Puts our name in the place of a dead worker's; one worker at a time tries."""
        if not self._is_free(path):
            return False
        turn = path.with_name(f".{path.name}.takeover")
        if (other := _read(turn)) and self._now() - other.touched > self.lease:
            turn.unlink(missing_ok=True)  # of a worker that was killed right there
        if not self._made(turn):
            return False
        try:
            owner = _read(path)
            if owner is None or not self._has_died(owner):  # another worker took it over before our turn
                return False
            put_in_place(path, json.dumps({"worker": self.worker, "machine": self.machine}))
            with suppress(OSError):
                self._life(owner.worker).unlink()
            return True
        finally:
            turn.unlink(missing_ok=True)

    def _is_free(self, path: Path) -> bool:
        owner = _read(path)
        return owner is not None and self._has_died(owner)

    def _has_died(self, owner: "_Owner") -> bool:
        """Whether the owner of a claim is dead: by the kernel on this machine, by the lease elsewhere."""
        if owner.worker == self.worker:
            return False
        if owner.worker and self.machine is not None and owner.machine == self.machine:
            lock = FileLock(self._life(owner.worker), thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False
            lock.release()
            return True
        return self._now() - owner.touched > self.lease

    def _beat(self) -> None:
        while not self._stopped.wait(self.lease / BEATS):
            for path in list(self.held):
                with suppress(OSError):
                    os.utime(path)

    def _now(self) -> float:
        """The time by the clock that stamps files: that of a server is not this machine's."""
        clock = self.folder / f".clock-{self.worker}"
        clock.touch()
        now = clock.stat().st_mtime
        clock.unlink(missing_ok=True)
        return now

    def _life(self, worker: str) -> Path:
        """The file that a worker holds a lock on while it lives."""
        return self.folder / f".worker-{worker}"


def _read(path: Path) -> _Owner | None:
    """The owner of a claim; without a name while the file is being written, None where there is no file."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read()
            touched = os.fstat(file.fileno()).st_mtime  # of what was read, not of what may lie there now
    except OSError:
        return None
    try:
        values = json.loads(text)
        return _Owner(str(values["worker"]), values["machine"], touched)
    except (ValueError, LookupError, TypeError):
        return _Owner("", None, touched)
