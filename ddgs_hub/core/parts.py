"""Work in parts, each of which is a file as soon as it is finished: a killed stage goes on with the parts it lacks."""

import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from ddgs_hub.core.parquet import write_parquet
from ddgs_hub.core.processes import get_state, is_main, wait_for_all
from ddgs_hub.core.rows import parquet_path, write_tables
from ddgs_hub.core.staging import hidden_sibling, staged_folder

WRITERS = 4  # threads; encoders of images release Python's lock


class Parts:
    """The finished parts of a folder that is not whole yet, in a hidden folder beside it.

    The processes of a launch share out the parts. On several machines they need a file system that all of them see.

    Args:
        target: the folder that is being made.
        fingerprint: of everything that decides the parts. Parts with another fingerprint are removed.
        count: the number of parts.
    """

    def __init__(self, target: Path, fingerprint: str, count: int) -> None:
        self.target = target.resolve()
        self.folder = hidden_sibling(self.target, "parts")
        self.count = count
        if is_main():
            mark = self.folder / "fingerprint"
            if not mark.is_file() or mark.read_text(encoding="utf-8") != fingerprint:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
                mark.write_text(fingerprint, encoding="utf-8")
        wait_for_all()

    def todo(self) -> list[int]:
        """The numbers of the missing parts that this process is to make."""
        state = get_state()
        left = [k for k in range(self.count) if not self._path(k).exists()]
        wait_for_all()  # no process makes a part before all have seen which are missing
        return left[state.process_index :: state.num_processes]

    def write(self, k: int, table: pa.Table) -> None:
        """Writes part `k`, whole or not at all."""
        unfinished = self.folder / f"{k}.unfinished"
        write_parquet([table], table.schema, unfinished)
        unfinished.rename(self._path(k))

    def finish(self, features: Features) -> None:
        """Waits for the parts of all processes, writes the folder from them in order, and removes them."""
        wait_for_all()
        if is_main():
            with staged_folder(self.target) as partial:
                tables = (pq.read_table(self._path(k)) for k in range(self.count))
                write_tables(tables, features, parquet_path(partial))
            shutil.rmtree(self.folder)
        wait_for_all()

    def _path(self, k: int) -> Path:
        return self.folder / f"{k}.parquet"


class Writers:
    """Threads that finish and write parts while the caller works on the next ones.

    Args:
        write: takes the number of a part and its rows, such as `Parts.write`.
    """

    def __init__(self, write: Callable[[int, pa.Table], None]) -> None:
        self._write = write
        self._executor = ThreadPoolExecutor(WRITERS)
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> "Writers":
        return self

    def submit(self, k: int, make: Callable[[], pa.Table]) -> None:
        """Has a thread make and write part `k`. Waits while all threads are busy, so that images do not pile up."""
        self._pending.append(self._executor.submit(lambda: self._write(k, make())))
        if len(self._pending) > WRITERS:
            self._pending.popleft().result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits until all parts are written; raises what a thread raised."""
        self._executor.shutdown()
        if kind is None:
            for future in self._pending:
                future.result()
