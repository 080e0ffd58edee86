"""The rows of an original dataset, out of those of a source: four columns, and the labels of a subset."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from datasets import ClassLabel, Features, Image, Value

from ddgs_hub.core.errors import InputError
from ddgs_hub.original.class_names import check_class_names, check_wnids
from ddgs_hub.original.reading import ReadPosition, RowBatch, SourceRows
from ddgs_hub.original.subset_classes import find_subset_classes
from ddgs_hub.original.subsets import Subset

ORIGINAL_COLUMNS = ("image", "label", "wnid", "source_index")


def original_rows(
    source: SourceRows, subset: Subset | None, position: ReadPosition | None = None
) -> tuple[Features, Iterator[RowBatch]]:
    """The features and the rows of an original dataset; nothing is read until the rows are.

    Columns: `image` (undecoded), `label` (ClassLabel), `wnid` (null where the source has none), `source_index` (the
    source's own column of that name, or else the number of the row in the source).

    Args:
        source: an opened split.
        subset: only its classes are kept, and labelled in its order; None keeps all classes and labels.
        position: of an earlier batch, to go on behind it.

    Raises:
        InputError: the labels have no names or unusable ones, or the classes of the subset are not found; while rows
            are read: a label is outside the classes, or the wnids contradict each other.
    """
    label, where = source.features["label"], source.where
    if not isinstance(label, ClassLabel):
        raise InputError(f"column 'label' of {where} is {label}, not a ClassLabel: cast it, so that classes have names")
    check_class_names(label.names, where)
    key, label_of = class_key(source.features, subset, where)
    names = list(subset.class_names) if subset else label.names
    features = Features(image=Image(), label=ClassLabel(names=names), wnid=Value("string"), source_index=Value("int64"))

    wnid_of: dict[int, str | None] = {}

    def keep_classes(keys: pa.Table, first_row: int) -> Sequence[int]:
        return [k for k, value in enumerate(keys.column(key).to_pylist()) if value in label_of]

    def batches() -> Iterator[RowBatch]:
        for batch in source.read(ORIGINAL_COLUMNS, keep_classes, position):
            table, labels = batch.table, [label_of[value] for value in batch.table.column(key).to_pylist()]
            columns: dict[str, Any] = {"image": table.column("image"), "label": labels}
            if subset:
                columns["wnid"] = [subset.wnids[value] for value in labels]
            elif "wnid" in table.column_names:
                columns["wnid"] = table.column("wnid")
                check_wnids(set(zip(labels, table.column("wnid").to_pylist(), strict=True)), wnid_of, names, where)
            else:
                columns["wnid"] = pa.nulls(len(table))
            has_index = "source_index" in table.column_names
            columns["source_index"] = table.column("source_index") if has_index else batch.row_numbers
            yield RowBatch(pa.table(columns), batch.row_numbers, batch.position)

    return features, batches()


def class_key(features: Features, subset: Subset | None, where: str) -> tuple[str, dict[int | str, int]]:
    """The column that tells the classes apart, and the new label of each of its values that is kept.

    Args:
        features: of the source, whose `label` is a ClassLabel.
        subset: whose classes are kept, in its order; None: all.
        where: the source, for messages.

    Raises:
        InputError: a class of the subset is not found.
    """
    label = features["label"]
    if subset is None:
        return "label", {k: k for k in range(label.num_classes)}
    if "wnid" in features:
        return "wnid", {wnid: k for k, wnid in enumerate(subset.wnids)}
    labels = find_subset_classes(subset, label.names, where)
    return "label", {source_label: k for k, source_label in enumerate(labels)}
