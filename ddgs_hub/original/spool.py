"""The rows of any source on this machine's disk, in parts: what is there after a kill is not fetched again."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import Pinned
from ddgs_hub.core.schema import NonNegativeInt, read_json
from ddgs_hub.original.class_names import check_every_class
from ddgs_hub.original.labelling import original_rows
from ddgs_hub.original.reading import ReadPosition
from ddgs_hub.original.sources import open_source, refuse_revision
from ddgs_hub.original.subsets import get_subset

PART_BYTES = 128 * 2**20  # of rows in a part: what a kill costs
STATE_FILE = "state.json"
Pieces = Iterator[tuple[pa.Table, ReadPosition | None]]  # rows, and where reading goes on behind them


@dataclass(frozen=True)
class _State:
    """What `state.json` says: what was asked for, where it is, and how much of it is there."""

    wanted: list[str | None]
    pinned: Pinned | None
    parts: NonNegativeInt
    position: dict[str, Any] | None
    whole: bool


class Spool:
    """All rows of a split of a source, in Arrow files that are mapped into memory: they need not fit there.

    All columns of ours that the source has are kept, and the bytes of every image. Of a subset the columns are those of
    `write_original`. A Hub dataset is read at the commit where the first call found it: a later one goes on behind the
    last whole part, and asks nobody where all is there. A local source is read anew, for it may have been changed.

    Args:
        source: see `open_source`; a Hub dataset is streamed.
        split: of the source.
        folder: where to write.
        subset: a name of `subsets.SUBSETS`: its classes alone, in its order.
        config: the configuration of a Hub dataset that has several.
        revision: the revision of a Hub dataset.
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
        self.source, self.split, self.folder = source, split, folder
        self.subset = get_subset(subset) if subset else None
        self.config, self.revision = config, revision
        self.wanted = [source, split, subset, config, revision]
        self._opened: tuple[Features, Pieces] | None = None
        self._parts: list[Dataset] = []
        self._lock = threading.Lock()  # of `_parts`: a thread may fetch while another one uses what is there

    def open(self) -> None:
        """Opens the source where rows are missing; none is fetched, and nothing is written.

        Raises:
            InputError: the source, the split or a column is missing, it may not be read, or the subset is not in it.
            ConnectionLostError: the Hub cannot be reached.
        """
        refuse_revision(self.source, self.revision)
        state = _read_state(self.folder)
        if state.get("wanted") != self.wanted or not state["pinned"]:
            state = {"wanted": self.wanted, "pinned": None, "parts": 0, "position": None, "whole": False}
        self._state = state
        if state["whole"]:
            return
        at = state["pinned"]["commit"] if state["pinned"] else self.revision
        opened = open_source(self.source, self.split, config=self.config, revision=at)
        features, batches = opened.features, opened.read(position=state["position"])
        if self.subset:
            features, batches = original_rows(opened, self.subset, state["position"])
        self._opened = features, ((batch.table, batch.position) for batch in batches)
        state["pinned"] = asdict(opened.pinned) if opened.pinned else None

    def fetch(self, on_part: Callable[[int], bool] = lambda parts: True) -> None:
        """Writes the rows that are missing, after `open`.

        Args:
            on_part: called with the number of parts that are there, at first and then whenever some rows have come;
                False: no more is wanted.

        Raises:
            InputError: rows cannot be read, a label is wrong, a class of the subset has no image, or rows are missing.
            ConnectionLostError: the Hub no longer answers; another call goes on.
        """
        on_part(self._state["parts"])
        if self._opened:
            if not self._state["parts"]:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
            _write_state(self.folder, self._state)
            if not _write_parts(*self._opened, self.folder, self._state, on_part):
                return
        if self.subset:
            present = set(self.rows().unique("label"))
            check_every_class(present, list(self.subset.class_names), f"{self.source} ({self.split})")

    def parts(self, count: int) -> list[Dataset]:
        """The rows of the first parts, mapped from their files."""
        with self._lock:
            while len(self._parts) < count:
                self._parts.append(Dataset.from_file(str(self.folder / _part(len(self._parts)))))
            return self._parts[:count]

    def rows(self) -> Dataset:
        """The rows, mapped from their files."""
        return concatenate_datasets(self.parts(_read_state(self.folder)["parts"]))

    def pinned(self) -> Pinned | None:
        """Where on the Hub they came from."""
        pinned = _read_state(self.folder)["pinned"]
        return Pinned(**pinned) if pinned else None


class BackgroundFetch:
    """`Spool.fetch` in a thread: what is there can be used while the rest comes. Leaving the block ends it."""

    def __init__(self, spool: Spool) -> None:
        self._spool, self._thread, self._news = spool, threading.Thread(target=self._work), threading.Condition()
        self._parts, self._ended, self._wanted = 0, False, True
        self._error: BaseException | None = None

    def __enter__(self) -> "BackgroundFetch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wanted = False
        self._thread.join()

    def wait(self, known: int) -> tuple[int, bool]:
        """How many parts are there, when there are more than are known or all; and whether they are all.

        Raises:
            InputError: as `Spool.fetch`, when what came before is known.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or self._parts > known)
            if self._error and self._parts <= known:
                raise self._error
            return self._parts, self._ended and not self._error

    def _work(self) -> None:
        try:
            self._spool.fetch(self._count)
        except BaseException as error:
            self._error = error
        with self._news:
            self._ended = True
            self._news.notify()

    def _count(self, parts: int) -> bool:
        with self._news:
            self._parts = parts
            self._news.notify()
        return self._wanted


def _write_parts(
    features: Features, pieces: Pieces, folder: Path, state: dict[str, Any], on_part: Callable[[int], bool]
) -> bool:
    """Writes rows behind the parts that are there, each part whole or not at all; `state` keeps count.

    Returns:
        Whether all are there; not where `on_part` has said that no more is wanted.
    """
    schema, unfinished = features.arrow_schema, folder / "unfinished"
    while not state["whole"]:
        size, behind = 0, None
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for table, position in pieces:
                if not on_part(state["parts"]):
                    return False
                writer.write_table(table.select(schema.names).cast(schema))
                size += table.nbytes
                if size >= PART_BYTES and position is not None:
                    behind = position
                    break
        unfinished.rename(folder / _part(state["parts"]))
        # A part that a kill leaves without this line is written once more: the state alone says what there is.
        state.update(parts=state["parts"] + 1, position=behind, whole=behind is None)
        _write_state(folder, state)
        on_part(state["parts"])
    return True


def _part(number: int) -> str:
    return f"{number:05d}.arrow"


def _read_state(folder: Path) -> dict[str, Any]:
    """The state, as JSON values; empty where there is none, or where it is damaged: then all begins anew."""
    path = folder / STATE_FILE
    try:
        return asdict(read_json(path, _State, str(path))) if path.is_file() else {}
    except InputError:
        return {}


def _write_state(folder: Path, state: dict[str, Any]) -> None:
    partial = folder / "unfinished.json"
    partial.write_text(json.dumps(state), encoding="utf-8")
    partial.replace(folder / STATE_FILE)
