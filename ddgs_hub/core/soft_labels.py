"""Soft labels of rows: the most probable classes of each image by a classifier, and their probabilities."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, List, Value
from numpy.typing import NDArray

from ddgs_hub.core.columns import is_list
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import class_names

CLASSES, PROBABILITIES = "soft_label_classes", "soft_label_probabilities"  # columns
SOFT_LABEL_COLUMNS = (CLASSES, PROBABILITIES)
MOST_SUM = 1.01  # of the probabilities of a row: float16 rounds each by up to 5e-4 of itself


def without_soft_labels(rows: Dataset) -> Dataset:
    """The rows without the columns of soft labels, where they have them."""
    return rows.remove_columns([name for name in SOFT_LABEL_COLUMNS if name in rows.column_names])


def with_soft_labels(rows: Dataset, classes: NDArray[np.int32], probabilities: NDArray[np.float16]) -> Dataset:
    """The rows with both columns, which replace those that they have.

    Args:
        rows: `(N,)`.
        classes: labels of the dataset, of each row the most probable first, `(N, k)`.
        probabilities: of these, `(N, k)`, 0 … 1.
    """
    columns: tuple[tuple[str, NDArray[Any]], ...] = ((CLASSES, classes), (PROBABILITIES, probabilities))
    rows = without_soft_labels(rows)
    for name, values in columns:
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        cells = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
        rows = rows.add_column(name, cells, feature=List(Value(str(values.dtype))))
    return rows


def soft_targets(rows: Dataset, where: str) -> NDArray[np.float32]:
    """Distributions over all classes of the dataset, to train on: `(N, classes)`, each row sums to 1.

    The classes that a row names have their probabilities. What is left of 1 is spread evenly over the others: the
    classifier gave it to some of them, and renormalising would make it surer than it was.

    Args:
        rows: `label` (ClassLabel) and the columns of soft labels; anybody may have written them.
        where: what the rows are, for messages.

    Raises:
        InputError: a column is missing or holds other values, or a row names no class, a class twice or one that there
            is not, has not as many probabilities as classes, a probability outside 0 … 1, or ones whose sum is 0 or
            above 1.01.
    """
    for name in SOFT_LABEL_COLUMNS:
        if name not in rows.column_names:
            raise InputError(
                f"there are no soft labels in {where}, which has no column '{name}': score its images by `ddgs-hub "
                "score --soft-labels K` (those of a pool before `sample`), or train on hard labels"
            )
    count, table = len(class_names(rows)), rows.select_columns(list(SOFT_LABEL_COLUMNS)).with_format("arrow")[:]
    classes, probabilities = (_cells(table.column(name), name, where) for name in SOFT_LABEL_COLUMNS)
    sizes = _sizes(classes, probabilities, where)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    labels = _numbers(classes, CLASSES, pa.int64(), where)
    values = _numbers(probabilities, PROBABILITIES, pa.float32(), where)
    _refuse((labels < 0) | (labels >= count), owners, where, f"a soft label outside its {count} classes")
    # Written so that NaN is refused.
    _refuse(~((values >= 0) & (values <= 1)), owners, where, "a probability that is no number in 0 … 1")
    places = owners * count + labels
    repeated = np.ones(len(places), dtype=bool)
    repeated[np.unique(places, return_index=True)[1]] = False
    _refuse(repeated, owners, where, "a class twice among its soft labels")
    sums = np.bincount(owners, values, minlength=len(sizes))
    everything = np.arange(len(sizes))
    _refuse(~((sums > 0) & (sums <= MOST_SUM)), everything, where, "probabilities whose sum is 0, or above 1")
    # Of 50,000 rows and 1,000 classes this is 200 MB, and nothing else of its size is made.
    left = np.where(sizes < count, np.maximum(1 - sums, 0), 0)
    targets = np.empty((len(sizes), count), dtype=np.float32)
    targets[:] = (left / np.maximum(count - sizes, 1) / (sums + left))[:, None]
    targets.ravel()[places] = values / (sums + left)[owners]
    return targets


def map_classes(column: pa.ChunkedArray, places: NDArray[np.int64], where: str, *, first: int = 0) -> pa.Array:
    """The column of classes with `places[k]` instead of each class k; a missing cell names none.

    Args:
        column: of some rows, lists of labels.
        places: the new label of each, `(classes,)`.
        where: what the rows are, for messages.
        first: the number of the first row.

    Raises:
        InputError: there is no such class.
    """
    cells = _cells(column, CLASSES, where)
    labels, sizes = _numbers(cells, CLASSES, pa.int64(), where), _lengths(cells)
    owners = first + np.repeat(np.arange(len(sizes)), sizes)
    _refuse((labels < 0) | (labels >= len(places)), owners, where, f"a soft label outside its {len(places)} classes")
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(places[labels].astype(np.int32)))


def _cells(column: pa.ChunkedArray, name: str, where: str) -> pa.ListArray:
    cells = column.combine_chunks()
    if not is_list(cells.type):
        raise InputError(f"column '{name}' of {where} holds no lists: score its images again with --soft-labels")
    return cells.cast(pa.list_(cells.type.value_type))


def _numbers(cells: pa.ListArray, name: str, kind: pa.DataType, where: str) -> NDArray[Any]:
    """The values of all lists one after the other; a missing one is −1, which is neither a class nor a probability."""
    try:
        values = cells.flatten().cast(kind)
    except pa.ArrowException as error:
        raise InputError(f"column '{name}' of {where} does not hold numbers of its kind: score it again") from error
    return values.fill_null(-1).to_numpy(zero_copy_only=False)


def _lengths(cells: pa.ListArray) -> NDArray[Any]:
    """How many values each list has; a missing one has none."""
    return pc.fill_null(cells.value_lengths(), 0).to_numpy(zero_copy_only=False)


def _sizes(classes: pa.ListArray, probabilities: pa.ListArray, where: str) -> NDArray[Any]:
    """How many soft labels each row has."""
    sizes, others = _lengths(classes), _lengths(probabilities)
    for row in np.flatnonzero((sizes != others) | (sizes == 0))[:1]:
        raise InputError(
            f"row {row} of {where} has {sizes[row]} soft label classes and {others[row]} probabilities: give as many "
            "of both, at least one"
        )
    return sizes


def _refuse(wrong: NDArray[np.bool_], owners: NDArray[np.int64], where: str, what: str) -> None:
    for row in owners[wrong][:1]:
        raise InputError(f"row {row} of {where} has {what}: score it again, or mend that row")
