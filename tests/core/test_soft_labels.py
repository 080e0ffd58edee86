"""Soft labels of rows: what is written is read again, and what anybody wrote is checked before it is trained on."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.core.soft_labels import map_classes, soft_targets, with_soft_labels

NAMES = ["ant", "bee", "cat", "dog"]
KINDS = Features(
    label=ClassLabel(names=NAMES),
    soft_label_classes=List(Value("int64")),
    soft_label_probabilities=List(Value("float64")),
)


def rows_of(classes: list, probabilities: list) -> Dataset:
    columns = {"label": [0] * len(classes), "soft_label_classes": classes, "soft_label_probabilities": probabilities}
    return Dataset.from_dict(columns, features=KINDS)


def test_what_is_left_of_1_is_spread_over_the_other_classes() -> None:
    rows = rows_of([[2, 0], [1], [3, 2, 1, 0]], [[0.5, 0.25], [0.4], [0.25, 0.25, 0.25, 0.25]])
    expected = [[0.25, 0.125, 0.5, 0.125], [0.2, 0.4, 0.2, 0.2], [0.25] * 4]
    targets = soft_targets(rows, "the rows")
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets, expected, rtol=1e-6)


def test_rounding_of_float16_is_normalised_away() -> None:
    targets = soft_targets(rows_of([[0, 1, 2, 3], [0, 1]], [[0.5, 0.25, 0.2, 0.053], [0.9, 0.105]]), "the rows")
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(targets[1], np.array([0.9, 0.105, 0, 0]) / 1.005, rtol=1e-6)


@pytest.mark.parametrize(
    ("classes", "probabilities", "message"),
    [
        ([0, 1], [0.5], "row 1 of the rows has 2 soft label classes and 1 probabilities"),
        ([], [], "row 1 of the rows has 0 soft label classes and 0 probabilities"),
        (None, None, "row 1 of the rows has 0 soft label classes"),
        ([0, 4], [0.5, 0.5], "row 1 of the rows has a soft label outside its 4 classes"),
        ([0, -1], [0.5, 0.5], "outside its 4 classes"),
        ([0, None], [0.5, 0.5], "outside its 4 classes"),
        ([2, 2], [0.5, 0.5], "row 1 of the rows has a class twice"),
        ([0, 1], [0.5, float("nan")], "row 1 of the rows has a probability that is no number in 0 … 1"),
        ([0, 1], [0.5, None], "no number in 0 … 1"),
        ([0, 1], [0.5, float("inf")], "no number in 0 … 1"),
        ([0, 1], [0.5, -0.1], "no number in 0 … 1"),
        ([0, 1], [0.6, 0.5], "row 1 of the rows has probabilities whose sum is 0, or above 1"),
        ([0, 1], [0.0, 0.0], "whose sum is 0"),
    ],
)
def test_what_anybody_wrote_is_checked(classes: list, probabilities: list, message: str) -> None:
    good = [0, 1], [0.5, 0.5]
    with pytest.raises(InputError, match=message):
        soft_targets(rows_of([good[0], classes], [good[1], probabilities]), "the rows")


def test_rows_without_soft_labels_say_how_to_get_them() -> None:
    with pytest.raises(InputError, match=r"no soft labels in the set, .*: score its images by `ddgs-hub score --soft"):
        soft_targets(rows_of([[0]], [[1.0]]).remove_columns("soft_label_probabilities"), "the set")
    texts = rows_of([[0]], [[1.0]]).cast_column("soft_label_probabilities", List(Value("string")))
    with pytest.raises(InputError, match="column 'soft_label_probabilities' of the set does not hold numbers"):
        soft_targets(texts.map(lambda _: {"soft_label_probabilities": ["much"]}), "the set")
    flat = Dataset.from_dict({"label": [0], "soft_label_classes": [0], "soft_label_probabilities": [1.0]})
    with pytest.raises(InputError, match="column 'soft_label_classes' of the set holds no lists"):
        soft_targets(flat.cast_column("label", ClassLabel(names=NAMES)), "the set")


def test_columns_come_back_from_disk_in_our_types(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes, probabilities = (
        rng.permuted(np.tile(np.arange(4, dtype=np.int32), (9, 1)), axis=1)[:, :2],
        rng.random((9, 2)),
    )
    rows = Dataset.from_dict({"label": [k % 4 for k in range(9)]}).cast_column("label", ClassLabel(names=NAMES))
    made = with_soft_labels(rows, classes, (probabilities / 2).astype(np.float16))
    write_rows(made, tmp_path)
    read = read_rows(tmp_path)
    assert read.features["soft_label_classes"] == List(Value("int32"))
    assert read.features["soft_label_probabilities"] == List(Value("float16"))
    np.testing.assert_array_equal(read["soft_label_classes"][:], classes)
    np.testing.assert_array_equal(read["soft_label_probabilities"][:], (probabilities / 2).astype(np.float16))
    again = with_soft_labels(made, classes[:, :1], probabilities[:, :1].astype(np.float16))  # replaced, not added twice
    assert [len(cell) for cell in again["soft_label_classes"]] == [1] * 9
    chosen = made.select([7, 2])
    np.testing.assert_array_equal(soft_targets(chosen, "the rows"), soft_targets(made, "the rows")[[7, 2]])


def test_a_column_of_another_kind_is_refused_at_the_door(tmp_path: Path) -> None:
    rows = rows_of([[0]], [[1.0]]).cast_column("soft_label_classes", List(Value("string")))
    with pytest.raises(InputError, match="column 'soft_label_classes' of the rows to write is list<"):
        write_rows(rows, tmp_path)


def test_classes_of_a_pool_in_another_order_are_mapped() -> None:
    column = pa.chunked_array([[[0, 2]], [[1], [2, 1, 0]]], pa.list_(pa.int32()))
    assert map_classes(column, np.array([5, 6, 7]), "the pool").to_pylist() == [[5, 7], [6], [7, 6, 5]]
    with pytest.raises(InputError, match="row 2 of the pool has a soft label outside its 2 classes"):
        map_classes(pa.chunked_array([[[0], [1], [1, 2]]], pa.list_(pa.int32())), np.array([1, 0]), "the pool")


def test_cells_without_soft_labels_stay_empty_where_classes_are_mapped() -> None:
    column = pa.chunked_array([pa.array([[0, 1], None, [1, 0]], pa.list_(pa.int32(), 2))])  # the null one has room, too
    assert map_classes(column, np.array([3, 4]), "the pool").to_pylist() == [[3, 4], [], [4, 3]]
    with pytest.raises(InputError, match="row 502 of the pool has a soft label outside its 1 classes"):
        map_classes(pa.chunked_array([[None, [0], [1]]], pa.list_(pa.int32())), np.array([0]), "the pool", first=500)


def test_targets_take_little_more_memory_than_they_are() -> None:
    count, names = 2_000, [str(k) for k in range(1_000)]
    columns = {
        "label": [0] * count,
        "soft_label_classes": [[3, 5]] * count,
        "soft_label_probabilities": [[0.5, 0.25]] * count,
    }
    rows = Dataset.from_dict(columns, Features({**KINDS, "label": ClassLabel(names=names)}))
    tracemalloc.start()
    try:
        targets = soft_targets(rows, "the rows")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert targets.nbytes == 8_000_000
    assert peak < 1.5 * targets.nbytes
    assert targets.sum(1) == pytest.approx(1, abs=1e-5)
