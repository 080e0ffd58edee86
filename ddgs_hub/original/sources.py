"""Opens a source of images: a Hub dataset, a folder in Hub layout, images in folders by class, or the digits."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from datasets import Dataset, load_dataset_builder
from datasets.packaged_modules.cache.cache import Cache
from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder
from datasets.packaged_modules.parquet.parquet import Parquet
from datasets.packaged_modules.webdataset.webdataset import WebDataset
from huggingface_hub import constants

from ddgs_hub.core.columns import declared_classes
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.foreign_rows import sanitize_dataset
from ddgs_hub.core.hub_client import Pinned, cached_commit, cached_snapshot, not_cached, pin_dataset, require_id
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.original.digits import BUILT_IN, digits_split, is_built_in
from ddgs_hub.original.file_tree import FileTree, HubTree, LocalTree
from ddgs_hub.original.image_folders import is_image_folder, open_image_folder
from ddgs_hub.original.reading import ColumnNames, ParquetRows, SourceRows, StreamRows
from ddgs_hub.original.split_files import SplitFiles, plain_files, resolve_split
from ddgs_hub.original.webdataset import ShardRows, named_classes, number_of_samples


def open_source(
    source: str,
    split: str,
    *,
    config: str | None = None,
    revision: str | None = None,
    column_names: ColumnNames = ColumnNames(),
) -> SourceRows:
    """Opens a split of a source; no row is read yet. A Hub dataset is pinned to a commit first, and access is checked.

    With HF_HUB_OFFLINE a Hub dataset is read from the cache of huggingface_hub, or else from that of datasets.

    Args:
        source: a Hub dataset id or `owner/name@revision`, a local folder (Hub layout, Parquet, tar files, or images by
            class), or `digits`.
        split: of the source.
        config: the configuration of a dataset that has several.
        revision: of a Hub dataset: a commit, tag or branch.
        column_names: which columns are image and label, if their names and types do not show it.

    Raises:
        InputError: there is no such source or split, it may not be read, or it lacks images or labels.
        ConnectionLostError: the Hub cannot be reached.
    """
    source, revision = named_revision(source, revision)
    where = f"{source} ({split})"
    if is_built_in(source):
        return StreamRows(digits_split(split).to_iterable_dataset(), where, expected=None, pinned=None)
    folder, pinned = expanded(source), None
    if not folder.is_dir():
        _refuse_path(source)
        if not constants.HF_HUB_OFFLINE:
            pinned = pin_dataset(source, revision)
        elif cached := cached_snapshot(source, revision):
            folder, pinned = cached, Pinned(source, cached.name)
        else:
            pinned = find_dataset(source, config, revision)
            rows = rows_in_cache(pinned, split, config)
            return StreamRows(rows.to_iterable_dataset(), where, expected=len(rows), pinned=pinned)
    if config is None and (plain := plain_files(folder, split)):
        return ParquetRows(SplitFiles(plain), where, column_names, pinned=pinned)
    if folder.is_dir() and not pinned and is_image_folder(folder):
        return open_image_folder(LocalTree(folder), split, where)
    return _open_files(folder, split, config, pinned, where, column_names)


def _open_files(
    folder: Path, split: str, config: str | None, pinned: Pinned | None, where: str, column_names: ColumnNames
) -> SourceRows:
    """Opens a split of a dataset whose files are known by its card, or by their names."""
    resolved = resolve_split(folder if folder.is_dir() else None, pinned, split, config)
    if isinstance(resolved.builder, Parquet):
        return ParquetRows(resolved, where, column_names, pinned=pinned)
    if isinstance(resolved.builder, WebDataset):
        if resolved.expected is None and pinned:
            resolved = replace(resolved, expected=number_of_samples(pinned, split))
        return ShardRows(resolved, where, column_names, pinned=pinned)
    if isinstance(resolved.builder, ImageFolder):
        if folder.is_dir():
            tree: FileTree = LocalTree(folder, store=folder.parents[1] / "blobs" if pinned else None)
        else:
            assert pinned is not None
            tree = HubTree(pinned)
        return open_image_folder(tree, split, where, pinned=pinned)
    stream = resolved.builder.as_streaming_dataset(split=split)
    return StreamRows(stream, where, column_names, expected=resolved.expected, pinned=pinned)


def pin_source(source: str, revision: str | None = None) -> Pinned:
    """Pins a source to one state: a Hub dataset by its commit, local files by their fingerprint, the digits by name.

    See `find_dataset` for HF_HUB_OFFLINE.

    Raises:
        InputError: there is no such source, or it may not be read.
        ConnectionLostError: the Hub cannot be reached.
    """
    source, revision = named_revision(source, revision)
    if is_built_in(source):
        return Pinned(source, BUILT_IN)
    folder = expanded(source)
    if folder.is_dir():
        from ddgs_hub.core.fingerprint import fingerprint_folder  # imported here: it loads torch

        return Pinned(source, fingerprint_folder(folder))
    return find_dataset(source, revision=revision)


def find_dataset(source: str, config: str | None = None, revision: str | None = None) -> Pinned:
    """Pins a Hub dataset to the commit of a revision; with HF_HUB_OFFLINE, to the commit that the caches know.

    Raises:
        InputError: there is no such dataset or revision, it may not be read, or it is not in the caches.
        ConnectionLostError: the Hub cannot be reached.
    """
    source, revision = named_revision(source, revision)
    _refuse_path(source)
    if not constants.HF_HUB_OFFLINE:
        return pin_dataset(source, revision)
    commit = cached_commit(source, revision)
    if commit is None and revision is None:
        # `load_dataset` may have cached it: that cache has commits but no branches, and the newest is taken.
        with suppress(ValueError, OSError):
            commit = load_dataset_builder(source, config).hash
    if commit is None:
        raise not_cached(source, revision)
    return Pinned(source, commit)


def rows_in_cache(pinned: Pinned, split: str, config: str | None = None) -> Dataset:
    """All rows of a split that `load_dataset` has cached before at that commit, mapped from the cache of datasets.

    Raises:
        InputError: they are not in the cache.
    """
    # Not `load_dataset` itself: offline it ignores the revision, and takes the commit that was loaded last.
    name = pinned.id.split("/")[-1]
    cache = Cache(repo_id=pinned.id, dataset_name=name, config_name=config or "default", hash=pinned.commit)
    try:
        rows = cache.as_dataset(split)
    except (ValueError, OSError) as error:
        raise not_cached(pinned.id, pinned.commit) from error
    where = f"{pinned.id} ({split})"
    classes = declared_classes(rows.features, where)
    if "cls" in rows.features and not classes and "label" not in rows.features:
        # A WebDataset: the cache does not keep the names of its shards, only the repository can name the classes.
        classes = {"cls": named_classes("cls", [pinned.id], where)}
    return sanitize_dataset(rows, where, classes)


def refuse_revision(source: str, revision: str | None) -> None:
    """Refuses a revision of a local source, which has none.

    Raises:
        InputError: the source is not on the Hub, and a revision is given.
    """
    if revision is not None and (is_built_in(source) or expanded(source).is_dir()):
        raise InputError(f"{source} is not on the Hub and has no revision '{revision}': leave it out, or give a Hub id")


def _refuse_path(source: str) -> None:
    """Refuses a name that can only be that of a folder, which does not exist, and names that no repository has."""
    if source and expanded(source).is_file():
        raise InputError(f"{source} is a file: give the folder that it is in, unpacked if it is an archive")
    if not source or source.startswith((".", "/", "~")):
        raise InputError(f"{source or 'nothing'} is not a folder: give a Hub dataset id, a folder, or '{BUILT_IN}'")
    require_id(source, "dataset")
