"""The splits of an original dataset on disk: those of a source, or one divided by the hash of its images."""

import logging
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from datasets import Features
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import is_main
from ddgs_hub.core.rows import ROWS_PER_GROUP, parquet_path, write_tables
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.original.classes import check_every_class, check_same_classes

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Rows that are not yet read.

    Attributes:
        where: their source in messages.
        features: of an original dataset.
        tables: the rows, undecoded.
    """

    where: str
    features: Features
    tables: Iterable[pa.Table]


class Seen:
    """The images and labels that passed by: 16 bytes for each.

    Two of a million images have the same hash of 64 bits by chance once in forty million times.
    """

    def __init__(self) -> None:
        self._hashes, self._labels = array("Q"), array("q")

    def pass_by(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same tables, of which `image` and `label` are noted."""
        for table in tables:
            images = pc.struct_field(table.column("image"), "bytes")
            self._hashes.extend(xxhash.xxh3_64_intdigest(image.as_buffer()) for image in images)
            self._labels.extend(table.column("label").to_pylist())
            yield table

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """`(N,)`, XXH3 of the encoded bytes of each image."""
        return np.frombuffer(self._hashes, dtype=np.uint64)

    @property
    def labels(self) -> NDArray[np.int64]:
        """`(N,)`."""
        return np.frombuffer(self._labels, dtype=np.int64)


def write_splits(splits: Mapping[str, Split], folder: str | Path) -> dict[str, int]:
    """Writes splits under their names, in Hub layout; returns the number of rows of each.

    How many validation images are training images, too, is said: a classifier is right on what it has seen.

    Raises:
        InputError: a split has other classes or another order of them than the first, or a class has no image.
    """
    check_same_classes({split.where: split.features["label"].names for split in splits.values()})
    seen = {name: Seen() for name in splits}
    for name, split in splits.items():
        write_tables(seen[name].pass_by(split.tables), split.features, parquet_path(folder, name))
        check_every_class(set(seen[name].labels.tolist()), split.features["label"].names, split.where)
    if "train" in seen and "validation" in seen:
        again = int(np.isin(seen["validation"].hashes, seen["train"].hashes).sum())
        if again and is_main():
            where = one_line(splits["validation"].where)
            LOG.warning("%d images of %s are training images, too: the same bytes are in both", again, where)
    return {name: len(there.labels) for name, there in seen.items()}


def write_divided(split: Split, folder: str | Path, share: float) -> dict[str, int]:
    """Writes a split as `train` and `validation`, in Hub layout; returns the number of rows of each.

    The source is read once: which rows validate is known when all have been seen, and they wait in a file of `folder`.

    Args:
        split: what is divided.
        folder: where to write.
        share: of the images, for validation; see `validating`.

    Raises:
        InputError: a class has too few images.
    """
    waiting, seen = parquet_path(folder, "undivided"), Seen()
    names = split.features["label"].names
    write_tables(seen.pass_by(split.tables), split.features, waiting)
    check_every_class(set(seen.labels.tolist()), names, split.where)
    chosen = validating(seen.hashes, seen.labels, share, names, split.where)
    counts = {
        name: write_tables(_rows(waiting, side), split.features, parquet_path(folder, name))
        for name, side in (("train", ~chosen), ("validation", chosen))
    }
    waiting.unlink()
    return counts


def validating(
    hashes: NDArray[np.uint64], labels: NDArray[np.int64], share: float, names: Sequence[str], where: str
) -> NDArray[np.bool_]:
    """Which images validate, `(N,)`: of each class the share with the smallest hashes, at least one.

    The hash of the bytes alone decides: neither the order nor the names of files. The same image is on one side, even
    where it is in two classes, and a smaller share is a part of a larger one.

    Args:
        hashes: `(N,)`.
        labels: `(N,)`, each 0 … len(names) − 1.
        share: of the different images of a class, 0 < share < 1.
        names: of the classes.
        where: the source in messages.

    Raises:
        InputError: a class has no image for one of the sides.
    """
    order = np.lexsort((hashes, labels))
    ends = np.searchsorted(labels[order], np.arange(1, len(names)))
    different = [np.unique(part) for part in np.split(hashes[order], ends)]
    chosen = np.isin(hashes, np.concatenate([part[: max(1, round(share * len(part)))] for part in different]))
    for side, there in (("training", labels[~chosen]), ("validation", labels[chosen])):
        missing = np.setdiff1d(np.arange(len(names)), there)
        if len(missing):
            name, count = quoted(names[missing[0]]), len(different[missing[0]])
            raise InputError(
                f"class {name} of {where} has too few different images ({count:,}) for a data.validation_share of "
                f"{share}: none is left for {side}; add images, or choose another share"
            )
    return chosen


def _rows(path: Path, side: NDArray[np.bool_]) -> Iterator[pa.Table]:
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP):
            yield pa.Table.from_batches([batch.filter(pa.array(side[start : start + len(batch)]))])
            start += len(batch)
