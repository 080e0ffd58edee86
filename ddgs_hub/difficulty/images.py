"""What scoring and training read from rows: checked labels, wnids, encoded bytes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ddgs_hub.errors import InputError
from ddgs_hub.rows import class_names, require_columns, undecoded


def checked_labels(rows: Dataset) -> NDArray[np.int64]:
    """The column `label`, `(N,)`.

    Raises:
        InputError: `image` or `label` is missing, `label` is no `ClassLabel`, there are no rows, or a label is outside
            the classes.
    """
    require_columns(rows, "image", "label")
    count = len(class_names(rows))
    labels = list(rows.with_format(None)["label"])
    if not labels:
        raise InputError("the dataset has no rows: give one with at least one image")
    for row, label in enumerate(labels):
        if label is None or not 0 <= label < count:
            raise InputError(f"row {row} has label {label}, outside its {count} classes: mend that row")
    return np.array(labels, dtype=np.int64)


def class_wnids(rows: Dataset, labels: NDArray[np.int64]) -> list[str | None] | None:
    """The wnid of each class, in label order, from the column `wnid`; None for a class without rows.

    None instead of the list where the dataset has no wnids.

    Raises:
        InputError: rows of one class have different wnids.
    """
    if "wnid" not in rows.column_names:
        return None
    wnids: list[str | None] = [None] * len(class_names(rows))
    for row, (label, wnid) in enumerate(zip(labels.tolist(), rows.with_format(None)["wnid"], strict=True)):
        if wnids[label] not in (None, wnid):
            raise InputError(f"row {row} has wnid {wnid}, others of its class have {wnids[label]}: mend the column")
        wnids[label] = wnid
    return wnids if any(wnids) else None


def encoded_images(rows: Dataset) -> Iterator[bytes]:
    """The encoded bytes of each row's image, as they are stored.

    Raises:
        InputError: a file that a row points to cannot be read.
    """
    for row, cell in enumerate(undecoded(rows.with_format(None).select_columns("image"))):
        image = cell["image"]
        try:
            yield image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
        except (OSError, TypeError) as error:
            raise InputError(f"the image of row {row} cannot be read ({error}): remove or replace that row") from error
