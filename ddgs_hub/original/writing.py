"""An original dataset on disk: the splits of a source, or one split divided by the hash of its images."""

import json
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
from ddgs_hub.core.hub_client import Pinned
from ddgs_hub.core.parquet import PAGE_BY_PAGE
from ddgs_hub.core.processes import is_main
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.rows import ROWS_PER_GROUP, parquet_path, write_tables
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.original.class_names import check_every_class, check_same_classes
from ddgs_hub.original.labelling import original_rows
from ddgs_hub.original.reading import ColumnNames
from ddgs_hub.original.sources import open_source, refuse_revision
from ddgs_hub.original.subsets import get_subset

LOG = logging.getLogger(__name__)
SOURCE_FILE = "source.json"  # beside rows from the Hub: the dataset, its commit, and the number of rows of each split


@dataclass(frozen=True)
class Split:
    """The rows of an original dataset that are not yet read.

    Attributes:
        where: their source, for messages.
        features: see `original_rows`.
        tables: the rows, images undecoded.
    """

    where: str
    features: Features
    tables: Iterable[pa.Table]


class ImageHashes:
    """The hash and the label of each image of a split: 16 bytes an image.

    Two of a million different images have the same 64-bit hash by chance once in forty million times.
    """

    def __init__(self) -> None:
        self._hashes, self._labels = array("Q"), array("q")

    def record(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yields the tables as they are, and records their columns `image` and `label`."""
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
        """`(N,)`, the label of each image."""
        return np.frombuffer(self._labels, dtype=np.int64)


def write_original(
    source: str,
    folder: str | Path,
    *,
    splits: Mapping[str, str] | None = None,
    validation_share: float | None = None,
    subset: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    column_names: ColumnNames = ColumnNames(),
) -> dict[str, int]:
    """Writes the splits of an original dataset into `folder`, in Hub layout, with the image bytes of the source.

    The columns are those of `original_rows`. The source is streamed: rows outside the subset are dropped by their
    label, and no image is decoded. All splits of a Hub dataset are read at one commit, which `source.json` names. All
    are opened before any is read.

    Args:
        source: see `open_source`.
        folder: where to write.
        splits: name to write → split of the source; None: train and validation under their own names.
        validation_share: the share of the training split that becomes the validation split, instead of one of the
            source; see `validation_mask`.
        subset: a name of `subsets.SUBSETS`; its classes, in its order, become labels 0 … 9. None keeps all classes.
        config: the configuration of a Hub dataset that has several.
        revision: the revision of a Hub dataset.
        column_names: see `open_source`.

    Returns:
        The number of rows of each split.

    Raises:
        InputError: the source, a split, a column or a class is missing, the splits differ in their classes, a label is
            outside of them, or a class has too few images to be divided.
    """
    classes, pinned = get_subset(subset) if subset else None, None
    split_names = dict(splits or {"train": "train", "validation": "validation"})
    if validation_share is not None:
        split_names = {"train": split_names["train"]}
    opened = {}
    source, revision = named_revision(source, revision)
    refuse_revision(source, revision)
    for name, split in split_names.items():
        commit = pinned.commit if pinned else revision
        rows = open_source(source, split, config=config, revision=commit, column_names=column_names)
        features, batches = original_rows(rows, classes)
        opened[name], pinned = Split(rows.where, features, (batch.table for batch in batches)), rows.pinned
    if validation_share is None:
        counts = write_splits(opened, folder)
    else:
        counts = write_divided(opened["train"], folder, validation_share)
    _write_source_file(folder, pinned, config, counts)
    return counts


def _write_source_file(folder: str | Path, pinned: Pinned | None, config: str | None, rows: Mapping[str, int]) -> None:
    """Writes `source.json`, which says where rows came from: only of Hub datasets, not of local files.

    Args:
        folder: where to write.
        pinned: the Hub dataset; None: the rows are of a local source, and nothing is written.
        config: its configuration.
        rows: the number of rows of each split.
    """
    if pinned:
        values = {"source": pinned.id, "commit": pinned.commit, "config": config, "rows": dict(rows)}
        (Path(folder) / SOURCE_FILE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def write_splits(splits: Mapping[str, Split], folder: str | Path) -> dict[str, int]:
    """Writes splits under their names, in Hub layout; returns the number of rows of each.

    Warns of validation images that are also training images: a classifier recognises what it was trained on.

    Raises:
        InputError: a split has other classes, or another order of them, than the first; or a class has no image.
    """
    check_same_classes({split.where: split.features["label"].names for split in splits.values()})
    images = {name: ImageHashes() for name in splits}
    for name, split in splits.items():
        write_tables(images[name].record(split.tables), split.features, parquet_path(folder, name))
        check_every_class(set(images[name].labels.tolist()), split.features["label"].names, split.where)
    if "train" in images and "validation" in images:
        repeated = int(np.isin(images["validation"].hashes, images["train"].hashes).sum())
        if repeated and is_main():
            where = one_line(splits["validation"].where)
            LOG.warning("%d images of %s are training images, too: the same bytes are in both", repeated, where)
    return {name: len(hashes.labels) for name, hashes in images.items()}


def write_divided(split: Split, folder: str | Path, share: float) -> dict[str, int]:
    """Writes a split as `train` and `validation`, in Hub layout; returns the number of rows of each.

    The source is read once. Which rows validate is clear only when all hashes are known, so the rows are first written
    into one temporary file.

    Args:
        split: what is divided.
        folder: where to write.
        share: of the images, for validation; see `validation_mask`.

    Raises:
        InputError: a class has too few images.
    """
    undivided, images = parquet_path(folder, "undivided"), ImageHashes()
    names = split.features["label"].names
    write_tables(images.record(split.tables), split.features, undivided)
    check_every_class(set(images.labels.tolist()), names, split.where)
    validates = validation_mask(images.hashes, images.labels, share, names, split.where)
    counts = {
        name: write_tables(_rows_where(undivided, mask), split.features, parquet_path(folder, name))
        for name, mask in (("train", ~validates), ("validation", validates))
    }
    undivided.unlink()
    return counts


def validation_mask(
    hashes: NDArray[np.uint64], labels: NDArray[np.int64], share: float, names: Sequence[str], where: str
) -> NDArray[np.bool_]:
    """Which images validate, `(N,)`: of each class the share with the smallest hashes, at least one.

    Only the bytes of the images decide, neither the order nor the names of files. Copies of an image are on the same
    side, even if they are in two classes. The images of a smaller share are also in a larger one.

    Args:
        hashes: `(N,)`.
        labels: `(N,)`, each 0 … len(names) − 1.
        share: of the different images of a class, 0 < share < 1.
        names: of the classes.
        where: the source, for messages.

    Raises:
        InputError: a class has no image left for training or for validation.
    """
    different = _different(hashes, labels, len(names))
    validates = np.isin(hashes, _smallest(different, share))
    for side, side_labels in (("training", labels[~validates]), ("validation", labels[validates])):
        missing = np.setdiff1d(np.arange(len(names)), side_labels)
        if len(missing):
            name, count = quoted(names[missing[0]]), len(different[missing[0]])
            raise InputError(
                f"class {name} of {where} has too few different images ({count:,}) for a data.validation_share of "
                f"{share}: none is left for {side}; add images, or choose another share"
            )
    return validates


def halves_mask(hashes: NDArray[np.uint64], labels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Half of the images of each class, `(N,)`: those with the smallest hashes, as in `validation_mask`.

    Args:
        hashes: `(N,)`.
        labels: `(N,)`, each 0 … classes − 1.
        classes: how many there are.
    """
    return np.isin(hashes, _smallest(_different(hashes, labels, classes), 0.5))


def _different(hashes: NDArray[np.uint64], labels: NDArray[np.int64], classes: int) -> list[NDArray[np.uint64]]:
    """The hashes of each class, ascending, each once."""
    order = np.lexsort((hashes, labels))
    ends = np.searchsorted(labels[order], np.arange(1, classes))
    return [np.unique(of_class) for of_class in np.split(hashes[order], ends)]


def _smallest(different: list[NDArray[np.uint64]], share: float) -> NDArray[np.uint64]:
    """The share of each class with the smallest hashes, at least one, of all classes together."""
    return np.concatenate([of_class[: max(1, round(share * len(of_class)))] for of_class in different])


def _rows_where(path: Path, mask: NDArray[np.bool_]) -> Iterator[pa.Table]:
    """The rows of a Parquet file for which the mask, `(N,)`, is true."""
    start = 0
    with pq.ParquetFile(path, **PAGE_BY_PAGE) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP):
            yield pa.Table.from_batches([batch.filter(pa.array(mask[start : start + len(batch)]))])
            start += len(batch)
