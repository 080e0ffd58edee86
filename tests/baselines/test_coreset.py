from functools import partial

import numpy as np
import pytest

from ddgs_hub.baselines import herding, k_center, random_selection
from ddgs_hub.core.errors import InputError

SET = "n60_d16_c3_ipc20"


@pytest.fixture
def vectors(golden):
    return np.load(golden("coreset.npz"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_herding_picks_are_the_golden_ones(vectors, dtype):
    features, labels = vectors[f"{SET}/features"].astype(dtype), vectors[f"{SET}/y"]
    picks = herding(features, labels, 15).reshape(3, 15)
    np.testing.assert_array_equal(picks, vectors[f"{SET}/herding_{dtype}"])


@pytest.mark.parametrize("start", ["first", "mean"])
def test_k_center_picks_are_the_golden_ones(vectors, start):
    picks = k_center(vectors[f"{SET}/features"], vectors[f"{SET}/y"], 15, start).reshape(3, 15)
    np.testing.assert_array_equal(picks, vectors[f"{SET}/kcenter_{start}"])


def test_more_picks_than_images_are_refused_and_all_images_are_picked_once(vectors):
    features, labels = vectors["overflow/features"], np.zeros(6, dtype=int)
    for select in (herding, k_center):
        assert sorted(select(features, labels, 6)) == [0, 1, 2, 3, 4, 5]
        with pytest.raises(InputError, match="class 0 has 6 images, fewer than the 7"):
            select(features, labels, 7)


# Two classes, interleaved; class 0 holds 0, 1, 2, 10 (mean 3.25) and class 1 holds 5, 5, 8 (mean 6).
LINE = np.array([[0.0], [5], [1], [5], [2], [8], [10]])
LABELS = [0, 1, 0, 1, 0, 1, 0]


def test_herding_by_hand():
    # Class 0: 2 is nearest to 3.25; then (2 + 1) / 2 misses by 1.75, (2 + 0) / 2 by 2.25, (2 + 10) / 2 by 2.75.
    # Class 1: 5 and 5 tie and the first wins; then (5 + 8) / 2 misses by 0.5, (5 + 5) / 2 by 1.
    assert herding(LINE, LABELS, 2).tolist() == [4, 2, 1, 5]


def test_k_center_by_hand():
    assert k_center(LINE, LABELS, 3).tolist() == [0, 6, 4, 1, 5, 3]
    # From the mean: 2 first, then 10 (8 away), then 0 (2 away); 5 is nearest to 6, then 8, then the other 5.
    assert k_center(LINE, LABELS, 3, "mean").tolist() == [4, 6, 0, 1, 5, 3]


def test_ties_and_duplicates_go_to_the_first_row():
    assert k_center(np.zeros((4, 2)), [0, 0, 0, 0], 4).tolist() == [0, 1, 2, 3]
    assert herding(np.zeros((4, 2)), [0, 0, 0, 0], 4).tolist() == [0, 1, 2, 3]
    assert k_center(np.array([[0.0], [1], [-1]]), [0, 0, 0], 2).tolist() == [0, 1]


def test_large_float32_features_do_not_overflow():
    features = (LINE * 1e30).astype(np.float32)  # squares of which exceed float32
    assert k_center(features, LABELS, 3).tolist() == k_center(LINE, LABELS, 3).tolist()
    assert herding(features, LABELS, 2).tolist() == herding(LINE, LABELS, 2).tolist()


def test_random_selection_is_seeded_distinct_and_by_class():
    labels = np.arange(300) % 3
    picks = random_selection(labels, 20, seed=4)
    np.testing.assert_array_equal(labels[picks], np.repeat([0, 1, 2], 20))
    assert len(set(picks.tolist())) == 60
    np.testing.assert_array_equal(picks, random_selection(labels, 20, seed=4))
    assert picks.tolist() != random_selection(labels, 20, seed=5).tolist()


def test_random_selection_reaches_every_image_equally():
    counts = np.bincount(np.concatenate([random_selection(np.zeros(10, int), 3, seed) for seed in range(1000)]))
    assert counts.min() > 240  # 300 expected each, standard deviation 14.5
    assert counts.max() < 360


@pytest.mark.parametrize("select", [partial(herding, LINE), partial(k_center, LINE), random_selection])
def test_every_selection_takes_the_same_arguments(select):
    picks = select(LABELS, 2, class_names=["zero", "one"])
    np.testing.assert_array_equal(np.asarray(LABELS)[picks], [0, 0, 1, 1])


@pytest.mark.parametrize("select", [partial(herding, LINE), partial(k_center, LINE), random_selection])
def test_an_empty_or_small_class_is_named(select):
    with pytest.raises(InputError, match="parachute has 0 images, fewer than the 2 per class"):
        select(LABELS, 2, class_names=["tench", "church", "parachute"])
    with pytest.raises(InputError, match="church has 3 images, fewer than the 4 per class"):
        select(LABELS, 4, class_names=["tench", "church"])


def test_bad_values_are_refused():
    with pytest.raises(InputError, match="label of row 1 is 1, outside the classes 0 … 0"):
        random_selection(LABELS, 1, class_names=["tench"])
    with pytest.raises(InputError, match="label of row 2 is -1"):
        random_selection([0, 1, -1], 1)
    with pytest.raises(InputError, match="no labels"):
        random_selection([], 1)
    with pytest.raises(InputError, match="ipc is 0"):
        random_selection(LABELS, 0)
    with pytest.raises(InputError, match="features of row 3 are not finite"):
        herding(np.where(np.arange(7)[:, None] == 3, np.nan, LINE), LABELS, 1)
    with pytest.raises(InputError, match="start at 'first' or 'mean', not at 'last'"):
        k_center(LINE, LABELS, 1, "last")
