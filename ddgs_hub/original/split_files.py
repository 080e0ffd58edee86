"""Which files a dataset consists of, here or on the Hub: all of them its own, and of a format that holds bytes."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from datasets import ClassLabel, DatasetBuilder, load_dataset_builder
from datasets.exceptions import DatasetGenerationError
from datasets.packaged_modules.arrow.arrow import Arrow
from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder
from datasets.packaged_modules.parquet.parquet import Parquet
from datasets.packaged_modules.webdataset.webdataset import WebDataset

from ddgs_hub.core.columns import declared_classes
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import read_front_matter, read_mapping, refuse_other_files
from ddgs_hub.core.hub_client import Pinned, dataset_file, patiently
from ddgs_hub.core.rows import require_whole, row_files
from ddgs_hub.core.schema import read_bytes
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.core.tokens import given_token

FORMATS = (Parquet, WebDataset, ImageFolder, Arrow)  # others run code, open what a row names, or hold no bytes
CARDS = ("README.md", ".huggingface.yaml")  # where datasets looks for configurations


@dataclass(frozen=True)
class ResolvedSplit:
    """A split whose files are known and not yet read.

    Attributes:
        builder: of datasets; it has not run.
        files: paths here, or addresses on the Hub; of images in folders none.
        expected: how many rows the card says; None where it does not.
        classes: the columns of classes that the card declares; None where it declares no columns.
    """

    builder: DatasetBuilder
    files: list[str]
    expected: int | None
    classes: Mapping[str, ClassLabel] | None


def resolve_split(folder: Path | None, pinned: Pinned | None, split: str, config: str | None = None) -> ResolvedSplit:
    """Finds the files of a split of a folder or of a Hub dataset, as its card and their names say.

    What the card names is checked before datasets sees it, and what datasets found after: nothing outside of the
    folder, or of the repository at that commit, is looked at.

    Args:
        folder: in Hub layout; None: it is on the Hub.
        pinned: the Hub dataset, of which a folder may be the copy in the cache.
        split: which one.
        config: which configuration; None: the only one, or the default.

    Raises:
        InputError: the card cannot be read or names other files, there is no such configuration or split, or the files
            are of a format that is not read.
        ConnectionLostError: the Hub does not answer.
    """
    name = pinned.id if pinned else str(folder)
    where = f"split {quoted(split)} of {name}"
    configured = False
    for card in CARDS:
        file = folder / card if folder else dataset_file(_given(pinned), card, _given(pinned).commit)
        configured |= "configs" in _read_card(file, name)
    try:
        builder = patiently(lambda: _load_builder(folder, pinned, config))
        info = (builder.info.splits or {}).get(split)
        files = {str(key): [str(path) for path in paths] for key, paths in (builder.config.data_files or {}).items()}
    except Exception as error:  # of a stranger's card and names of files datasets makes errors of any kind
        raise InputError(f"cannot open {where}: {reason_of(error)}") from error
    if not isinstance(builder, FORMATS):
        raise InputError(
            f"cannot open {where}: it is of the format {type(builder).__name__}; images are read from Parquet files, "
            "WebDatasets, and folders by class"
        )
    if isinstance(builder, ImageFolder):
        # Its splits and classes are found by a walk of our own, which knows no configurations.
        if configured:
            raise InputError(
                f"cannot open {where}: its card has configurations of images in folders, which are not read"
            )
        return ResolvedSplit(builder, [], None, None)
    if split not in files:
        there = f"it has {', '.join(files)}; take one of these" if files else "it has no files"
        raise InputError(f"cannot open {where}: {there}")
    if folder:  # by its name or, where that leads through a link, by the place that it stands for
        roots = tuple(f"{Path(root).as_posix()}/" for root in (os.path.abspath(folder), folder.resolve()))
    else:
        roots = (f"hf://datasets/{_given(pinned).id}@{_given(pinned).commit}/",)
    _refuse_foreign(files[split], roots, name)
    require_whole(files[split], where)
    classes = declared_classes(builder.info.features, name) if builder.info.features else None
    expected = info.num_examples if info else None
    if not (expected is None or (type(expected) is int and expected >= 0)):
        raise InputError(f"the card of {name} says {quoted(expected)} for num_examples, no number of rows: mend it")
    return ResolvedSplit(builder, files[split], expected, classes)


def plain_files(folder: Path, split: str) -> list[str]:
    """The Parquet files of a split in a folder without a card, by their names; empty where there is more to look at."""
    if not folder.is_dir() or has_card(folder):
        return []
    found = row_files(folder, split) or [file for file in (folder / f"{split}.parquet",) if file.is_file()]
    return [str(file) for file in found]


def has_card(folder: Path) -> bool:
    """Whether a folder says itself what it consists of."""
    return any((folder / name).exists() for name in CARDS)


def reason_of(error: Exception) -> str:
    """What a library says, of which the second line may name the choices: "Config name is missing. Please pick …"."""
    if isinstance(error, DatasetGenerationError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # itself it says only that there is one
    return one_line(" ".join((str(error).strip() or type(error).__name__).splitlines()[:2]), 500)


def _load_builder(folder: Path | None, pinned: Pinned | None, config: str | None) -> DatasetBuilder:
    if folder:
        return load_dataset_builder(str(folder), config)
    return load_dataset_builder(_given(pinned).id, config, revision=_given(pinned).commit, token=given_token())


def _given(pinned: Pinned | None) -> Pinned:
    assert pinned is not None
    return pinned


def _read_card(file: Path | None, where: str) -> dict[str, Any]:
    """What a card declares; one that names files of others is refused."""
    if file is None or not file.is_file():
        return {}
    text = read_bytes(file, f"the card of {where}").decode("utf-8", errors="replace")
    read = read_front_matter if file.name == CARDS[0] else read_mapping
    metadata = read(text, f"{file.name} of {where}")
    refuse_other_files(metadata, where)
    return metadata


def _refuse_foreign(files: Iterable[str], roots: tuple[str, ...], where: str) -> None:
    for path in files:
        if not path.startswith(roots) or ".." in PurePosixPath(path).parts:
            raise InputError(f"{where} names {quoted(path)}, which is not its own: nothing else is opened for it")
