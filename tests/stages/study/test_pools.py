"""Pools of real images, and the half of the validation images that chooses."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.stages.study.cells import choosing_half
from ddgs_hub.stages.study.real_pool import biased_order, make_real_pool

BIAS = 4.0


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> tuple[Path, Path]:
    """Twenty originals of each digit, and the same with difficulties, without images."""
    rows = read_rows(digits_folder)
    labels = np.asarray(rows["label"])
    rows = rows.select(sorted(row for label in range(10) for row in np.flatnonzero(labels == label)[:20]))
    original, with_difficulty = tmp_path_factory.mktemp("original"), tmp_path_factory.mktemp("scored")
    write_rows(rows, original)
    values = np.random.default_rng(1).random(len(rows)).astype(np.float32)
    write_rows(rows.add_column("difficulty", values), with_difficulty)
    return original, with_difficulty


def make(scored: tuple[Path, Path], output: Path, per_class: int | None, bias: float = BIAS) -> Dataset:
    make_real_pool(*scored, output, per_class=per_class, easy_bias=bias, seed=3)
    return read_rows(output)


def test_a_pool_has_the_originals_with_their_difficulties_numbered_in_each_class(scored, tmp_path):
    pool, originals = make(scored, tmp_path / "pool", None), read_rows(scored[1])
    assert set(pool.column_names) >= {"image", "label", "wnid", "pool_index", "difficulty"}
    assert pool["difficulty"] == originals["difficulty"]
    assert [image.tobytes() for image in pool["image"]] == [image.tobytes() for image in originals["image"]]
    for label in range(10):
        numbers = [number for number, of in zip(pool["pool_index"], pool["label"], strict=True) if of == label]
        assert sorted(numbers) == list(range(20))


def test_a_smaller_pool_is_in_a_larger_one_and_easier_than_all(scored, tmp_path):
    small, large = make(scored, tmp_path / "small", 4), make(scored, tmp_path / "large", 8)
    keys = [{*zip(rows["label"], rows["pool_index"], rows["difficulty"], strict=True)} for rows in (small, large)]
    assert (len(keys[0]), len(keys[1])) == (40, 80)
    assert keys[0] < keys[1]
    everything = np.mean(read_rows(scored[1])["difficulty"])
    assert np.mean(small["difficulty"]) < np.mean(large["difficulty"]) < everything - 0.1


def test_a_class_with_too_few_originals_is_refused(scored, tmp_path):
    with pytest.raises(InputError, match="has 20 original images, fewer than the 21 of a pool of real images"):
        make(scored, tmp_path / "pool", 21)


def test_the_first_of_the_order_is_drawn_in_proportion_to_the_weights():
    difficulty = np.array([0.0, 0.5, 1.0], np.float32)
    labels = np.zeros(3, np.int64)
    first = [int(np.argmin(biased_order(labels, difficulty, 1.0, seed))) for seed in range(600)]
    assert np.bincount(first, minlength=3) == pytest.approx([400, 200, 0], abs=40)
    unbiased = [int(np.argmin(biased_order(labels, difficulty, 0.0, seed))) for seed in range(600)]
    assert np.bincount(unbiased) == pytest.approx([200] * 3, abs=40)


def test_half_of_each_class_chooses_whatever_the_order_of_the_rows(digits_folder):
    rows = read_rows(digits_folder, "validation")
    chooses = choosing_half(rows)
    for label in range(10):
        of_class = chooses[np.asarray(rows["label"]) == label]
        assert abs(of_class.sum() - len(of_class) / 2) <= 1
    turned = choosing_half(rows.select(range(len(rows) - 1, -1, -1)))
    assert (turned[::-1] == chooses).all()


def test_a_class_of_one_image_cannot_be_halved(digits_folder):
    rows = read_rows(digits_folder, "validation")
    labels = np.asarray(rows["label"])
    few = rows.select([*np.flatnonzero(labels != 3), np.flatnonzero(labels == 3)[0]])
    with pytest.raises(InputError, match="class '3' has fewer than two different validation images"):
        choosing_half(few)
