"""Images in folders by class, `<split>/<class>/**`, by a walk of our own: what counts, what does not, and says so."""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
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
from ddgs_hub.core.errors import InputError
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
OTHER_LAYOUTS = (".parquet", ".arrow", ".tar")  # files that hold rows: a folder with one of them is no image folder
TRAIN, VALIDATION = "train", ("validation", "val", "valid", "dev")
# Names of splits, and none of classes where a folder has no `train`.
SPLIT_NAMES = (TRAIN, "training", *VALIDATION, "test", "testing", "eval", "evaluation")
READERS = 16  # images that are read at once: disks over a network and the Hub take their time for each
BATCH_BYTES = 64 * 2**20  # of images in memory; it ends a batch before it has all its rows
SHOWN = 8  # kinds of things that a message lists


@dataclass
class ClassFolders:
    """The images of one split.

    Attributes:
        files: folder name of each class with images, sorted → the paths of its images.
        left_out: what else is there → how much of it.
        deeper: how many of the images lie in folders inside the folder of their class.
    """

    files: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    deeper: int = 0


class FolderRows(SourceRows):
    """The images of one split in folders by class, in the order of their paths, and which class each is.

    Args:
        tree: where they are.
        files: path of each image → its label.
        names: the classes.
        where: see `SourceRows`.
        pinned: see `SourceRows`.
    """

    def __init__(
        self, tree: FileTree, files: dict[str, int], names: Sequence[str], where: str, *, pinned: Pinned | None
    ) -> None:
        features = Features(image=Image(), label=ClassLabel(names=list(names)))
        columns = ColumnMapping({name: name for name in features}, features)
        super().__init__(columns, where, expected=len(files), pinned=pinned)
        self._tree, self._paths = tree, sorted(files)
        self._labels = np.array([files[path] for path in self._paths], dtype=np.int64)

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
            self._bar.update(len(labels))
        return len(self._paths)

    def _read(
        self, rows: NDArray[np.int64], *, with_images: bool
    ) -> Iterator[tuple[NDArray[np.int64], pa.Array | None]]:
        """These rows and their images, in pieces of `BATCH_BYTES` where they have many."""
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
    """Whether images lie in a folder as they are: none of its files holds rows; `metadata.parquet` names images."""
    names = (PurePosixPath(name) for _, _, names in os.walk(folder) for name in names)
    return not any(name.suffix in OTHER_LAYOUTS and name.stem != "metadata" for name in names)


def open_image_folder(tree: FileTree, split: str, where: str, *, pinned: Pinned | None = None) -> FolderRows:
    """A split of images in `<split>/<class>/**`, none of which is read yet.

    The split `train` may also be in `<class>/**`, where no folder is called like a split; `validation`, `val`, `valid`
    and `dev` stand for each other. The classes are the sorted names of the training split's folders, in every split.
    What is left out is said once.

    Args:
        tree: where they are.
        split: which of them.
        where: its name in messages.
        pinned: of the Hub; None for what is local.

    Raises:
        InputError: there is no such split, two folders may be meant, it has no images, or a class that the training
            split lacks.
        ConnectionLostError: the Hub does not answer.
    """
    with reading(where):
        top = tree.entries("", follow=True)
        folder = _find_split(top.folders, split, tree)
        found = _by_class(tree, folder, where)
        training = _find_folder(top.folders, (TRAIN,), tree)
        known = found if training in (None, folder) else _by_class(tree, str(training), where)
    if folder:
        del top.left_out["hidden"]  # a repository's .git and .gitattributes are nobody's images
        found.left_out.update(top.left_out)
        beside = sum(_key(name) not in (*SPLIT_NAMES, _key(folder)) for name in top.folders)
        found.left_out["folders beside those of splits"] += beside
    left_out = _listed(found.left_out)
    if not found.files:
        there = f"there are {left_out}" if left_out else "there is nothing else"
        raise InputError(f"{where} has no images in folders by class; {there}")
    names = list(known.files)
    check_class_names(names, where)
    label = {_key(name): k for k, name in enumerate(names)}
    for name in found.files:
        if _key(name) not in label:
            raise InputError(f"class {quoted(name)} of {where} has no training images: add some, or remove its folder")
    _say(where, left_out, found.deeper)
    files = {path: label[_key(name)] for name, paths in found.files.items() for path in paths}
    return FolderRows(tree, files, names, where, pinned=pinned)


def _find_split(folders: Sequence[str], split: str, tree: FileTree) -> str:
    """The folder of a split; empty where the folders are classes."""
    meant = [(_key(split),), VALIDATION] if _key(split) in VALIDATION else [(_key(split),)]
    for keys in meant:
        found = _find_folder(folders, keys, tree)
        if found is not None:
            return found
    splits = [name for name in folders if _key(name) in SPLIT_NAMES]
    if split == TRAIN and folders and not splits:
        return ""
    there = ", ".join(map(one_line, splits)) or ("images by class alone" if folders else "no folders")
    share = "" if splits or not folders else "; data.validation_share takes some of them for validation"
    raise InputError(f"cannot open split {quoted(split)} of {tree.name}: it has {there}{share}")


def _find_folder(folders: Sequence[str], keys: Sequence[str], tree: FileTree) -> str | None:
    fitting = [name for name in folders if _key(name) in keys]
    if len(fitting) > 1:
        both = " and ".join(map(quoted, fitting))
        raise InputError(f"{tree.name} has the folders {both}, which may be the same split: rename all but one")
    return fitting[0] if fitting else None


def _by_class(tree: FileTree, split: str, where: str) -> ClassFolders:
    """The images in the folder of a split, which is the whole tree where it is empty."""
    found = ClassFolders()
    entries = tree.entries(split, follow=True)
    found.left_out.update(entries.left_out)
    for name in entries.files:
        found.left_out["images in no folder of a class" if _is_image(name) else _kind(name)] += 1
    first: dict[str, str] = {}
    for name in entries.folders:
        folder = _joined(split, name)
        if twin := first.get(_key(name)):
            raise InputError(
                f"{where} has the folders {quoted(twin)} and {quoted(name)}, one name for a class: rename one, or put "
                "all their images into one"
            )
        first[_key(name)] = name
        if paths := list(_images(tree, folder, found)):
            found.files[name] = paths
            found.deeper += sum(path.rpartition("/")[0] != folder for path in paths)
    nested = found.files and found.deeper == sum(map(len, found.files.values()))
    if nested and (len(found.files) == 1 or not split):
        names = " and ".join(map(quoted, list(found.files)[:2]))
        raise InputError(
            f"{where} has no image in {names} itself, only in folders inside: if those are the classes or splits, give "
            "the folder that they lie in"
        )
    return found


def _images(tree: FileTree, folder: str, found: ClassFolders) -> Iterator[str]:
    """The paths of all images below a folder; what else is there is counted."""
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        entries = tree.entries(folder, follow=False)
        found.left_out.update(entries.left_out)
        images = [name for name in entries.files if _is_image(name)]
        if not images and not entries.folders:
            found.left_out["folders without images"] += 1
        found.left_out.update(_kind(name) for name in entries.files if not _is_image(name))
        yield from (_joined(folder, name) for name in images)
        waiting += [_joined(folder, name) for name in entries.folders]


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _extensions()


@cache
def _extensions() -> frozenset[str]:
    kinds = PILImage.registered_extensions()  # which loads all of Pillow's plugins
    return frozenset(extension for extension, kind in kinds.items() if kind in FORMATS and kind in PILImage.OPEN)


def _kind(name: str) -> str:
    """What a file is called that is left out: `metadata.csv` by its name, for somebody may think that it is read."""
    path = PurePosixPath(name)
    if path.stem == "metadata":
        return name
    return f"*{path.suffix.lower()}" if path.suffix else "files without an extension"


def _key(name: str) -> str:
    """A folder name as file systems compare it that do not keep case, or one of Unicode's two forms of an umlaut."""
    return unicodedata.normalize("NFC", name).casefold()


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))


def _listed(left_out: Counter[str]) -> str:
    counted = sorted(((kind, count) for kind, count in left_out.items() if count), key=lambda pair: (-pair[1], pair[0]))
    more = f" and {len(counted) - SHOWN:,} other kinds" if len(counted) > SHOWN else ""
    return ", ".join(f"{count:,} × {one_line(kind, 40)}" for kind, count in counted[:SHOWN]) + more


@cache
def _say(where: str, left_out: str, deeper: int) -> None:
    """Once for each split in a process, however often it is opened."""
    said = [f"left out {left_out}"] if left_out else []
    said += [f"{deeper:,} images lie in folders inside those of their classes"] if deeper else []
    if said and is_main():
        LOG.warning("of %s: %s", one_line(where), "; ".join(said))
