"""The files of a split, here or on the Hub: only the dataset's own ones, of formats that hold the bytes of images."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from datasets import ClassLabel, DatasetBuilder, load_dataset_builder
from datasets.config import REPOCARD_FILENAME, REPOYAML_FILENAME
from datasets.exceptions import DatasetGenerationError
from datasets.packaged_modules.arrow.arrow import Arrow
from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder
from datasets.packaged_modules.parquet.parquet import Parquet
from datasets.packaged_modules.webdataset.webdataset import WebDataset

from ddgs_hub.core.columns import declared_classes
from ddgs_hub.core.errors import InputError, NoSplitError
from ddgs_hub.core.front_matter import read_front_matter, read_mapping, refuse_other_files
from ddgs_hub.core.hub_client import Pinned, dataset_file, patiently
from ddgs_hub.core.rows import require_whole, row_files
from ddgs_hub.core.schema import read_bytes
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.core.tokens import given_token

# Other formats run code, open what a row names, or hold no bytes.
FORMATS = (Parquet, WebDataset, ImageFolder, Arrow)
CARDS = (REPOCARD_FILENAME, REPOYAML_FILENAME)  # where datasets looks for configurations


@dataclass(frozen=True)
class SplitFiles:
    """The files of a split, and what its card says of them; none is read yet.

    Attributes:
        files: paths, or addresses on the Hub; empty for images in folders.
        expected: the number of rows; None if the card does not say.
        classes: column → its classes; None if the card declares no columns.
    """

    files: list[str]
    expected: int | None = None
    classes: Mapping[str, ClassLabel] | None = None


@dataclass(frozen=True, kw_only=True)
class ResolvedSplit(SplitFiles):
    """A split whose files datasets has found.

    Attributes:
        builder: of datasets, which has not run; its class tells the format of the files.
    """

    builder: DatasetBuilder


def resolve_split(folder: Path | None, pinned: Pinned | None, split: str, config: str | None = None) -> ResolvedSplit:
    """Finds the files of a split of a folder or of a Hub dataset, by its card and their names.

    The files that the card names are checked before datasets sees the card, and the files that datasets finds are
    checked again: nothing outside of the folder, or of the repository at that commit, is opened.

    Args:
        folder: in Hub layout; None: the dataset is on the Hub.
        pinned: the Hub dataset at a commit; the folder, if given, is its copy in the cache. None: a local dataset.
        split: name of the split.
        config: name of the configuration; None: the only one, or the default.

    Raises:
        NoSplitError: there is no such split.
        InputError: the card is unreadable or names files of others, there is no such configuration, or the files are
            of a format that is not read.
        ConnectionLostError: the Hub does not answer.
    """
    name = pinned.id if pinned else str(folder)
    where = f"split {quoted(split)} of {name}"
    cards = [_read_card(_card_file(folder, pinned, card), name) for card in CARDS]
    try:
        builder = patiently(lambda: _load_builder(folder, pinned, config))
        info = (builder.info.splits or {}).get(split)
        files = {str(key): [str(path) for path in paths] for key, paths in (builder.config.data_files or {}).items()}
    except Exception as error:  # a stranger's card or file name can make datasets raise errors of any kind
        raise InputError(f"cannot open {where}: {reason_of(error)}") from error
    if not isinstance(builder, FORMATS):
        raise InputError(
            f"cannot open {where}: it is of the format {type(builder).__name__}; images are read from Parquet files, "
            "WebDatasets, and folders by class"
        )
    if isinstance(builder, ImageFolder):
        # `image_folders` finds its splits and classes, and knows no configurations.
        if any("configs" in card for card in cards):
            raise InputError(
                f"cannot open {where}: its card has configurations of images in folders, which are not read"
            )
        return ResolvedSplit([], builder=builder)
    if split not in files:
        reason = f"it has {', '.join(files)}; take one of these" if files else "it has no files"
        raise NoSplitError(f"cannot open {where}: {reason}")
    _refuse_foreign(files[split], _roots(folder, pinned), name)
    require_whole(files[split], where)
    classes = declared_classes(builder.info.features, name) if builder.info.features else None
    expected = info.num_examples if info else None
    if not (expected is None or (type(expected) is int and expected >= 0)):
        raise InputError(f"the card of {name} says {quoted(expected)} for num_examples, no number of rows: mend it")
    return ResolvedSplit(files[split], expected, classes, builder=builder)


def plain_files(folder: Path, split: str) -> list[str]:
    """The Parquet files of a split by their names, in a folder without a card; empty if it has a card or no such files.

    They are `data/<split>-….parquet`, or `<split>.parquet` in the folder itself.
    """
    if not folder.is_dir() or has_card(folder):
        return []
    files = row_files(folder, split) or [file for file in (folder / f"{split}.parquet",) if file.is_file()]
    return [str(file) for file in files]


def has_card(folder: Path) -> bool:
    """Whether a folder has a file that may declare configurations and splits."""
    return any((folder / name).exists() for name in CARDS)


def reason_of(error: Exception) -> str:
    """The first two lines of a library's message: the second may name the choices, as those of configurations."""
    if isinstance(error, DatasetGenerationError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # the error itself only says that there was one
    return one_line(" ".join((str(error).strip() or type(error).__name__).splitlines()[:2]), 500)


def _load_builder(folder: Path | None, pinned: Pinned | None, config: str | None) -> DatasetBuilder:
    if folder:
        return load_dataset_builder(str(folder), config)
    pinned = _required(pinned)
    return load_dataset_builder(pinned.id, config, revision=pinned.commit, token=given_token())


def _required(pinned: Pinned | None) -> Pinned:
    assert pinned is not None  # without a folder the dataset is on the Hub
    return pinned


def _card_file(folder: Path | None, pinned: Pinned | None, name: str) -> Path | None:
    if folder:
        return folder / name
    pinned = _required(pinned)
    return dataset_file(pinned, name, pinned.commit)


def _read_card(file: Path | None, where: str) -> dict[str, Any]:
    """The YAML of a card, empty if there is none; a card that names files of others is refused."""
    if file is None or not file.is_file():
        return {}
    text = read_bytes(file, f"the card of {where}").decode("utf-8", errors="replace")
    read = read_front_matter if file.name == CARDS[0] else read_mapping
    metadata = read(text, f"{file.name} of {where}")
    refuse_other_files(metadata, where)
    return metadata


def _roots(folder: Path | None, pinned: Pinned | None) -> tuple[str, ...]:
    """How the addresses of a dataset's own files begin."""
    if folder:  # by its name or, if that is a link, by the folder that it leads to
        return tuple(f"{Path(root).as_posix()}/" for root in (os.path.abspath(folder), folder.resolve()))
    pinned = _required(pinned)
    return (f"hf://datasets/{pinned.id}@{pinned.commit}/",)


def _refuse_foreign(files: Iterable[str], roots: tuple[str, ...], where: str) -> None:
    for path in files:
        if not path.startswith(roots) or ".." in PurePosixPath(path).parts:
            raise InputError(f"{where} names {quoted(path)}, which is not its own: nothing else is opened for it")
