"""The rows of a source on this machine's disk, in parts: after a kill, what is already there is not fetched again.

A caller can use each part while the next one is fetched, see `BackgroundFetch`.
"""

import json
import shutil
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import Pinned
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.schema import NonNegativeInt, read_json
from ddgs_hub.original.class_names import check_every_class
from ddgs_hub.original.labelling import original_rows
from ddgs_hub.original.reading import RowBatch
from ddgs_hub.original.sources import open_source, refuse_revision
from ddgs_hub.original.subsets import get_subset

PART_BYTES = 128 * 2**20  # of rows in a part: what a kill costs
STATE_FILE = "state.json"


@dataclass(frozen=True)
class _State:
    """What `state.json` holds.

    Attributes:
        request: source, split, subset, configuration and revision that were asked for.
        pinned: the Hub dataset at the commit that is read; None for a local source.
        parts: how many are written.
        position: behind the last part, see `SourceRows.read`; None at the beginning and at the end.
        whole: whether all rows are written.
    """

    request: list[str | None]
    pinned: Pinned | None = None
    parts: NonNegativeInt = 0
    position: dict[str, Any] | None = None
    whole: bool = False


class Spool:
    """All rows of a split of a source, in Arrow files that are mapped into memory: they need not fit there.

    All columns of ours that the source has are kept, and the bytes of every image. With a subset the columns are those
    of `original_rows`. A Hub dataset is read at the commit at which the first call finds it. A later call goes on
    behind the last part, and does not ask the Hub if all parts are there. A local source is read anew by every call,
    because it may have changed.

    Args:
        source: see `open_source`; a Hub dataset is streamed.
        split: of the source.
        folder: where to write.
        subset: a name of `subsets.SUBSETS`: only its classes, in its order.
        config: the configuration of a Hub dataset that has several.
        revision: the revision of a Hub dataset.

    Attributes:
        expected: how many rows there will be, once it is opened; None: the source does not say.
    """

    def __init__(
        self,
        source: str,
        split: str,
        folder: Path,
        *,
        subset: str | None = None,
        config: str | None = None,
        revision: str | None = None,
    ) -> None:
        source, revision = named_revision(source, revision)
        self.source, self.split, self.folder = source, split, folder
        self.subset = get_subset(subset) if subset else None
        self.config, self.revision = config, revision
        self.request = [source, split, subset, config, revision]
        self.expected: int | None = None
        self._opened: tuple[Features, Iterator[RowBatch]] | None = None
        self._parts: list[Dataset] = []
        self._lock = threading.Lock()  # of `_parts`: one thread may fetch while others use what is there

    def open(self) -> None:
        """Opens the source, unless all rows are there; fetches none of them, and writes nothing.

        Raises:
            InputError: the source, the split or a column is missing, it may not be read, or the subset is not in it.
            ConnectionLostError: the Hub cannot be reached.
        """
        refuse_revision(self.source, self.revision)
        state = _read_state(self.folder)
        if state is None or state.request != self.request or state.pinned is None:
            state = _State(self.request)
        self._state = state
        if state.whole:
            return
        commit = state.pinned.commit if state.pinned else self.revision
        source = open_source(self.source, self.split, config=self.config, revision=commit)
        if self.subset:
            self._opened = original_rows(source, self.subset, state.position)
        else:
            self._opened = source.features, source.read(position=state.position)
            self.expected = source.expected
        self._state = replace(state, pinned=source.pinned)

    def fetch(self) -> None:
        """Writes the rows that are missing, after `open`.

        Raises:
            InputError: rows cannot be read, a label is wrong, a class of the subset has no image, or rows are missing.
            ConnectionLostError: the Hub no longer answers; another call goes on.
        """
        for _ in self.fetch_steps():
            pass

    def fetch_steps(self) -> Generator[int, None, None]:
        """`fetch` in steps, after each of which it may be given up.

        Yields:
            The number of parts that are there: first of all, and whenever some rows have come.

        Raises:
            InputError, ConnectionLostError: as `fetch`.
        """
        yield self._state.parts
        if self._opened:
            if not self._state.parts:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
            _write_state(self.folder, self._state)
            yield from self._write_parts(*self._opened)
        if self.subset:
            labels = set(self.rows().unique("label"))
            check_every_class(labels, self.subset.class_names, f"{self.source} ({self.split})")

    def _write_parts(self, features: Features, batches: Iterator[RowBatch]) -> Iterator[int]:
        """Writes rows behind the parts that are there, each part whole or not at all; yields as `fetch_steps`."""
        schema, unfinished = features.arrow_schema, self.folder / "unfinished"
        while not self._state.whole:
            size, position = 0, None
            with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
                for batch in batches:
                    yield self._state.parts
                    writer.write_table(batch.table.select(schema.names).cast(schema))
                    size += batch.table.nbytes
                    if size >= PART_BYTES and batch.position is not None:
                        position = batch.position
                        break
            count = self._state.parts
            unfinished.rename(self.folder / _part_name(count))
            # If a kill comes before the state is written, this part is written once more: the state alone counts.
            self._state = replace(self._state, parts=count + 1, position=position, whole=position is None)
            _write_state(self.folder, self._state)
            yield self._state.parts

    def parts(self, count: int) -> list[Dataset]:
        """The rows of the first `count` parts, mapped from their files."""
        with self._lock:
            while len(self._parts) < count:
                self._parts.append(Dataset.from_file(str(self.folder / _part_name(len(self._parts)))))
            return self._parts[:count]

    def rows(self) -> Dataset:
        """All rows that are written, mapped from their files."""
        return concatenate_datasets(self.parts(self._written().parts))

    def pinned(self) -> Pinned | None:
        """The Hub dataset at the commit from which the rows came; None for a local source."""
        return self._written().pinned

    def _written(self) -> _State:
        """The state on disk: another process of the launch may have written it."""
        state = _read_state(self.folder)
        assert state is not None  # `fetch` has written it
        return state


class BackgroundFetch:
    """`Spool.fetch` in a thread, so that parts can be used while the next ones come. Leaving the block ends it."""

    def __init__(self, spool: Spool) -> None:
        self._spool, self._thread = spool, threading.Thread(target=self._fetch)
        self._progress = threading.Condition()  # of the next three
        self._parts, self._ended = 0, False
        self._error: BaseException | None = None
        self._given_up = False

    def __enter__(self) -> "BackgroundFetch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up = True
        self._thread.join()

    def wait(self, seen: int) -> tuple[int, bool]:
        """Waits for more parts than those that the caller has seen, or for the end.

        Args:
            seen: the number of parts that the last call returned; 0 at first.

        Returns:
            How many parts are there, and whether these are all.

        Raises:
            InputError, ConnectionLostError: as `Spool.fetch`; first the parts that came before the error are returned.
        """
        with self._progress:
            self._progress.wait_for(lambda: self._ended or self._parts > seen)
            if self._error and self._parts <= seen:
                raise self._error
            return self._parts, self._ended and not self._error

    def _fetch(self) -> None:
        try:
            with closing(self._spool.fetch_steps()) as steps:
                for parts in steps:
                    with self._progress:
                        self._parts = parts
                        self._progress.notify()
                    if self._given_up:
                        break
        except BaseException as error:
            self._error = error
        with self._progress:
            self._ended = True
            self._progress.notify()


def _part_name(number: int) -> str:
    return f"{number:05d}.arrow"


def _read_state(folder: Path) -> _State | None:
    """The state of a folder; None if there is none, or if it is damaged: then everything is fetched anew."""
    path = folder / STATE_FILE
    try:
        return read_json(path, _State, str(path)) if path.is_file() else None
    except InputError:
        return None


def _write_state(folder: Path, state: _State) -> None:
    partial = folder / "unfinished.json"
    partial.write_text(json.dumps(asdict(state)), encoding="utf-8")
    partial.replace(folder / STATE_FILE)
