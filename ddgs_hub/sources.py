"""Where an original dataset comes from: a Hub id, a folder in Hub layout, an image folder by class, or the digits."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Image, Value, load_dataset_builder
from datasets.packaged_modules.cache.cache import Cache
from datasets.packaged_modules.parquet.parquet import Parquet
from datasets.packaged_modules.webdataset.webdataset import WebDataset
from huggingface_hub import constants

from ddgs_hub.core.door import admit_rows, declared_classes
from ddgs_hub.errors import InputError
from ddgs_hub.hub_sources import Pinned, cached_commit, cached_snapshot, not_cached, pin_dataset
from ddgs_hub.original.resolving import plain_files, resolve_split
from ddgs_hub.rows import parquet_path, write_tables
from ddgs_hub.source_rows import Chunk, ParquetRows, Position, SourceRows, StreamRows, Wanted
from ddgs_hub.subsets import Subset, get_subset
from ddgs_hub.webdataset import ShardRows, named_classes, number_of_samples

BUILT_IN = "digits"
SOURCE_FILE = "source.json"  # beside rows that came from the Hub: from which commit, and how many of how many
ORIGINAL_COLUMNS = ("image", "label", "wnid", "source_index")


def write_original(
    source: str,
    folder: str | Path,
    *,
    splits: Mapping[str, str] | None = None,
    subset: str | None = None,
    config: str | None = None,
    revision: str | None = None,
) -> dict[str, int]:
    """Writes the splits of an original dataset into `folder`, in Hub layout, with the image bytes of the source.

    Columns: `image`, `label` (ClassLabel), `wnid` (null where the source knows none), `source_index` (row of the source
    split). The source is streamed: rows outside the subset are dropped by their label, without decoding their image.
    Of a Hub dataset all splits are read at one commit, which `source.json` names.

    Args:
        source: a Hub dataset id, a local folder (Hub layout, or images in `<split>/<class>/`), or `digits`.
        folder: where to write.
        splits: name to write → split of the source; None: train and validation under their own names.
        subset: a name of `subsets.SUBSETS`; its classes, in its order, become labels 0 … 9. None keeps all classes.
        config: the configuration of a Hub dataset that has several.
        revision: the revision of a Hub dataset.

    Returns:
        The number of rows of each split.

    Raises:
        InputError: the source, a split, a column or a class is missing, or a label is outside the classes.
    """
    chosen = get_subset(subset) if subset else None
    counts, pinned = {}, None
    for name, split in (splits or {"train": "train", "validation": "validation"}).items():
        opened = open_source(source, split, config=config, revision=pinned.commit if pinned else revision)
        pinned = opened.pinned
        features, chunks = original_rows(opened, chosen)
        counts[name] = write_tables((chunk.table for chunk in chunks), features, parquet_path(folder, name))
        # The labels alone: the images of a whole ImageNet do not fit into memory.
        present = pq.read_table(parquet_path(folder, name), columns=["label"]).column("label").unique().to_pylist()
        check_every_class(present, features["label"].names, opened.where)
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
    if source == BUILT_IN:
        return Pinned(source, BUILT_IN)
    folder = Path(source).expanduser()
    if folder.is_dir():
        from ddgs_hub.fingerprint import fingerprint_folder  # imported here: it brings torch

        return Pinned(source, fingerprint_folder(folder))
    return find_dataset(source, revision=revision)


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
    if source == BUILT_IN:
        return StreamRows(digits(split).to_iterable_dataset(), where, expected=None, pinned=None)
    folder, pinned = Path(source).expanduser(), None
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
    if plain := plain_files(folder, split):
        return ParquetRows(plain, where, wanted, expected=None, pinned=pinned)
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
    stream = found.builder.as_streaming_dataset(split=split)
    return StreamRows(stream, where, wanted, expected=found.expected, pinned=pinned)


def _refuse_path(source: str) -> None:
    if source.startswith((".", "/", "~")):
        raise InputError(f"{source} is not a folder: give a Hub dataset id, a folder, or '{BUILT_IN}'")


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


def original_rows(
    source: SourceRows, subset: Subset | None, position: Position | None = None
) -> tuple[Features, Iterator[Chunk]]:
    """The features of an original dataset, and its rows out of a source: of a subset those of its classes alone.

    Raises:
        InputError: the labels have no names, the classes of the subset are not found, or, while rows are read, a label
            is outside the classes.
    """
    label, where = source.features["label"], source.where
    if not isinstance(label, ClassLabel):
        raise InputError(f"column 'label' of {where} is {label}, not a ClassLabel: cast it, so that classes have names")
    key, to_label = _class_key(source.features, subset, where)
    names = list(subset.class_names) if subset else label.names
    features = Features(image=Image(), label=ClassLabel(names=names), wnid=Value("string"), source_index=Value("int64"))

    def choose(keys: pa.Table, first_row: int) -> Sequence[int]:
        return [k for k, value in enumerate(keys.column(key).to_pylist()) if value in to_label]

    def chunks() -> Iterator[Chunk]:
        for chunk in source.read(ORIGINAL_COLUMNS, choose, position):
            known, labels = chunk.table, [to_label[value] for value in chunk.table.column(key).to_pylist()]
            columns: dict[str, Any] = {"image": known.column("image"), "label": labels}
            if subset:
                columns["wnid"] = [subset.wnids[value] for value in labels]
            else:
                columns["wnid"] = known.column("wnid") if "wnid" in known.column_names else pa.nulls(len(known))
            counted = "source_index" in known.column_names
            columns["source_index"] = known.column("source_index") if counted else chunk.rows
            yield Chunk(pa.table(columns), chunk.rows, chunk.position)

    return features, chunks()


def check_every_class(present: Collection[int], names: list[str], where: str) -> None:
    """Raises an InputError that names the first class of `names` whose label is not among those present."""
    missing = [name for k, name in enumerate(names) if k not in present]
    if missing:
        raise InputError(f"class '{missing[0]}' of {where} has no image: add images or drop the class from the labels")


def _class_key(features: Features, subset: Subset | None, where: str) -> tuple[str, dict[int | str, int]]:
    """The column that tells the classes apart, and the new label of each of its values that is wanted.

    The classes of a subset are found by wnid, as a column or as class names, else by ImageNet-1k index, else by name.
    """
    label = features["label"]
    if subset is None:
        return "label", {k: k for k in range(label.num_classes)}
    if "wnid" in features:
        return "wnid", {wnid: k for k, wnid in enumerate(subset.wnids)}
    if set(subset.wnids) <= set(label.names):
        return "label", {label.names.index(wnid): k for k, wnid in enumerate(subset.wnids)}
    if label.num_classes == 1000:
        return "label", {index: k for k, index in enumerate(subset.imagenet_indices)}
    names = [_plain(name) for name in label.names]
    if all(names.count(_plain(name)) == 1 for name in subset.class_names):
        return "label", {names.index(_plain(name)): k for k, name in enumerate(subset.class_names)}
    raise InputError(
        f"cannot find {subset.pretty_name} in the {label.num_classes} classes of {where}: it needs a column 'wnid', "
        "classes named by wnid or as fastai names them, or the 1,000 classes of ImageNet-1k in their order"
    )


def _plain(name: str) -> str:
    """A class name without what its writers differ in: `Golden_Retriever`, `golden retriever, Canis …`."""
    return name.split(",")[0].replace("_", " ").strip().casefold()
