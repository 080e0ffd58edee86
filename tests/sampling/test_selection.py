import dataclasses

import numpy as np
import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.sampling import (
    TARGETS,
    difficulty_bins,
    difficulty_guided_sample,
    difficulty_histogram,
    draw_keys,
    log_transform,
    scaled_counts,
    search_thresholds,
    select_by_difficulty,
)

WITHOUT_BINS = ("quantile", "pool", "easy", "curriculum")


def pool_and_original(ipc=10, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(5 * ipc) ** 2, rng.beta(0.3, 1.0, 130)


@pytest.mark.parametrize("distribution", TARGETS)
@pytest.mark.parametrize("divergence", ["paper", "reference"])
def test_whole_method_is_its_parts(distribution, divergence):
    pool, original = pool_and_original(ipc=20)
    selection = difficulty_guided_sample(
        pool, original, 20, distribution=distribution, weight=0.3, divergence=divergence, seed=4, label=2
    )
    thresholds = search_thresholds(pool, 10, 0.3, divergence=divergence)
    transformed = log_transform(pool, thresholds.bottom, thresholds.top)
    assert selection.thresholds == thresholds
    np.testing.assert_array_equal(selection.transformed, transformed)
    np.testing.assert_array_equal(selection.bins, difficulty_bins(transformed))
    np.testing.assert_array_equal(selection.available, difficulty_histogram(transformed))
    np.testing.assert_array_equal(selection.shortfall, np.maximum(selection.counts - selection.available, 0))
    drawn = np.bincount(selection.bins[selection.indices], minlength=10)
    assert drawn.sum() == selection.counts.sum() == 20
    if distribution in WITHOUT_BINS:
        np.testing.assert_array_equal(selection.counts, drawn)
    else:
        keys = draw_keys(4, 2, np.arange(100))
        np.testing.assert_array_equal(selection.indices, select_by_difficulty(transformed, selection.counts, keys))
    if distribution == "scale":
        expected = scaled_counts(log_transform(original, thresholds.bottom, thresholds.top), 20)
        np.testing.assert_array_equal(selection.counts, expected)


def test_the_seed_decides_and_nothing_else_does():
    pool, original = pool_and_original()
    np.random.seed(0)  # noqa: NPY002 — the global state must not matter
    first = difficulty_guided_sample(pool, original, 10, seed=1).indices
    np.random.seed(1)  # noqa: NPY002
    again = difficulty_guided_sample(pool.copy(), original[::-1], 10, seed=1).indices
    other = difficulty_guided_sample(pool, original, 10, seed=2).indices
    of_another_class = difficulty_guided_sample(pool, original, 10, seed=1, label=1).indices
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, of_another_class)


@pytest.mark.parametrize("distribution", TARGETS)
def test_images_are_known_by_their_numbers(distribution):
    pool, original = pool_and_original()
    order = np.random.default_rng(5).permutation(50)
    first = difficulty_guided_sample(pool, original, 10, distribution=distribution).indices
    again = difficulty_guided_sample(pool[order], original, 10, distribution=distribution, images=order).indices
    np.testing.assert_array_equal(np.sort(order[again]), first)


def test_arguments_are_left_as_they_were():
    pool, original = pool_and_original()
    before = pool.copy(), original.copy()
    difficulty_guided_sample(pool, original, 10)
    np.testing.assert_array_equal(pool, before[0])
    np.testing.assert_array_equal(original, before[1])


def test_float32_columns():
    pool, original = (values.astype(np.float32) for values in pool_and_original())
    selection = difficulty_guided_sample(pool, original, 10)
    assert selection.transformed.dtype == np.float64
    assert selection.indices.size == 10


@pytest.mark.parametrize(
    ("pool", "original", "ipc"),
    [
        (np.full(50, 0.3), np.linspace(0, 1, 100), 10),  # a constant pool
        (np.zeros(50), np.zeros(100), 10),
        (np.ones(50), np.ones(100), 10),
        (np.linspace(0, 1, 50), np.full(100, 0.9), 10),  # a constant original
        (np.repeat([0.0, 1.0], 25), np.repeat([0.0, 1.0], 50), 10),
        (np.r_[np.full(46, 2e-4), 0.2, 0.5, 0.7, 0.9], np.linspace(0, 1, 100), 10),  # ties at most ranks
        (np.linspace(0.01, 0.9, 5), np.linspace(0, 1, 100), 1),  # IPC 1
        (np.array([0.4]), np.array([0.2]), 1),
        (np.linspace(0, 1, 10), np.linspace(0, 1, 100), 10),  # the whole pool
        (np.linspace(0, 1, 7), np.linspace(0, 1, 100), 7),
        (np.linspace(0, 1, 250), np.array([0.1, 0.5, 0.9]), 50),  # an original smaller than the ranks
        (np.linspace(0, 1, 250), np.array([0.5]), 50),
    ],
)
@pytest.mark.parametrize("divergence", ["paper", "reference"])
@pytest.mark.parametrize("distribution", TARGETS)
def test_every_edge_case_is_a_defined_result(pool, original, ipc, divergence, distribution):
    selection = difficulty_guided_sample(pool, original, ipc, divergence=divergence, distribution=distribution)
    assert selection.indices.size == np.unique(selection.indices).size == ipc
    assert selection.counts.sum() == ipc
    assert selection.available.sum() == pool.size
    assert np.isfinite(selection.transformed).all()
    assert np.isfinite(selection.thresholds.objective)
    assert (selection.bins >= 0).all()
    assert (selection.bins <= 9).all()


def test_results_are_frozen():
    selection = difficulty_guided_sample(*pool_and_original(), 10)
    with pytest.raises(dataclasses.FrozenInstanceError):
        selection.indices = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        selection.thresholds.bottom = 3


@pytest.mark.parametrize(
    ("pool", "original", "arguments", "message"),
    [
        ([0.1, 0.2], [0.1], {"ipc": 3}, "the pool has 2 images, fewer than IPC 3"),
        ([0.1, np.nan], [0.1], {"ipc": 1}, r"pool difficulty\[1\] is nan"),
        ([0.1], [0.1, 7.0], {"ipc": 1}, r"original difficulty\[1\] is 7.0"),
        ([0.1], [], {"ipc": 1}, "original difficulty has shape"),
        ([0.1], [0.1], {"ipc": 0}, "ipc is 0"),
        ([0.1], [0.1], {"ipc": 1.5}, "ipc is 1.5"),
        ([0.1], [0.1], {"ipc": 1, "seed": -1}, "seed is -1"),
        ([0.1], [0.1], {"ipc": 1, "weight": -0.5}, "weight is -0.5"),
        ([0.1], [0.1], {"ipc": 1, "distribution": "flat"}, "distribution is 'flat'; choose one of scale, hill"),
        ([0.1], [0.1], {"ipc": 1, "distribution": "mixture", "mixture": 1.5}, r"mixture is 1\.5"),
        ([0.1, 0.2], [0.1], {"ipc": 1, "images": [1]}, "images has 1 numbers and the pool 2 images"),
        ([0.1], [0.1], {"ipc": 1, "divergence": "flat"}, "divergence is 'flat'"),
    ],
)
def test_refusals(pool, original, arguments, message):
    with pytest.raises(InputError, match=message):
        difficulty_guided_sample(pool, original, **arguments)
