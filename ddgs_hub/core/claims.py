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
from pathlib import Path

from filelock import FileLock, Timeout

LEASE = 180.0  # seconds without a touch, after which an owner counts as dead
BEATS = 9  # touches in that time
BOOT = Path("/proc/sys/kernel/random/boot_id")  # on Linux: tells machines of one name apart


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
        self.machine = f"{socket.gethostname()} {BOOT.read_text().strip() if BOOT.is_file() else ''}"
        self.held: set[Path] = set()
        self._stopped = threading.Event()

    def __enter__(self) -> "Claims":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._alive = FileLock(self._life(self.worker), thread_local=False)
        self._alive.acquire()
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
                self._remove(path, self.worker)

    def _take(self, path: Path) -> bool:
        if not self._made(path):
            dead = self._dead_owner(path)
            if dead is None:
                return False
            self._remove(path, dead)
            with suppress(OSError):
                self._life(dead).unlink()
            if not self._made(path):
                return False  # another worker was quicker
        self.held.add(path)
        return True

    def _made(self, path: Path) -> bool:
        """Makes the file of a claim, if there is none."""
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump({"worker": self.worker, "machine": self.machine}, file)
        except FileExistsError:
            return False
        return True

    def _dead_owner(self, path: Path) -> str | None:
        """The worker of a claim, if it is dead; None if it lives, or if the claim has gone meanwhile."""
        try:
            touched = path.stat().st_mtime
            owner = json.loads(path.read_text(encoding="utf-8") or "{}")
        except (OSError, ValueError):
            return None  # it is being made or removed just now
        worker = str(owner.get("worker", ""))
        if owner.get("machine") == self.machine and self._has_died(worker):
            return worker
        return worker if self._now() - touched > self.lease else None

    def _has_died(self, worker: str) -> bool:
        """Whether a worker of this machine has: then the kernel has freed the lock that it held."""
        if worker == self.worker:
            return False
        lock = FileLock(self._life(worker), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        return True

    def _remove(self, path: Path, worker: str) -> None:
        """Removes the claim of a worker. It is moved aside first: another one may have made a new claim meanwhile."""
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        with suppress(OSError, ValueError):
            if json.loads(aside.read_text(encoding="utf-8") or "{}").get("worker", "") != worker:
                os.link(aside, path)  # it was the new one
        aside.unlink(missing_ok=True)

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
