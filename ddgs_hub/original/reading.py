"""The rows of an opened source: read in order, and from any position on; Parquet files, and streams of datasets."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, IterableDataset
from numpy.typing import NDArray

from ddgs_hub.core.columns import ColumnMapping, choose_columns, class_columns, declared_classes
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.foreign_rows import sanitize_table
from ddgs_hub.core.hub_client import Pinned, reading
from ddgs_hub.core.parquet import open_parquet
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import ROWS_PER_GROUP
from ddgs_hub.core.text import quoted
from ddgs_hub.original.split_files import SplitFiles

CLASS_COLUMNS = ("label", "wnid")  # the columns that tell classes apart; a row filter sees only these
ReadPosition = dict[str, Any]  # plain JSON values; each kind of source has its own
# Takes the class columns of some rows and the number of the first one; returns which of these rows to keep, ascending.
RowFilter = Callable[[pa.Table, int], Sequence[int]]


@dataclass(frozen=True)
class RowBatch:
    """Some rows of a source.

    Attributes:
        table: columns under our names, images undecoded.
        row_numbers: `(N,)`, in the source split.
        position: behind these rows, for `SourceRows.read`; None if reading cannot go on there.
    """

    table: pa.Table
    row_numbers: NDArray[np.int64]
    position: ReadPosition | None = None


RowBatches = Generator[RowBatch, None, int]  # returns the number of rows of the source


@dataclass(frozen=True)
class ColumnNames:
    """Names of columns in the source, as the user gives them.

    Attributes:
        image: the column of images; None: see `choose_columns`.
        label: the column of labels, such as `fine_label` of CIFAR-100; None: see `choose_columns`.
    """

    image: str | None = None
    label: str | None = None


class SourceRows(ABC):
    """An opened split of a source.

    Args:
        columns: which of its columns are ours.
        where: the source, for messages.
        expected: how many rows it should have; None if it does not say so.
        pinned: the Hub dataset at a commit; None for a local source.

    Attributes:
        features: of the rows, under our names.
        labels_alone: whether labels can be read without the images beside them.

    Raises:
        InputError: the source has no images, or no labels.
    """

    labels_alone = False

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
    ) -> Generator[RowBatch, None, None]:
        """The rows in order, at most `ROWS_PER_GROUP` at a time.

        Args:
            names: our columns that are needed; None for all. The others are not read, if the format allows that.
            row_filter: which rows to keep; None for all.
            position: of an earlier batch, to go on behind it.

        Raises:
            ConnectionLostError: the Hub no longer answers.
            InputError: the files are damaged, or do not hold as many rows as expected.
        """
        names = [name for name in self.features if names is None or name in names]
        done = position["row"] if position else 0
        with reading(self.where), Progress("read", self.expected, unit="row", done=done) as self._progress:
            end = yield from self._batches(names, row_filter, position)
        if self.expected is not None and end != self.expected:
            raise InputError(
                f"{self.where} ended after {end:,} rows, where its repository says {self.expected:,}: "
                "mend its card, or give a --revision whose files are whole"
            )

    def row_name(self, number: int) -> str:
        """What messages call a row."""
        return str(number)

    @abstractmethod
    def _batches(self, names: list[str], row_filter: RowFilter | None, position: ReadPosition | None) -> RowBatches:
        """Batches with at least one row each; counts them."""

    def _sanitize(self, table: pa.Table, first_row: int) -> pa.Table:
        """Consecutive rows of the source, with some of its columns, as they may go on."""
        return sanitize_table(table, self.columns, first_row=first_row, where=self.where)


class ParquetRows(SourceRows):
    """Rows of Parquet files on this machine or on the Hub.

    With a row filter, the class columns of a row group are read first, and its other columns only if a row is kept.
    This saves most if the rows are sorted by class. Of ten out of 1,000 classes in shuffled row groups of 100, as in
    ImageNet-1k, it saves a third.

    Args:
        split: its files; classes that the card does not declare are those that the first file declares.
        where: see `SourceRows`.
        column_names: which columns are image and label, if the user says so.
        pinned: see `SourceRows`.
    """

    labels_alone = True

    def __init__(
        self, split: SplitFiles, where: str, column_names: ColumnNames = ColumnNames(), *, pinned: Pinned | None
    ) -> None:
        self.files = split.files
        with open_parquet(self.files[0], where) as file:
            self._schema = file.schema_arrow
        self._classes = class_columns(self._schema, where)
        refuse_other_order(self._classes, split.classes or {}, where)
        declared = {**self._classes, **(split.classes or {})}
        columns = choose_columns(self._schema, where, declared, image=column_names.image, label=column_names.label)
        super().__init__(columns, where, expected=split.expected, pinned=pinned)

    def _batches(self, names: list[str], row_filter: RowFilter | None, position: ReadPosition | None) -> RowBatches:
        first, skipped, row = (position["file"], position["group"], position["row"]) if position else (0, 0, 0)
        filter_columns = self.columns.source_names([name for name in CLASS_COLUMNS if name in self.features])
        for number in range(first, len(self.files)):
            with open_parquet(self.files[number], self.where) as file:
                self._check_schema(file.schema_arrow, number)
                for group in range(skipped if number == first else 0, file.num_row_groups):
                    count = file.metadata.row_group(group).num_rows
                    kept = np.arange(count)
                    if row_filter:
                        table = file.read_row_group(group, columns=filter_columns)
                        kept = np.asarray(row_filter(self._sanitize(table, row), row), dtype=np.int64)
                    behind = {"file": number, "group": group + 1, "row": row + count}
                    for table, rows in self._rows(file, group, names, kept, row):
                        yield RowBatch(table, row + rows, behind if rows[-1] == kept[-1] else None)
                    row += count
                    self._progress.update(count)
        return row

    def _check_schema(self, schema: pa.Schema, number: int) -> None:
        """Refuses a file with other columns or classes: labels that count classes differently would be mixed up."""
        names = self.columns.source_names(list(self.features))
        same = all(schema.names.count(n) == 1 and schema.field(n).type == self._schema.field(n).type for n in names)
        if not same or class_columns(schema, self.where) != self._classes:
            raise _unlike_the_first(number, self.where)

    def _rows(
        self, file: pq.ParquetFile, group: int, names: list[str], kept: NDArray[np.int64], first_row: int
    ) -> Iterator[tuple[pa.Table, NDArray[np.int64]]]:
        """The kept rows of a row group, and their numbers in it."""
        if not len(kept):
            return
        start = 0
        columns = self.columns.source_names(names)
        for batch in file.iter_batches(ROWS_PER_GROUP, row_groups=[group], columns=columns):
            rows = kept[(start <= kept) & (kept < start + len(batch))]
            if len(rows):
                sanitized = self._sanitize(pa.Table.from_batches([batch]), first_row + start)
                yield sanitized.take(rows - start).select(names), rows
            start += len(batch)


class StreamRows(SourceRows):
    """Rows that datasets streams: of a dataset in memory, in its cache, or in Arrow files. All columns are read."""

    def __init__(
        self,
        stream: IterableDataset,
        where: str,
        column_names: ColumnNames = ColumnNames(),
        *,
        expected: int | None,
        pinned: Pinned | None,
    ) -> None:
        features = stream.features or Features()
        classes, schema = declared_classes(features, where), features.arrow_schema
        columns = choose_columns(schema, where, classes, image=column_names.image, label=column_names.label)
        super().__init__(columns, where, expected=expected, pinned=pinned)
        self.stream = stream

    def _batches(self, names: list[str], row_filter: RowFilter | None, position: ReadPosition | None) -> RowBatches:
        stream = self.stream.select_columns(self.columns.source_names(names))
        for name in self.columns.source_names(["image"] if "image" in names else []):
            stream = stream.cast_column(name, Image(decode=False))
        stream = stream.with_format("arrow")
        row = 0
        if position:
            row = position["row"]
            stream.load_state_dict(position["state"])
        for table in stream.iter(batch_size=ROWS_PER_GROUP):
            sanitized = self._sanitize(table, row)
            kept = np.arange(len(table))
            if row_filter:
                filter_columns = [name for name in CLASS_COLUMNS if name in names]
                kept = np.asarray(row_filter(sanitized.select(filter_columns), row), dtype=np.int64)
            if len(kept):
                behind = {"state": stream.state_dict(), "row": row + len(table)}
                yield RowBatch(sanitized.take(kept).select(names), row + kept, behind)
            row += len(table)
            self._progress.update(len(table))
        return row


def require_same_classes(files: Sequence[str], where: str, declared: Mapping[str, ClassLabel] | None) -> None:
    """Refuses Parquet files whose labels count the classes in different orders; only their footers are read.

    datasets would take the names of the card, or of the first file, for the labels of all files.

    Args:
        files: paths, or addresses on the Hub.
        where: what they are, for messages.
        declared: column → classes that the card declares; None: the card declares no columns.

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


def refuse_other_order(in_file: Mapping[str, ClassLabel], in_card: Mapping[str, ClassLabel], where: str) -> None:
    """Refuses a card that numbers the classes of a file differently; it may give classes other names.

    Args:
        in_file: column → classes by the metadata of a file.
        in_card: column → classes by the card.
        where: what they are, for messages.

    Raises:
        InputError: the message names the first class with two numbers.
    """
    for column in in_file.keys() & in_card.keys():
        numbers = {name: number for number, name in enumerate(in_file[column].names)}
        for number, name in enumerate(in_card[column].names):
            if numbers.get(name, number) != number:
                raise InputError(
                    f"class {quoted(name)} of {where} is {number} in the card and {numbers[name]} in the files: mend "
                    "its card"
                )


def _unlike_the_first(number: int, where: str) -> InputError:
    return InputError(f"file {number + 1} of {where} has other columns or classes than the first: write them alike")
