"""Where an original dataset comes from: a Hub id, a folder in Hub layout, an image folder by class, or the digits."""

import json
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value, load_dataset_builder
from datasets.packaged_modules.cache.cache import Cache
from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder
from datasets.packaged_modules.parquet.parquet import Parquet
from datasets.packaged_modules.webdataset.webdataset import WebDataset
from huggingface_hub import constants

from ddgs_hub.core.door import admit_rows, declared_classes
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import Pinned, cached_commit, cached_snapshot, not_cached, pin_dataset, require_id
from ddgs_hub.core.places import expanded
from ddgs_hub.original.classes import original_rows
from ddgs_hub.original.folders import is_image_folder, open_image_folder
from ddgs_hub.original.reading import ParquetRows, SourceRows, StreamRows, Wanted
from ddgs_hub.original.resolving import plain_files, resolve_split
from ddgs_hub.original.subsets import get_subset
from ddgs_hub.original.tree import HubTree, LocalTree, Tree
from ddgs_hub.original.webdataset import ShardRows, named_classes, number_of_samples
from ddgs_hub.original.writing import Split, write_divided, write_splits

BUILT_IN = "digits"
SOURCE_FILE = "source.json"  # beside rows that came from the Hub: from which commit, and how many of how many


def write_original(
    source: str,
    folder: str | Path,
    *,
    splits: Mapping[str, str] | None = None,
    validation_share: float | None = None,
    subset: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    wanted: Wanted = Wanted(),
) -> dict[str, int]:
    """Writes the splits of an original dataset into `folder`, in Hub layout, with the image bytes of the source.

    Columns: `image`, `label` (ClassLabel), `wnid` (null where the source knows none), `source_index` (row of the source
    split). The source is streamed: rows outside the subset are dropped by their label, without decoding their image.
    Of a Hub dataset all splits are read at one commit, which `source.json` names. All are opened before any is read.

    Args:
        source: see `open_source`.
        folder: where to write.
        splits: name to write → split of the source; None: train and validation under their own names.
        validation_share: of the training split, which validates instead of a split of the source; see `validating`.
        subset: a name of `subsets.SUBSETS`; its classes, in its order, become labels 0 … 9. None keeps all classes.
        config: the configuration of a Hub dataset that has several.
        revision: the revision of a Hub dataset.
        wanted: see `open_source`.

    Returns:
        The number of rows of each split.

    Raises:
        InputError: the source, a split, a column or a class is missing, the splits differ in their classes, a label is
            outside of them, or a class has too few images to be divided.
    """
    chosen, pinned = get_subset(subset) if subset else None, None
    names = dict(splits or {"train": "train", "validation": "validation"})
    if validation_share is not None:
        names = {"train": names["train"]}
    opened = {}
    for name, split in names.items():
        refuse_revision(source, revision)
        at = pinned.commit if pinned else revision
        rows = open_source(source, split, config=config, revision=at, wanted=wanted)
        features, chunks = original_rows(rows, chosen)
        opened[name], pinned = Split(rows.where, features, (chunk.table for chunk in chunks)), rows.pinned
    if validation_share is None:
        counts = write_splits(opened, folder)
    else:
        counts = write_divided(opened["train"], folder, validation_share)
    write_source_file(folder, pinned, config, counts)
    return counts


def write_source_file(folder: str | Path, pinned: Pinned | None, config: str | None, rows: Mapping[str, int]) -> None:
    """Notes in `source.json` where rows came from, if it was the Hub: of local sources nothing is to be named."""
    if pinned:
        noted = {"source": pinned.id, "commit": pinned.commit, "config": config, "rows": dict(rows)}
        (Path(folder) / SOURCE_FILE).write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")


def find_dataset(source: str, config: str | None = None, revision: str | None = None) -> Pinned:
    """The commit that a revision of a Hub dataset is at; with HF_HUB_OFFLINE the one that the caches know.

    Raises:
        InputError: there is no such dataset or revision, it may not be read, or it is not in the caches.
        ConnectionLostError: the Hub cannot be reached.
    """
    _refuse_path(source)
    if not constants.HF_HUB_OFFLINE:
        return pin_dataset(source, revision)
    commit = cached_commit(source, revision)
    if commit is None and revision is None:
        # Someone loaded it with `load_dataset`, which keeps commits and no branches: the last one.
        with suppress(ValueError, OSError):
            commit = load_dataset_builder(source, config).hash
    if commit is None:
        raise not_cached(source, revision)
    return Pinned(source, commit)


def rows_in_cache(pinned: Pinned, split: str, config: str | None = None) -> Dataset:
    """All rows of a split, mapped from the cache of datasets, where somebody has loaded it at that commit.

    Raises:
        InputError: nobody has.
    """
    # Not `load_dataset`, which offline takes the last commit that was loaded, whatever revision it is given.
    name = pinned.id.split("/")[-1]
    cache = Cache(repo_id=pinned.id, dataset_name=name, config_name=config or "default", hash=pinned.commit)
    try:
        rows = cache.as_dataset(split)
    except (ValueError, OSError) as error:
        raise not_cached(pinned.id, pinned.commit) from error
    where = f"{pinned.id} ({split})"
    classes = declared_classes(rows.features, where)
    if "cls" in rows.features and not classes and "label" not in rows.features:
        # A WebDataset, of which the cache forgets what the shards were called.
        classes = {"cls": named_classes("cls", [pinned.id], where)}
    return admit_rows(rows, where, classes)


def pin_source(source: str, revision: str | None = None) -> Pinned:
    """A source at one state: a Hub dataset at the commit of a revision, or local files by the fingerprint of them.

    See `find_dataset` for what HF_HUB_OFFLINE does.

    Raises:
        InputError: there is no such source, or it may not be read.
        ConnectionLostError: the Hub cannot be reached.
    """
    if is_built_in(source):
        return Pinned(source, BUILT_IN)
    folder = expanded(source)
    if folder.is_dir():
        from ddgs_hub.core.fingerprint import fingerprint_folder  # imported here: it brings torch

        return Pinned(source, fingerprint_folder(folder))
    return find_dataset(source, revision=revision)


def is_built_in(source: str) -> bool:
    """Whether a source is the digits that come with the package.

    Raises:
        InputError: a folder here has that name, so that either may be meant.
    """
    if source == BUILT_IN and Path(source).is_dir():
        raise InputError(
            f"'{source}' may be the built-in digits or the folder of that name here: give ./{source} for the folder, "
            "or rename it for the built-in ones"
        )
    return source == BUILT_IN


def open_source(
    source: str,
    split: str,
    *,
    config: str | None = None,
    revision: str | None = None,
    wanted: Wanted = Wanted(),
) -> SourceRows:
    """A split of a source, its rows not yet read. A Hub dataset is pinned to its commit, and its access checked, first.

    With HF_HUB_OFFLINE a Hub dataset is read from the cache of huggingface_hub, or else from that of datasets.

    Args:
        source: a Hub dataset id, a local folder (Hub layout, Parquet, tar files, or images by class), or `digits`.
        split: of it.
        config: the configuration of a dataset that has several.
        revision: of a Hub dataset.
        wanted: which columns are image and label, where that is not clear.

    Raises:
        InputError: there is no such source or split, it may not be read, or it lacks images or labels.
    """
    where = f"{source} ({split})"
    if is_built_in(source):
        return StreamRows(digits(split).to_iterable_dataset(), where, expected=None, pinned=None)
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
    if plain := plain_files(folder, split) if config is None else []:
        return ParquetRows(plain, where, wanted, expected=None, pinned=pinned)
    if folder.is_dir() and not pinned and is_image_folder(folder):
        return open_image_folder(LocalTree(folder), split, where)
    return _open_files(folder, split, config, pinned, where, wanted)


def _open_files(
    folder: Path, split: str, config: str | None, pinned: Pinned | None, where: str, wanted: Wanted
) -> SourceRows:
    """A split of a dataset by what its card and the names of its files say."""
    found = resolve_split(folder if folder.is_dir() else None, pinned, split, config)
    if isinstance(found.builder, Parquet):
        return ParquetRows(found.files, where, wanted, found.classes, expected=found.expected, pinned=pinned)
    if isinstance(found.builder, WebDataset):
        expected = found.expected
        if expected is None and pinned:
            expected = number_of_samples(pinned, split)
        return ShardRows(found.files, where, wanted, found.classes, expected=expected, pinned=pinned)
    if isinstance(found.builder, ImageFolder):
        if folder.is_dir():
            tree: Tree = LocalTree(folder, store=folder.parents[1] / "blobs" if pinned else None)
        else:
            assert pinned is not None
            tree = HubTree(pinned)
        return open_image_folder(tree, split, where, pinned=pinned)
    stream = found.builder.as_streaming_dataset(split=split)
    return StreamRows(stream, where, wanted, expected=found.expected, pinned=pinned)


def refuse_revision(source: str, revision: str | None) -> None:
    """Refuses a revision of what is no Hub dataset: nothing there would be another."""
    if revision is not None and (is_built_in(source) or expanded(source).is_dir()):
        raise InputError(f"{source} is not on the Hub and has no revision '{revision}': leave it out, or give a Hub id")


def _refuse_path(source: str) -> None:
    if not source or source.startswith((".", "/", "~")):
        raise InputError(f"{source or 'nothing'} is not a folder: give a Hub dataset id, a folder, or '{BUILT_IN}'")
    require_id(source, "dataset")


def digits(split: str) -> Dataset:
    """scikit-learn's 1,797 real handwritten digits, 8 × 8 grey levels, as 16 × 16 PNG images (bicubic).

    360 images, stratified by class, are for validation, the other 1,437 for training: always the same ones. They are
    enlarged here, once, so that the generator, the scorer and the compared networks all see the same pixels.

    Raises:
        InputError: `split` is neither train nor validation.
    """
    from PIL import Image as PILImage
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    if split not in ("train", "validation"):
        raise InputError(f"the built-in digits have no split '{split}': they have train and validation")
    data = load_digits()
    parts = train_test_split(range(len(data.images)), test_size=360, stratify=data.target, random_state=0)
    chosen = sorted(parts[split == "validation"])

    def png(i: int) -> bytes:
        grey = np.minimum(data.images[i] * 16, 255).astype(np.uint8)  # the 17 levels 0 … 16 as 0 … 255
        buffer = BytesIO()
        PILImage.fromarray(grey).resize((16, 16), PILImage.Resampling.BICUBIC).save(buffer, "PNG")
        return buffer.getvalue()

    columns = {
        "image": [{"bytes": png(i), "path": None} for i in chosen],
        "label": [int(data.target[i]) for i in chosen],
        "source_index": chosen,
    }
    features = Features(image=Image(), label=ClassLabel(names=[str(k) for k in range(10)]), source_index=Value("int64"))
    return Dataset.from_dict(columns, features=features)
