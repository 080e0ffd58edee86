"""Images in folders by class, `<split>/<class>/**`: which files count as images of which class, and what is left out.

The folders are walked here, and not by datasets: its builder takes tables of metadata for paths on this machine.
"""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Features, Image
from numpy.typing import NDArray
from PIL import Image as PILImage

from ddgs_hub.core.columns import ColumnMapping
from ddgs_hub.core.decoding import FORMATS
from ddgs_hub.core.errors import InputError, NoSplitError
from ddgs_hub.core.files import refuse_pointer
from ddgs_hub.core.foreign_rows import IMAGE_TYPE
from ddgs_hub.core.hub_client import Pinned, reading
from ddgs_hub.core.processes import is_main
from ddgs_hub.core.rows import ROWS_PER_GROUP
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.original.class_names import check_class_names
from ddgs_hub.original.file_tree import FileTree
from ddgs_hub.original.reading import ReadPosition, RowBatch, RowBatches, RowFilter, SourceRows

LOG = logging.getLogger(__name__)
ROW_FILES = (".parquet", ".arrow", ".tar")  # endings of files that hold rows: with one of them it is no image folder
TRAIN, VALIDATION = "train", ("validation", "val", "valid", "dev")
# Names of splits; a folder without `train` must not have classes called so.
SPLIT_NAMES = (TRAIN, "training", *VALIDATION, "test", "testing", "eval", "evaluation")
READERS = 16  # images that are read at once: on network disks and on the Hub each of them takes its time
BATCH_BYTES = 64 * 2**20  # of images in memory: a batch ends there, even if it has fewer rows than it could
MOST_KINDS = 8  # of left-out entries in a message


@dataclass
class SplitFolder:
    """The images of one split.

    Attributes:
        images: folder name of each class with images, sorted → the paths of its images.
        left_out: kind of entry that is left out → how many there are.
        nested: how many of the images lie in subfolders of their class folder.
    """

    images: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    nested: int = 0


class FolderRows(SourceRows):
    """The images of one split in folders by class, ordered by path, and their labels.

    Args:
        tree: where the images are.
        labels: path of each image → its label.
        names: of the classes.
        where: see `SourceRows`.
        pinned: see `SourceRows`.
    """

    labels_alone = True

    def __init__(
        self, tree: FileTree, labels: Mapping[str, int], names: Sequence[str], where: str, *, pinned: Pinned | None
    ) -> None:
        features = Features(image=Image(), label=ClassLabel(names=list(names)))
        columns = ColumnMapping({name: name for name in features}, features)
        super().__init__(columns, where, expected=len(labels), pinned=pinned)
        self._tree, self._paths = tree, sorted(labels)
        self._labels = np.array([labels[path] for path in self._paths], dtype=np.int64)

    def row_name(self, number: int) -> str:
        """The path of its image."""
        return quoted(self._paths[number])

    def _batches(self, names: list[str], row_filter: RowFilter | None, position: ReadPosition | None) -> RowBatches:
        first = position["row"] if position else 0
        for start in range(first, len(self._paths), ROWS_PER_GROUP):
            labels = self._labels[start : start + ROWS_PER_GROUP]
            kept = np.arange(len(labels))
            if row_filter:
                kept = np.asarray(row_filter(pa.table({"label": labels}), start), dtype=np.int64)
            for rows, images in self._read(start + kept, with_images="image" in names):
                columns = {"image": images, "label": self._labels[rows]}
                yield RowBatch(pa.table({name: columns[name] for name in names}), rows, {"row": int(rows[-1]) + 1})
            self._progress.update(len(labels))
        return len(self._paths)

    def _read(
        self, rows: NDArray[np.int64], *, with_images: bool
    ) -> Iterator[tuple[NDArray[np.int64], pa.Array | None]]:
        """These rows and their images, `BATCH_BYTES` of images at a time."""
        if not with_images:
            yield from [(rows, None)] if len(rows) else []
            return
        encoded: list[bytes] = []
        done = 0
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, len(rows), READERS):
                encoded += pool.map(self._image, rows[start : start + READERS].tolist())
                if sum(map(len, encoded)) >= BATCH_BYTES or start + READERS >= len(rows):
                    images = pa.array([{"bytes": image, "path": None} for image in encoded], IMAGE_TYPE)
                    yield rows[done : done + len(encoded)], images
                    done, encoded = done + len(encoded), []

    def _image(self, row: int) -> bytes:
        content = self._tree.read(self._paths[row])
        refuse_pointer(content, f"image {quoted(self._paths[row])} of {self.where}")
        return content


def is_image_folder(folder: Path) -> bool:
    """Whether a folder holds images as files: no file in it holds rows, except `metadata.parquet` beside images."""
    names = (PurePosixPath(name) for _, _, names in os.walk(folder) for name in names)
    return not any(name.suffix in ROW_FILES and name.stem != "metadata" for name in names)


def open_image_folder(tree: FileTree, split: str, where: str, *, pinned: Pinned | None = None) -> FolderRows:
    """Opens a split of images in `<split>/<class>/**`; no image is read yet.

    The split `train` may also lie in `<class>/**`, if no folder is called like a split. `validation`, `val`, `valid`
    and `dev` stand for each other. In every split the classes are the sorted folder names of the training split. What
    is left out is logged once.

    Args:
        tree: where the images are.
        split: name of the split.
        where: the split, for messages.
        pinned: the Hub dataset at a commit; None for local images.

    Raises:
        InputError: there is no such split, two folders may be meant, it has no images, or it has a class that the
            training split lacks.
        ConnectionLostError: the Hub does not answer.
    """
    with reading(where):
        top = tree.entries("", follow=True)
        folder = _find_split(top.folders, split, tree)
        images = _images_by_class(tree, folder, where)
        training_folder = _find_folder(top.folders, (TRAIN,), tree) or folder
        training = images if training_folder == folder else _images_by_class(tree, training_folder, where)
    if folder:
        del top.left_out["hidden"]  # .git and .gitattributes of a repository are not images that somebody could miss
        images.left_out.update(top.left_out)
        others = sum(_key(name) not in (*SPLIT_NAMES, _key(folder)) for name in top.folders)
        images.left_out["folders beside those of splits"] += others
    left_out = _listed(images.left_out)
    if not images.images:
        remark = f"there are {left_out}" if left_out else "there is nothing else"
        raise InputError(f"{where} has no images in folders by class; {remark}")
    names = list(training.images)
    check_class_names(names, where)
    label_of = {_key(name): k for k, name in enumerate(names)}
    for name in images.images:
        if _key(name) not in label_of:
            raise InputError(f"class {quoted(name)} of {where} has no training images: add some, or remove its folder")
    _log_left_out(where, left_out, images.nested)
    labels = {path: label_of[_key(name)] for name, paths in images.images.items() for path in paths}
    return FolderRows(tree, labels, names, where, pinned=pinned)


def _find_split(folders: Sequence[str], split: str, tree: FileTree) -> str:
    """The folder of a split; empty if the folders are those of classes."""
    alternatives = [(_key(split),), VALIDATION] if _key(split) in VALIDATION else [(_key(split),)]
    for keys in alternatives:
        folder = _find_folder(folders, keys, tree)
        if folder is not None:
            return folder
    splits = [name for name in folders if _key(name) in SPLIT_NAMES]
    if split == TRAIN and folders and not splits:
        return ""
    has = ", ".join(map(one_line, splits)) or ("images by class alone" if folders else "no folders")
    advice = "" if splits else "; data.validation_share takes some of them for validation"
    if not folders:
        advice = "; give the one in which each class has a folder of its own"
    raise NoSplitError(f"cannot open split {quoted(split)} of {tree.name}: it has {has}{advice}")


def _find_folder(folders: Sequence[str], keys: Sequence[str], tree: FileTree) -> str | None:
    """The only folder whose name is one of `keys`; None if there is none."""
    matches = [name for name in folders if _key(name) in keys]
    if len(matches) > 1:
        both = " and ".join(map(quoted, matches))
        raise InputError(f"{tree.name} has the folders {both}, which may be the same split: rename all but one")
    return matches[0] if matches else None


def _images_by_class(tree: FileTree, folder: str, where: str) -> SplitFolder:
    """The images in the folder of a split; an empty `folder` is the root of the tree."""
    split = SplitFolder()
    entries = tree.entries(folder, follow=True)
    split.left_out.update(entries.left_out)
    for name in entries.files:
        split.left_out["images in no folder of a class" if _is_image(name) else _kind(name)] += 1
    name_of: dict[str, str] = {}
    for name in entries.folders:
        class_folder = _joined(folder, name)
        if same := name_of.get(_key(name)):
            raise InputError(
                f"{where} has the folders {quoted(same)} and {quoted(name)}, one name for a class: rename one, or put "
                "all their images into one"
            )
        name_of[_key(name)] = name
        if paths := list(_images_below(tree, class_folder, split.left_out)):
            split.images[name] = paths
            split.nested += sum(path.rpartition("/")[0] != class_folder for path in paths)
    all_nested = split.images and split.nested == sum(map(len, split.images.values()))
    if all_nested and (len(split.images) == 1 or not folder):
        names = " and ".join(map(quoted, list(split.images)[:2]))
        raise InputError(
            f"{where} has no image in {names} itself, only in folders inside: if those are the classes or splits, give "
            "the folder that they lie in"
        )
    return split


def _images_below(tree: FileTree, folder: str, left_out: Counter[str]) -> Iterator[str]:
    """The paths of all images below a folder; everything else is counted in `left_out`."""
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        entries = tree.entries(folder, follow=False)
        left_out.update(entries.left_out)
        images = [name for name in entries.files if _is_image(name)]
        if not images and not entries.folders:
            left_out["folders without images"] += 1
        left_out.update(_kind(name) for name in entries.files if not _is_image(name))
        yield from (_joined(folder, name) for name in images)
        waiting += [_joined(folder, name) for name in entries.folders]


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _image_extensions()


@cache
def _image_extensions() -> frozenset[str]:
    formats = PILImage.registered_extensions()  # loads all plugins of Pillow
    return frozenset(extension for extension, name in formats.items() if name in FORMATS and name in PILImage.OPEN)


def _kind(name: str) -> str:
    """The kind of a file that is left out: `metadata.csv` by its name, because a user may expect it to be read."""
    path = PurePosixPath(name)
    if path.stem == "metadata":
        return name
    return f"*{path.suffix.lower()}" if path.suffix else "files without an extension"


def _key(name: str) -> str:
    """A folder name as some file systems compare it: without case, and with one Unicode form for an umlaut."""
    return unicodedata.normalize("NFC", name).casefold()


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))


def _listed(left_out: Counter[str]) -> str:
    counted = sorted(((kind, count) for kind, count in left_out.items() if count), key=lambda pair: (-pair[1], pair[0]))
    more = f" and {len(counted) - MOST_KINDS:,} other kinds" if len(counted) > MOST_KINDS else ""
    return ", ".join(f"{count:,} × {one_line(kind, 40)}" for kind, count in counted[:MOST_KINDS]) + more


@cache
def _log_left_out(where: str, left_out: str, nested: int) -> None:
    """Logs what is left out: once for each split in a process, however often it is opened."""
    remarks = [f"left out {left_out}"] if left_out else []
    remarks += [f"{nested:,} images lie in folders inside those of their classes"] if nested else []
    if remarks and is_main():
        LOG.warning("of %s: %s", one_line(where), "; ".join(remarks))
