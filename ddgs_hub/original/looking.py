"""What there is in a source: classes and their images, sizes, copies, and what cannot be read. Nothing is written.

Labels are all counted where they can be read without the images. Of the images as many are opened as a look may
cost, evenly from every class.
"""

from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import xxhash
from datasets import ClassLabel
from numpy.typing import NDArray

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError, NoSplitError
from ddgs_hub.core.hub_client import Pinned, make_client, patiently
from ddgs_hub.original.class_names import check_class_names
from ddgs_hub.original.labelling import class_key
from ddgs_hub.original.reading import SourceRows
from ddgs_hub.original.sources import open_source, refuse_revision
from ddgs_hub.original.subsets import get_subset

VALIDATION = ("validation", "val", "valid", "dev")  # names of a split that validates; never `test`
MOST_HERE = 5_000  # images that are opened of local files: seconds of decoding
MOST_FROM_HUB = 128  # and of the Hub, where each may bring along the row group that it lies in
MOST_ROWS = 2_000  # that are read of the Hub where a label comes with its image only, as in a WebDataset
EXAMPLES = 512  # of the opened images that are kept, for timing; at least one of each class


@dataclass(frozen=True)
class Look:
    """What a look at a source has found.

    Attributes:
        source: as it was named.
        pinned: the Hub dataset at a commit; None: a local source.
        names: of the classes, in label order.
        counts: training images of each class, `(K,)`; of those that were read, where `whole` is false.
        whole: whether all labels were read.
        total: training images of these classes; where not all labels were read, by the share that they had of the rows
            that were, or what was counted where the source does not say how many rows it has.
        validation_split: its name; None where the source has none.
        validation_rows: of it; None where the source does not say.
        wnids: of each class; None where the source has none, or not for every class.
        sides: shorter side in px of each image that was opened, `(N,)`.
        copies: of the opened images, how many have the same bytes as another before them.
        unreadable: why an image cannot be decoded, for each such image.
        size: bytes of all files on the Hub, or of the opened images of a local source.
        images: label and encoded bytes of some, about `EXAMPLES`, as many of each class.
    """

    source: str
    pinned: Pinned | None
    names: list[str]
    counts: NDArray[np.int64]
    whole: bool
    total: int
    validation_split: str | None
    validation_rows: int | None
    wnids: list[str] | None
    sides: NDArray[np.int64]
    copies: int
    unreadable: list[str]
    size: int | None
    images: list[tuple[int, bytes]]

    @property
    def smallest(self) -> int:
        """Images of the smallest class; of one on average, where not all labels were read: rows may lie by class."""
        return int(self.counts.min()) if self.whole else self.total // len(self.names)

    @property
    def median_side(self) -> int:
        """The median of the shorter sides, px."""
        return int(np.median(self.sides))


@dataclass(frozen=True)
class _Validation:
    """The split that validates: its name, and its rows of the classes that are wanted, if that is known."""

    name: str
    rows: int | None


class _Opened:
    """What is gathered of the images while they are opened.

    Args:
        kept: images of each class to keep.
    """

    def __init__(self, kept: int) -> None:
        self.kept, self._kept_of = kept, Counter[int]()
        self.images: list[tuple[int, bytes]] = []
        self.sides: list[int] = []
        self.unreadable: list[str] = []
        self.hashes: Counter[int] = Counter()
        self.size = 0
        self.wnids: dict[int, str | None] = {}

    def add(self, image: dict[str, bytes] | None, label: int, wnid: str | None, where: str) -> None:
        """Opens one image."""
        try:
            side = min(decode_image(image, where).size)
        except InputError as error:
            self.unreadable.append(str(error))
            return
        assert image is not None
        self.sides.append(side)
        self.hashes[xxhash.xxh3_64_intdigest(image["bytes"])] += 1
        self.size += len(image["bytes"])
        self.wnids.setdefault(label, wnid)
        if self._kept_of[label] < self.kept:
            self._kept_of[label] += 1
            self.images.append((label, image["bytes"]))


def look_at(source: str, *, subset: str | None = None, config: str | None = None, revision: str | None = None) -> Look:
    """Looks at the training split of a source, and for a validation split.

    Args:
        source: see `open_source`.
        subset: a name of `subsets.SUBSETS`: its classes alone; None: all.
        config: the configuration of a Hub dataset that has several.
        revision: of a Hub dataset: a commit, tag or branch.

    Raises:
        InputError: there is no such source, configuration or training split, its labels have no names, the subset is
            not in it, or no image can be read.
        ConnectionLostError: the Hub no longer answers.
    """
    refuse_revision(source, revision)
    rows = open_source(source, "train", config=config, revision=revision)
    label = rows.features["label"]
    if not isinstance(label, ClassLabel):
        raise InputError(
            f"column 'label' of {rows.where} is {label}, not a ClassLabel: cast it, so that classes have names"
        )
    check_class_names(label.names, rows.where)
    chosen = get_subset(subset) if subset else None
    key, label_of = class_key(rows.features, chosen, rows.where)
    names = list(chosen.class_names) if chosen else label.names
    commit = rows.pinned.commit if rows.pinned else revision
    validation = _validation_split(source, names, key, label_of, config, commit)
    remote = rows.pinned is not None
    whole = rows.labels_alone or not remote
    counts, read = _count(rows, key, label_of, len(names), most=None if whole else MOST_ROWS)
    opened = _open_images(rows, key, label_of, counts, MOST_FROM_HUB if remote else MOST_HERE)
    if not opened.sides:
        reason = f": {opened.unreadable[0]}" if opened.unreadable else ", because it has no images of these classes"
        raise InputError(f"nothing of {rows.where} can be read{reason}")
    wnids = list(chosen.wnids) if chosen else [str(opened.wnids.get(k) or "") for k in range(len(names))]
    return Look(
        source=source,
        pinned=rows.pinned,
        names=names,
        counts=counts,
        whole=whole,
        total=int(counts.sum()) if whole or not rows.expected else round(rows.expected * counts.sum() / max(read, 1)),
        validation_split=validation.name if validation else None,
        validation_rows=validation.rows if validation else None,
        wnids=wnids if all(wnids) else None,
        sides=np.array(opened.sides),
        copies=sum(count - 1 for count in opened.hashes.values()),
        unreadable=opened.unreadable,
        size=_size_on_hub(rows.pinned) if rows.pinned else opened.size,
        images=opened.images,
    )


def short_sides(rows: SourceRows, count: int) -> list[int]:
    """The shorter sides, px, of the first images of a split, at most `count`; those that cannot be read are left out.

    Raises:
        ConnectionLostError: the Hub no longer answers.
    """
    sides: list[int] = []
    with closing(rows.read(["image"])) as batches:
        cells = (cell for batch in batches for cell in batch.table.column("image").to_pylist())
        for number, cell in enumerate(islice(cells, count)):
            with suppress(InputError):  # whoever needs this image says that it is damaged
                sides.append(min(decode_image(cell, number).size))
    return sides


def _validation_split(
    source: str, names: list[str], key: str, label_of: dict[int | str, int], config: str | None, revision: str | None
) -> _Validation | None:
    """The first of `VALIDATION` that the source has."""
    for name in VALIDATION:
        with suppress(NoSplitError):
            rows = open_source(source, name, config=config, revision=revision)
            cheap = rows.labels_alone or rows.pinned is None
            counts = _count(rows, key, label_of, len(names), most=None)[0] if cheap else None
            return _Validation(name, int(counts.sum()) if counts is not None else rows.expected)
    return None


def _count(
    rows: SourceRows, key: str, label_of: dict[int | str, int], classes: int, most: int | None
) -> tuple[NDArray[np.int64], int]:
    """Images of each class, and how many rows were read for that."""
    counts, read = np.zeros(classes, dtype=np.int64), 0
    with closing(rows.read([key])) as batches:
        for batch in batches:
            for value, count in Counter(batch.table.column(key).to_pylist()).items():
                if value in label_of:
                    counts[label_of[value]] += count
            read += len(batch.table)
            if most is not None and read >= most:
                break
    return counts, read


def _open_images(
    rows: SourceRows, key: str, label_of: dict[int | str, int], counts: NDArray[np.int64], most: int
) -> _Opened:
    """Opens images, at most `most`, evenly from all classes; each class's evenly from all that it has."""
    per_class = max(most // max(len(counts), 1), 1)
    steps = np.maximum(-(-counts // per_class), 1)  # every how many images of a class one is opened
    seen = np.zeros_like(counts)
    opened = _Opened(max(EXAMPLES // max(len(counts), 1), 1))

    def choose(keys: pa.Table, first_row: int) -> list[int]:
        chosen = []
        for k, value in enumerate(keys.column(key).to_pylist()):
            label = label_of.get(value)
            if label is not None:
                if seen[label] % steps[label] == 0:
                    chosen.append(k)
                seen[label] += 1
        return chosen

    names = [name for name in ("image", key, "wnid") if name in rows.features]
    done, total = 0, int((-(-counts // steps)).sum())
    with closing(rows.read(list(dict.fromkeys([*names, "label"])), choose)) as batches:
        for batch in batches:
            columns = {name: batch.table.column(name).to_pylist() for name in batch.table.column_names}
            wnids = columns.get("wnid", [None] * len(batch.table))
            for image, value, wnid, number in zip(
                columns["image"], columns[key], wnids, batch.row_numbers.tolist(), strict=True
            ):
                opened.add(image, label_of[value], wnid, rows.row_name(number))
                done += 1
            if done >= total:
                break
    return opened


def _size_on_hub(pinned: Pinned) -> int | None:
    """The size of all files of a dataset, by the Hub's own listing; None where it cannot be asked."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return None
    info = patiently(lambda: make_client().dataset_info(pinned.id, revision=pinned.commit, files_metadata=True))
    return sum(file.size or 0 for file in info.siblings or [])
