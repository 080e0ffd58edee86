"""Rows on disk: how every box of the data flow is written, whole or not at all, and read again."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset, Features, Image
from datasets.fingerprint import generate_random_fingerprint
from numpy.typing import NDArray

from ddgs_hub.core.columns import ColumnMapping, choose_columns, class_columns, declared_classes
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.foreign_rows import sanitize_table
from ddgs_hub.core.parquet import open_parquet, write_parquet
from ddgs_hub.core.text import quoted

DATA = "data"  # where a folder in Hub layout keeps its rows
SHARD = re.compile(r"(.*)-(\d{1,9})-of-(\d{1,9})(?:\.\w+)*", re.DOTALL)  # what a file of several is called
ROWS_PER_GROUP = 256  # that are read at once: about 30 MB of ImageNet's JPEGs
SHARD_BYTES = 500 * 10**6  # of rows in a file, as datasets has it: what fails is sent again whole


def parquet_path(folder: str | Path, split: str = "train") -> Path:
    """Where a folder in Hub layout keeps a split that is one file."""
    return Path(folder) / DATA / f"{split}-00000-of-00001.parquet"


def row_files(folder: str | Path, split: str = "train") -> list[Path]:
    """The Parquet files of a split in a folder of Hub layout, in order; those of `train-more` are not `train`'s.

    Raises:
        InputError: by their names, some are missing, or are of another writing.
    """
    named = re.compile(rf"{re.escape(split)}-\d+(-of-\d+)?\.parquet")
    files = sorted(path for path in Path(folder).glob(f"{DATA}/*.parquet") if named.fullmatch(path.name))
    require_whole([str(path) for path in files], f"split '{split}' of {folder}")
    return files


def require_whole(files: Sequence[str], where: str) -> None:
    """Refuses files that are named twice, or of which their names, `…-00000-of-00003`, say that some are missing.

    Raises:
        InputError: the message names the first such file.
    """
    groups: dict[str, dict[int, set[int]]] = {}
    for file in files:
        if match := SHARD.fullmatch(file):
            groups.setdefault(match[1], {}).setdefault(int(match[3]), set()).add(int(match[2]))
    for beginning, written in groups.items():
        (count, numbers), *others = written.items()
        if others or numbers != set(range(count)):
            name = PurePosixPath(beginning).name
            raise InputError(
                f"{where} is not whole: the numbers of its files {quoted(name)}… do not go from 0 to what they say; "
                "get them all, of one writing"
            )
    for file, times in Counter(files).items():
        if times > 1:
            raise InputError(f"{where} names {quoted(PurePosixPath(file).name)} twice: name each file once")


def write_tables(tables: Iterable[pa.Table], features: Features, path: Path) -> int:
    """Writes Arrow tables one after the other as one Parquet file; returns the number of rows.

    The schema carries datasets' own metadata, so `load_dataset` finds `Image` and `ClassLabel` again without a card.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = features.arrow_schema
    return write_parquet((table.select(schema.names).cast(schema) for table in tables), schema, path)


def write_rows(rows: Dataset, folder: str | Path, split: str = "train") -> None:
    """Writes a dataset as `folder/data/<split>-….parquet`, with the bytes of every image, in files of `SHARD_BYTES`.

    Raises:
        InputError: a row has no bytes of an image, see `sanitize_table`.
    """
    if isinstance(rows.features.get("image"), Image):
        rows = rows.cast_column("image", Image())  # an undecoded column would be written as such
    plain = rows.with_format("arrow")
    where = "the rows to write"
    columns = choose_columns(rows.features.arrow_schema, where, declared_classes(rows.features, where))
    starts = range(0, len(rows), ROWS_PER_GROUP)
    tables = (
        sanitize_table(plain[start : start + ROWS_PER_GROUP], columns, first_row=start, where=where) for start in starts
    )
    write_split(tables, columns.features, folder, split)


def write_split(tables: Iterator[pa.Table], features: Features, folder: str | Path, split: str = "train") -> None:
    """Writes Arrow tables as `folder/data/<split>-….parquet`, in files of `SHARD_BYTES`; few are in memory at once."""
    files: list[Path] = []
    for shard in _shards(tables):
        files.append(parquet_path(folder, split).with_name(f"{split}-{len(files):05d}"))
        write_tables(shard, features, files[-1])
    for k, path in enumerate(files):  # how many there are is known now
        path.rename(path.with_name(f"{split}-{k:05d}-of-{len(files):05d}.parquet"))


def _shards(tables: Iterator[pa.Table]) -> Iterator[Iterator[pa.Table]]:
    """The tables, in runs of `SHARD_BYTES`; one run, empty, where there is none."""
    following = next(tables, None)

    def shard() -> Iterator[pa.Table]:
        nonlocal following
        size = 0
        while following is not None and size < SHARD_BYTES:
            yield following
            size += following.nbytes
            following = next(tables, None)

    yield shard()
    while following is not None:
        yield shard()


def read_rows(
    folder: str | Path,
    split: str = "train",
    files: Sequence[Path] | None = None,
    names: Sequence[str] | None = None,
    classes: Mapping[str, ClassLabel] | None = None,
) -> Dataset:
    """Reads our columns of every Parquet file of a split in a folder of Hub layout into memory; see `read_tables`.

    Read with pyarrow, not `load_dataset`: nothing is copied into the cache, and rows that were rewritten are read anew.

    Raises:
        InputError: the folder holds no such split, or its files cannot be read.
    """
    schema, tables = read_tables(folder, split, files, names, classes)
    table = pa.concat_tables([schema.empty_table(), *tables])
    # Without a fingerprint one is made of the pickled table: a second copy of all images, and most of the time.
    return Dataset(table, fingerprint=generate_random_fingerprint())


def read_tables(
    folder: str | Path,
    split: str = "train",
    files: Sequence[Path] | None = None,
    names: Sequence[str] | None = None,
    classes: Mapping[str, ClassLabel] | None = None,
) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """The rows of a split in a folder of Hub layout, or of `files`, `ROWS_PER_GROUP` at a time.

    Not a file at a time: pyarrow takes several times the memory of the rows to read a large column of bytes at once.

    Args:
        folder: where they are.
        split: which of them.
        files: instead of those of the split.
        names: the columns that are needed; None: all of ours. No other is read.
        classes: of the columns, where a card declares them; instead of what the files say.

    Raises:
        InputError: the folder holds no such split, or, then or later, its files cannot be read, or an image has no
            bytes, or a label is outside the classes.
    """
    if files is None:
        files = row_files(folder, split)
    if not files:
        raise InputError(
            f"{folder} has no split '{split}': there is no data/{split}-*.parquet in it; "
            "give a folder in Hub layout, such as `ddgs-hub prepare` writes"
        )
    where = f"split '{split}' of {folder}"
    columns = _columns_of(files[0], where, names, classes)

    def tables() -> Iterator[pa.Table]:
        row = 0
        for path in files:
            if _columns_of(path, where, names, classes) != columns:
                other = f"{path.name} has other columns or classes than {files[0].name}"
                raise InputError(f"cannot read {where}: {other}; write it again")
            for batch in _batches(path, where, list(columns.our_names)):
                yield sanitize_table(batch, columns, first_row=row, where=where).select(list(columns.features))
                row += len(batch)

    return columns.features.arrow_schema, tables()


def _columns_of(
    path: Path, where: str, names: Sequence[str] | None, classes: Mapping[str, ClassLabel] | None
) -> ColumnMapping:
    with open_parquet(path, where) as file:
        declared = {**class_columns(file.schema_arrow, where), **(classes or {})}
        columns = choose_columns(file.schema_arrow, where, declared)
    return columns if names is None else columns.restricted_to(names)


def _batches(path: Path, where: str, names: list[str]) -> Iterator[pa.Table]:
    with open_parquet(path, where) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP, columns=names):
            yield pa.Table.from_batches([batch])


def read_selected(
    folder: str | Path,
    indices: NDArray[np.int64],
    files: Sequence[Path] | None = None,
    names: Sequence[str] | None = None,
) -> Dataset:
    """Reads these rows of the split `train`, in this order; no other row stays in memory. See `read_tables`.

    Args:
        folder: where they are.
        indices: numbers of the rows, each once, `(N,)`.
        files: instead of those of the split.
        names: the columns that are needed; None: all of ours.

    Raises:
        InputError: as `read_tables`.
    """
    schema, tables = read_tables(folder, files=files, names=names)
    ascending, first_row, parts = np.sort(indices), 0, [schema.empty_table()]
    for table in tables:
        first, last = np.searchsorted(ascending, [first_row, first_row + len(table)])
        parts.append(table.take(ascending[first:last] - first_row))
        first_row += len(table)
    rows = Dataset(pa.concat_tables(parts), fingerprint=generate_random_fingerprint())
    # Not `pa.Table.take`, which cannot make a column of more than 2 GiB.
    return rows if np.array_equal(ascending, indices) else rows.select(np.searchsorted(ascending, indices))


def require_columns(rows: Dataset, *names: str, where: str = "the dataset") -> None:
    """Raises an InputError that names the first column of `names` that `rows` lacks."""
    for name in names:
        if name not in rows.column_names:
            raise InputError(f"{where} has no column '{name}': it has {', '.join(rows.column_names)}")


def class_names(rows: Dataset) -> list[str]:
    """Names of the classes of `label`, in label order.

    Raises:
        InputError: `label` is missing or is no `ClassLabel`.
    """
    require_columns(rows, "label")
    feature = rows.features["label"]
    if not isinstance(feature, ClassLabel):
        raise InputError(f"column 'label' is {feature}, not a ClassLabel: cast it, so that the classes have names")
    return list(feature.names)


def checked_labels(rows: Dataset, where: str = "the dataset", first: int = 0) -> NDArray[np.int64]:
    """The column `label`, `(N,)`, each 0 … classes − 1; messages number the rows from `first` on.

    Raises:
        InputError: `label` is missing or is no `ClassLabel`, there are no rows, or a label is outside the classes.
    """
    count = len(class_names(rows))
    labels = list(rows.with_format(None)["label"])
    if not labels:
        raise InputError(f"there are no rows in {where}: give at least one image")
    for row, label in enumerate(labels, first):
        if label is None or not 0 <= label < count:
            raise InputError(f"row {row} of {where} has label {label}, outside its {count} classes: mend that row")
    return np.array(labels, dtype=np.int64)


def undecoded(rows: Dataset) -> Dataset:
    """The same rows with `image` as `{bytes, path}`: nothing is decoded, so nothing can be re-encoded."""
    return rows.cast_column("image", Image(decode=False))
