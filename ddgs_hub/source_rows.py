"""The rows of a source, wherever it is and whatever its columns are called: read in order, from any row group on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, IterableDataset
from datasets.table import embed_table_storage, table_cast
from huggingface_hub import HfFileSystem
from numpy.typing import NDArray
from tqdm import tqdm

from ddgs_hub.errors import InputError
from ddgs_hub.hub_sources import Pinned, reading
from ddgs_hub.rows import ROWS_PER_GROUP

KEYS = ("label", "wnid")  # what tells the classes apart
Position = dict[str, Any]  # plain JSON values
# Given `KEYS` of some rows and the number of the first one: which of them are wanted.
Choose = Callable[[pa.Table, int], Sequence[int]]


@dataclass(frozen=True)
class Chunk:
    """Some rows.

    Attributes:
        table: the columns of the source, images undecoded.
        rows: `(N,)`, their numbers in the source split.
        position: what `SourceRows.read` takes to go on behind them; None where it cannot.
    """

    table: pa.Table
    rows: NDArray[np.int64]
    position: Position | None = None


Chunks = Generator[Chunk, None, int]  # and in the end the number of the source's rows


def own_columns(features: Features, where: str) -> dict[str, str]:
    """Which column of a source is which of ours: its name → `image`, `label`, or its own name.

    The image is the column `image`, or the only one of images (a WebDataset's `jpg`). The label is the column `label`,
    or a WebDataset's `cls`, or the only ClassLabel. `__url__` is left out: it is the path of a shard.

    Raises:
        InputError: there is no such column.
    """
    images = [name for name, feature in features.items() if _is_image(feature)]
    labels = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    image = "image" if "image" in images else images[0] if len(images) == 1 else None
    label = next((name for name in ("label", "cls") if name in features), labels[0] if len(labels) == 1 else None)
    for column, found in (("image", image), ("label", label)):
        if found is None:
            raise InputError(
                f"{where} has no column '{column}': it has {', '.join(features)}; rename the one that holds it"
            )
    taken = {image: "image", label: "label"}
    others = {name: name for name in features if name not in (*taken, *taken.values(), "__url__")}
    return {name: {**taken, **others}[name] for name in features if name in {**taken, **others}}


def check_labels(labels: list[int | None], num_classes: int, first_row: int, where: str) -> None:
    """Raises an InputError that names the first row whose label is outside the classes.

    Args:
        labels: of rows that follow each other.
        num_classes: labels are 0 … num_classes − 1.
        first_row: number of the first of these rows.
        where: the source in messages.
    """
    for row, value in enumerate(labels, start=first_row):
        if value is None or not 0 <= value < num_classes:
            raise InputError(
                f"row {row} of {where} has label {value}, outside its {num_classes} classes: mend that row"
            )


def _is_image(feature: object) -> bool:
    """Whether a feature holds images: those of Parquet that datasets did not write are plain structs."""
    return isinstance(feature, Image) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


class SourceRows(ABC):
    """An opened split of a source.

    Attributes:
        where: its name in messages.
        features: of its rows, under our names.
        columns: name in the source → our name.
        expected: how many rows it should have; None where it does not say.
        pinned: of the Hub; None for what is local.
    """

    def __init__(self, where: str, features: Features, *, expected: int | None, pinned: Pinned | None) -> None:
        self.where, self.expected, self.pinned = where, expected, pinned
        self.columns = own_columns(features, where)
        own = {column: Image() if column == "image" else features[name] for name, column in self.columns.items()}
        self.features = Features(own)

    def read(
        self, names: Sequence[str] | None = None, choose: Choose | None = None, position: Position | None = None
    ) -> Iterator[Chunk]:
        """The rows in order, at most `ROWS_PER_GROUP` at a time.

        Args:
            names: our names of the columns that are needed; None for all. Others are not read where the format allows.
            choose: which rows are needed; None for all.
            position: of an earlier chunk, to go on behind it.

        Raises:
            ConnectionLostError: the Hub no longer answers.
            InputError: the files are damaged, or hold another number of rows than the source says.
        """
        wanted = [name for name in self.features if names is None or name in names]
        done = position["row"] if position else 0
        bar = tqdm(desc="read", total=self.expected, initial=done, unit="row", leave=False, delay=2, disable=None)
        with reading(self.where), bar as self._bar:
            end = yield from self._chunks(wanted, choose, position)
        if self.expected is not None and end != self.expected:
            raise InputError(
                f"{self.where} ended after {end:,} rows, where its repository says {self.expected:,}: "
                "mend its card, or give a --revision whose files are whole"
            )

    @abstractmethod
    def _chunks(self, names: list[str], choose: Choose | None, position: Position | None) -> Chunks:
        """Chunks, none of them empty; moves the bar on."""

    def _theirs(self, names: Iterable[str]) -> list[str]:
        return [name for name, column in self.columns.items() if column in names]

    def _own(self, table: pa.Table, names: Sequence[str]) -> pa.Table:
        """A table of the source under our names and in our types, with the bytes of images that are files."""
        table = table.rename_columns([self.columns[name] for name in table.column_names])
        undecoded = {name: Image(decode=False) if name == "image" else self.features[name] for name in names}
        return embed_table_storage(table_cast(table.select(names), Features(undecoded).arrow_schema))


class ParquetRows(SourceRows):
    """Rows of Parquet files, here or on the Hub.

    Where rows are chosen, the other columns are read of those row groups alone that hold a wanted row. That saves most
    where the rows are sorted by class; of ten out of 1,000 classes in shuffled row groups of 100, as in ImageNet-1k,
    a third.
    """

    def __init__(
        self,
        files: Sequence[str],
        where: str,
        features: Features | None,
        *,
        expected: int | None,
        pinned: Pinned | None,
    ) -> None:
        self.files = list(files)
        if features is None:
            with reading(where), open_parquet(self.files[0]) as file:
                features = Features.from_arrow_schema(file.schema_arrow)
        super().__init__(where, features, expected=expected, pinned=pinned)

    def _chunks(self, names: list[str], choose: Choose | None, position: Position | None) -> Chunks:
        first, skipped, row = (position["file"], position["group"], position["row"]) if position else (0, 0, 0)
        for number in range(first, len(self.files)):
            with open_parquet(self.files[number]) as file:
                for group in range(skipped if number == first else 0, file.num_row_groups):
                    count = file.metadata.row_group(group).num_rows
                    kept = np.arange(count)
                    if choose:
                        keys = [name for name in KEYS if name in self.features]
                        table = file.read_row_group(group, columns=self._theirs(keys))
                        kept = np.asarray(choose(self._own(table, keys), row), dtype=np.int64)
                    behind = {"file": number, "group": group + 1, "row": row + count}
                    for table, rows in self._rows(file, group, names, kept):
                        yield Chunk(table, row + rows, behind if rows[-1] == kept[-1] else None)
                    row += count
                    self._bar.update(count)
        return row

    def _rows(
        self, file: pq.ParquetFile, group: int, names: list[str], kept: NDArray[np.int64]
    ) -> Iterator[tuple[pa.Table, NDArray[np.int64]]]:
        """The kept rows of a row group and their numbers in it."""
        if not len(kept):
            return
        start = 0
        for batch in file.iter_batches(ROWS_PER_GROUP, row_groups=[group], columns=self._theirs(names)):
            rows = kept[(start <= kept) & (kept < start + len(batch))]
            if len(rows):
                yield self._own(pa.Table.from_batches([batch]).take(rows - start), names), rows
            start += len(batch)


class StreamRows(SourceRows):
    """Rows of what datasets streams: a WebDataset, images in folders, a dataset in memory. It reads all columns."""

    def __init__(
        self,
        stream: IterableDataset,
        where: str,
        features: Features | None = None,
        *,
        expected: int | None,
        pinned: Pinned | None,
    ) -> None:
        super().__init__(where, features or stream.features or Features(), expected=expected, pinned=pinned)
        (image,), (self._label,) = self._theirs(["image"]), self._theirs(["label"])
        self.stream = stream.cast_column(image, Image(decode=False))

    def _chunks(self, names: list[str], choose: Choose | None, position: Position | None) -> Chunks:
        stream = self.stream.select_columns(self._theirs(names)).with_format("arrow")
        row = 0
        if position:
            row = position["row"]
            stream.load_state_dict(position["state"])
        for table in stream.iter(batch_size=ROWS_PER_GROUP):
            label = self.features["label"]
            if isinstance(label, ClassLabel) and "label" in names:
                check_labels(table.column(self._label).to_pylist(), label.num_classes, row, self.where)
            keys = [name for name in KEYS if name in names]
            kept = np.arange(len(table))
            if choose:
                kept = np.asarray(choose(self._own(table.select(self._theirs(keys)), keys), row), dtype=np.int64)
            if len(kept):
                behind = {"state": stream.state_dict(), "row": row + len(table)}
                yield Chunk(self._own(table.take(kept), names), row + kept, behind)
            row += len(table)
            self._bar.update(len(table))
        return row


@contextmanager
def open_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file of this machine or of the Hub, of which no more is fetched than is read."""
    hub = HfFileSystem() if path.startswith("hf://") else None
    # What is read ahead by default would be images. The client tries again by itself where a connection breaks.
    with (
        hub.open(path, cache_type="none") if hub else Path(path).open("rb") as handle,
        pq.ParquetFile(handle, pre_buffer=True) as file,
    ):
        yield file
