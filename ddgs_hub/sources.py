"""Where an original dataset comes from: a Hub id, a folder in Hub layout, an image folder by class, or the digits."""

from collections.abc import Collection, Iterator, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Image, IterableDataset, Value, load_dataset
from datasets.table import embed_table_storage

from ddgs_hub.errors import InputError
from ddgs_hub.rows import ROWS_PER_GROUP, parquet_path, read_rows, read_tables, write_tables
from ddgs_hub.subsets import Subset, get_subset

BUILT_IN = "digits"


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
    counts = {}
    for name, split in (splits or {"train": "train", "validation": "validation"}).items():
        stream = open_source(source, split, config=config, revision=revision)
        tables, features = _select(stream, chosen, f"{source} ({split})")
        counts[name] = write_tables(tables, features, parquet_path(folder, name))
        # The labels alone: the images of a whole ImageNet do not fit into memory.
        present = pq.read_table(parquet_path(folder, name), columns=["label"]).column("label").unique().to_pylist()
        _check_every_class(present, features["label"].names, f"{source} ({split})")
    return counts


def load_rows(source: str | Path, split: str = "train", *, revision: str | None = None) -> Dataset:
    """All rows of a split, with every column: of a local folder in Hub layout, or of a Hub dataset.

    Raises:
        InputError: there is no such source or split.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return read_rows(folder, split)
    if str(source).startswith((".", "/", "~")):
        raise InputError(f"there is no folder {source}: give a folder in Hub layout or a Hub dataset id")
    try:
        return load_dataset(str(source), split=split, revision=revision)
    except (ValueError, FileNotFoundError, ConnectionError) as error:
        raise InputError(f"cannot load split '{split}' of {source}: {str(error).strip().splitlines()[0]}") from error


def spool_rows(
    source: str, split: str, path: str | Path, *, subset: str | None = None, revision: str | None = None
) -> None:
    """Writes all rows of a split as an Arrow file, which `Dataset.from_file` maps into memory: it need not fit there.

    Every column of the source is kept, and the bytes of every image. Of a subset the columns are those of
    `write_original`.

    Args:
        source: a local folder in Hub layout, a Hub dataset id, which is streamed, or `digits`.
        split: of the source.
        path: the file to write.
        subset: a name of `subsets.SUBSETS`: its classes alone, in its order.
        revision: the revision of a Hub dataset.

    Raises:
        InputError: the source, the split, a column or a class of the subset is missing.
    """
    where = f"{source} ({split})"
    folder = Path(source).expanduser()
    if subset is not None:
        tables, features = _select(open_source(source, split, revision=revision), get_subset(subset), where)
        schema = features.arrow_schema
    elif folder.is_dir():
        schema, tables = read_tables(folder, split)
    else:
        stream = open_source(source, split, revision=revision)
        raw, features = stream.features.arrow_schema, Features({**stream.features, "image": Image()})
        batches = stream.with_format("arrow").iter(batch_size=ROWS_PER_GROUP)
        tables, schema = (embed_table_storage(table.cast(raw)) for table in batches), features.arrow_schema
    present: set[int] = set()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for table in tables:
            table = table.select(schema.names).cast(schema)
            writer.write_table(table)
            if subset is not None:
                present.update(table.column("label").unique().to_pylist())
    if subset is not None:
        _check_every_class(present, features["label"].names, where)


def open_source(source: str, split: str, *, config: str | None = None, revision: str | None = None) -> IterableDataset:
    """A split of a source as a stream of rows, images undecoded.

    Raises:
        InputError: there is no such source or split, or it lacks `image` or `label`.
    """
    if source == BUILT_IN:
        return digits(split).to_iterable_dataset().cast_column("image", Image(decode=False))
    where = Path(source).expanduser()
    if source.startswith((".", "/", "~")) and not where.is_dir():
        raise InputError(f"{source} is not a folder: give a Hub dataset id, a folder, or '{BUILT_IN}'")
    name = str(where) if where.is_dir() else source
    try:
        if where.is_dir() and not any(where.rglob("*.parquet")):
            stream = load_dataset("imagefolder", data_dir=name, split=split, streaming=True)
        else:
            stream = load_dataset(name, config, split=split, revision=revision, streaming=True)
    except (ValueError, FileNotFoundError, ConnectionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"cannot open split '{split}' of {source}: {reason}") from error
    for column in ("image", "label"):
        if stream.features is not None and column not in stream.features:
            raise InputError(f"{source} has no column '{column}': it has {', '.join(stream.features)}")
    return stream.cast_column("image", Image(decode=False))


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


def _select(stream: IterableDataset, subset: Subset | None, where: str) -> tuple[Iterator[pa.Table], Features]:
    """The rows of a subset as Arrow tables with the columns of an original dataset, and their features."""
    label = stream.features["label"]
    if not isinstance(label, ClassLabel):
        raise InputError(f"column 'label' of {where} is {label}, not a ClassLabel: cast it, so that classes have names")
    key, to_label = _class_key(stream.features, subset, where)
    names = list(subset.class_names) if subset else label.names
    features = Features(image=Image(), label=ClassLabel(names=names), wnid=Value("string"), source_index=Value("int64"))
    raw_image = Features(image=Image(decode=False)).arrow_schema

    def tables() -> Iterator[pa.Table]:
        start = 0
        for table in stream.with_format("arrow").iter(batch_size=ROWS_PER_GROUP):
            rows = np.arange(start, start + len(table))
            start += len(table)
            if "source_index" not in table.column_names:
                table = table.append_column("source_index", pa.array(rows))
            if "wnid" not in table.column_names:
                table = table.append_column("wnid", pa.nulls(len(table), pa.string()))
            _check_labels(table.column("label").to_pylist(), label.num_classes, rows[0], where)
            new = [to_label.get(value) for value in table.column(key).to_pylist()]
            kept = [k for k, value in enumerate(new) if value is not None]
            if kept:
                table = table.take(kept)
                labels = [value for value in new if value is not None]
                wnids = [subset.wnids[v] for v in labels] if subset else table.column("wnid")
                columns = {
                    "image": embed_table_storage(table.select(["image"]).cast(raw_image)).column("image"),
                    "label": labels,
                    "wnid": wnids,
                    "source_index": table.column("source_index"),
                }
                yield pa.table(columns)

    return tables(), features


def _check_every_class(present: Collection[int], names: list[str], where: str) -> None:
    missing = [name for k, name in enumerate(names) if k not in present]
    if missing:
        raise InputError(f"class '{missing[0]}' of {where} has no image: add images or drop the class from the labels")


def _check_labels(labels: list[int | None], num_classes: int, first_row: int, where: str) -> None:
    for row, value in enumerate(labels, start=first_row):
        if value is None or not 0 <= value < num_classes:
            raise InputError(
                f"row {row} of {where} has label {value}, outside its {num_classes} classes: mend that row"
            )


def _class_key(features: Features, subset: Subset | None, where: str) -> tuple[str, dict[int | str, int]]:
    """The column that tells the classes apart, and the new label of each of its values that is wanted.

    The classes of a subset are found by wnid, as a column or as class names, else by ImageNet-1k index.
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
    raise InputError(
        f"cannot find {subset.pretty_name} in the {label.num_classes} classes of {where}: it needs a column 'wnid', "
        "classes named by wnid, or the 1,000 classes of ImageNet-1k in their order"
    )
