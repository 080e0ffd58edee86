"""The rows of a source, wherever it is and whatever its columns are called: read in order, from any row group on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, IterableDataset
from numpy.typing import NDArray
from tqdm import tqdm

from ddgs_hub.core.columns import ColumnMapping, choose_columns, class_columns, declared_classes
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.foreign_rows import sanitize_table
from ddgs_hub.core.hub_client import Pinned, reading
from ddgs_hub.core.parquet import open_parquet
from ddgs_hub.core.rows import ROWS_PER_GROUP
from ddgs_hub.core.text import quoted

KEYS = ("label", "wnid")  # what tells the classes apart
ReadPosition = dict[str, Any]  # plain JSON values
# Given `KEYS` of some rows and the number of the first one: which of them are wanted.
RowFilter = Callable[[pa.Table, int], Sequence[int]]


@dataclass(frozen=True)
class RowBatch:
    """Some rows.

    Attributes:
        table: the columns of the source, images undecoded.
        row_numbers: `(N,)`, in the source split.
        position: what `SourceRows.read` takes to go on behind them; None where it cannot.
    """

    table: pa.Table
    row_numbers: NDArray[np.int64]
    position: ReadPosition | None = None


RowBatches = Generator[RowBatch, None, int]  # and in the end the number of the source's rows


@dataclass(frozen=True)
class ColumnNames:
    """Which columns of a source the user says are ours.

    Attributes:
        image: the column of images; None: it is found, see `choose_columns`.
        label: the column of labels, such as CIFAR-100's `fine_label`; None: it is found.
    """

    image: str | None = None
    label: str | None = None


class SourceRows(ABC):
    """An opened split of a source.

    Args:
        columns: which of its columns are ours.
        where: its name in messages.
        expected: how many rows it should have; None where it does not say.
        pinned: of the Hub; None for what is local.

    Attributes:
        features: of its rows, under our names.

    Raises:
        InputError: it has no images, or no labels.
    """

    def __init__(self, columns: ColumnMapping, where: str, *, expected: int | None, pinned: Pinned | None) -> None:
        self.where, self.expected, self.pinned = where, expected, pinned
        self.columns, self.features = columns, columns.features
        for name in ("image", "label"):
            if name not in self.features:
                raise InputError(
                    f"{where} has no column '{name}': it has {columns.description}; name the one that holds it by "
                    f"data.{name}_column, or rename it"
                )

    def read(
        self,
        names: Sequence[str] | None = None,
        row_filter: RowFilter | None = None,
        position: ReadPosition | None = None,
    ) -> Iterator[RowBatch]:
        """The rows in order, at most `ROWS_PER_GROUP` at a time.

        Args:
            names: our names of the columns that are needed; None for all. Others are not read where the format allows.
            row_filter: which rows are needed; None for all.
            position: of an earlier batch, to go on behind it.

        Raises:
            ConnectionLostError: the Hub no longer answers.
            InputError: the files are damaged, or hold another number of rows than the source says.
        """
        wanted = [name for name in self.features if names is None or name in names]
        done = position["row"] if position else 0
        bar = tqdm(desc="read", total=self.expected, initial=done, unit="row", leave=False, delay=2, disable=None)
        with reading(self.where), bar as self._bar:
            end = yield from self._batches(wanted, row_filter, position)
        if self.expected is not None and end != self.expected:
            raise InputError(
                f"{self.where} ended after {end:,} rows, where its repository says {self.expected:,}: "
                "mend its card, or give a --revision whose files are whole"
            )

    @abstractmethod
    def _batches(self, names: list[str], row_filter: RowFilter | None, position: ReadPosition | None) -> RowBatches:
        """RowBatches, none of them empty; moves the bar on."""

    def _admit(self, table: pa.Table, first_row: int) -> pa.Table:
        """Rows of the source that follow each other, or some of them, as they go on."""
        return sanitize_table(table, self.columns, first_row=first_row, where=self.where)


class ParquetRows(SourceRows):
    """Rows of Parquet files, here or on the Hub.

    Where rows are chosen, the other columns are read of those row groups alone that hold a wanted row. That saves most
    where the rows are sorted by class; of ten out of 1,000 classes in shuffled row groups of 100, as in ImageNet-1k,
    a third.

    Args:
        files: paths here, or addresses on the Hub.
        where: see `SourceRows`.
        wanted: which columns are image and label, where the user says so.
        classes: of the columns, where a card declares them; None: what the first file says.
        expected: see `SourceRows`.
        pinned: see `SourceRows`.
    """

    def __init__(
        self,
        files: Sequence[str],
        where: str,
        column_names: ColumnNames = ColumnNames(),
        classes: Mapping[str, ClassLabel] | None = None,
        *,
        expected: int | None,
        pinned: Pinned | None,
    ) -> None:
        self.files = list(files)
        with open_parquet(self.files[0], where) as file:
            self._schema = file.schema_arrow
        self._classes = class_columns(self._schema, where)
        refuse_other_order(self._classes, classes or {}, where)
        declared = {**self._classes, **(classes or {})}
        columns = choose_columns(self._schema, where, declared, image=column_names.image, label=column_names.label)
        super().__init__(columns, where, expected=expected, pinned=pinned)

    def _batches(self, names: list[str], row_filter: RowFilter | None, position: ReadPosition | None) -> RowBatches:
        first, skipped, row = (position["file"], position["group"], position["row"]) if position else (0, 0, 0)
        keys = self.columns.source_names([name for name in KEYS if name in self.features])
        for number in range(first, len(self.files)):
            with open_parquet(self.files[number], self.where) as file:
                self._check_schema(file.schema_arrow, number)
                for group in range(skipped if number == first else 0, file.num_row_groups):
                    count = file.metadata.row_group(group).num_rows
                    kept = np.arange(count)
                    if row_filter:
                        table = file.read_row_group(group, columns=keys)
                        kept = np.asarray(row_filter(self._admit(table, row), row), dtype=np.int64)
                    behind = {"file": number, "group": group + 1, "row": row + count}
                    for table, rows in self._rows(file, group, names, kept, row):
                        yield RowBatch(table, row + rows, behind if rows[-1] == kept[-1] else None)
                    row += count
                    self._bar.update(count)
        return row

    def _check_schema(self, schema: pa.Schema, number: int) -> None:
        """Files of one split that count their classes in different ways would be mixed without a word."""
        theirs = self.columns.source_names(list(self.features))
        same = all(schema.names.count(n) == 1 and schema.field(n).type == self._schema.field(n).type for n in theirs)
        if not same or class_columns(schema, self.where) != self._classes:
            raise _unlike_the_first(number, self.where)

    def _rows(
        self, file: pq.ParquetFile, group: int, names: list[str], kept: NDArray[np.int64], first_row: int
    ) -> Iterator[tuple[pa.Table, NDArray[np.int64]]]:
        """The kept rows of a row group and their numbers in it."""
        if not len(kept):
            return
        start = 0
        for batch in file.iter_batches(ROWS_PER_GROUP, row_groups=[group], columns=self.columns.source_names(names)):
            rows = kept[(start <= kept) & (kept < start + len(batch))]
            if len(rows):
                admitted = self._admit(pa.Table.from_batches([batch]), first_row + start)
                yield admitted.take(rows - start).select(names), rows
            start += len(batch)


class StreamRows(SourceRows):
    """Rows that datasets streams as Arrow tables: a dataset in memory, or in the cache of datasets. It reads all."""

    def __init__(
        self,
        stream: IterableDataset,
        where: str,
        column_names: ColumnNames = ColumnNames(),
        features: Features | None = None,
        *,
        expected: int | None,
        pinned: Pinned | None,
    ) -> None:
        features = features or stream.features or Features()
        classes = declared_classes(features, where)
        columns = choose_columns(
            features.arrow_schema, where, classes, image=column_names.image, label=column_names.label
        )
        super().__init__(columns, where, expected=expected, pinned=pinned)
        self.stream = stream

    def _batches(self, names: list[str], row_filter: RowFilter | None, position: ReadPosition | None) -> RowBatches:
        theirs = self.columns.source_names(names)
        plain = {name: Image(decode=False) for name in self.columns.source_names(["image"])}
        stream = self.stream.select_columns(theirs)
        for name, feature in plain.items():
            stream = stream.cast_column(name, feature)
        stream = stream.with_format("arrow")
        row = 0
        if position:
            row = position["row"]
            stream.load_state_dict(position["state"])
        for table in stream.iter(batch_size=ROWS_PER_GROUP):
            admitted = self._admit(table, row)
            kept = np.arange(len(table))
            if row_filter:
                keys = [name for name in KEYS if name in names]
                kept = np.asarray(row_filter(admitted.select(keys), row), dtype=np.int64)
            if len(kept):
                behind = {"state": stream.state_dict(), "row": row + len(table)}
                yield RowBatch(admitted.take(kept).select(names), row + kept, behind)
            row += len(table)
            self._bar.update(len(table))
        return row


def require_same_classes(files: Sequence[str], where: str, declared: Mapping[str, ClassLabel] | None) -> None:
    """Refuses Parquet files whose labels count classes in different orders, by their footers alone.

    datasets takes the names of the card, or of the first file, for all of them.

    Args:
        files: paths here, or addresses on the Hub.
        where: what they are, for messages.
        declared: the classes that the card declares; None: it declares no columns.

    Raises:
        InputError: two files, or a file and the card, contradict each other.
    """
    first: dict[str, ClassLabel] = {}
    for number, path in enumerate(files):
        with open_parquet(path, where) as file:
            classes = class_columns(file.schema_arrow, where)
        if number == 0:
            first = classes
            refuse_other_order(classes, declared or {}, where)
        elif classes != first:
            raise _unlike_the_first(number, where)


def refuse_other_order(own: Mapping[str, ClassLabel], declared: Mapping[str, ClassLabel], where: str) -> None:
    """Refuses a card that gives a class of a file another number; it may call classes by other names.

    Raises:
        InputError: the message names the class.
    """
    for column in own.keys() & declared.keys():
        numbers = {name: number for number, name in enumerate(own[column].names)}
        for number, name in enumerate(declared[column].names):
            if numbers.get(name, number) != number:
                raise InputError(
                    f"class {quoted(name)} of {where} is {number} in the card and {numbers[name]} in the files: mend "
                    "its card"
                )


def _unlike_the_first(number: int, where: str) -> InputError:
    return InputError(f"file {number + 1} of {where} has other columns or classes than the first: write them alike")
