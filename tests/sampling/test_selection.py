import dataclasses

import numpy as np
import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.sampling import (
    DISTRIBUTIONS,
    difficulty_bins,
    difficulty_guided_sample,
    difficulty_histogram,
    log_transform,
    scaled_counts,
    search_thresholds,
    select_by_difficulty,
)


def pool_and_original(ipc=10, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(5 * ipc) ** 2, rng.beta(0.3, 1.0, 130)


def test_draws_the_counts_within_their_bins():
    pool = np.random.default_rng(0).permutation(np.repeat([0.05, 0.25, 0.65, 1.0], 10))
    counts = [3, 0, 10, 0, 0, 0, 0, 0, 0, 1]
    indices = select_by_difficulty(pool, counts, np.random.default_rng(1))
    np.testing.assert_array_equal(difficulty_histogram(pool[indices]), counts)
    assert (np.diff(indices) > 0).all()


def test_what_a_bin_lacks_comes_from_the_rest_of_the_pool():
    pool = np.array([0.05, 0.06, 0.95, 0.96, 0.55])
    for seed in range(20):
        indices = select_by_difficulty(pool, [0, 0, 0, 0, 0, 0, 0, 0, 0, 4], np.random.default_rng(seed))
        assert {2, 3} <= set(indices)
        assert len(set(indices)) == 4


def test_the_fill_is_uniform_over_the_rest():
    pool = np.array([0.05, 0.15, 0.25, 0.35, 0.95])
    rng = np.random.default_rng(0)
    picks = np.bincount(
        np.concatenate([select_by_difficulty(pool, [0, 0, 0, 0, 0, 0, 0, 0, 0, 2], rng) for _ in range(2000)])
    )
    assert picks[4] == 2000
    # Each of the four others 500 times in the mean, with a standard deviation of 19.
    assert np.abs(picks[:4] - 500).max() < 100


def test_exact_tenths_are_drawn():
    pool = [0.2, 0.6, 0.3, 0.7]
    np.testing.assert_array_equal(
        select_by_difficulty(pool, [0, 0, 1, 0, 0, 0, 1, 0, 0, 0], np.random.default_rng(0)), [0, 1]
    )


@pytest.mark.parametrize("counts", [[-1, 2], [0.5, 0.5], [[1]], []])
def test_refuses_counts_that_are_none(counts):
    with pytest.raises(InputError, match="counts is"):
        select_by_difficulty([0.1, 0.2, 0.3], counts, np.random.default_rng(0))


def test_refuses_more_than_the_pool_has():
    with pytest.raises(InputError, match="counts ask for 4 images and the pool has 3"):
        select_by_difficulty([0.1, 0.2, 0.3], [2, 2], np.random.default_rng(0))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("divergence", ["paper", "reference"])
def test_whole_method_is_its_parts(distribution, divergence):
    pool, original = pool_and_original(ipc=20)
    selection = difficulty_guided_sample(
        pool, original, 20, distribution=distribution, weight=0.3, divergence=divergence, seed=4
    )
    thresholds = search_thresholds(pool, 10, 0.3, divergence=divergence)
    transformed = log_transform(pool, thresholds.bottom, thresholds.top)
    assert selection.thresholds == thresholds
    np.testing.assert_array_equal(selection.transformed, transformed)
    np.testing.assert_array_equal(selection.bins, difficulty_bins(transformed))
    np.testing.assert_array_equal(selection.available, difficulty_histogram(transformed))
    np.testing.assert_array_equal(selection.shortfall, np.maximum(selection.counts - selection.available, 0))
    np.testing.assert_array_equal(
        selection.indices, select_by_difficulty(transformed, selection.counts, np.random.default_rng(4))
    )
    if distribution == "scale":
        expected = scaled_counts(log_transform(original, thresholds.bottom, thresholds.top), 20)
        np.testing.assert_array_equal(selection.counts, expected)
    drawn = np.bincount(selection.bins[selection.indices], minlength=10)
    assert (drawn >= selection.counts - selection.shortfall).all()
    assert drawn.sum() == 20


def test_the_seed_decides_and_nothing_else_does():
    pool, original = pool_and_original()
    np.random.seed(0)  # noqa: NPY002 — the global state must not matter
    first = difficulty_guided_sample(pool, original, 10, seed=1).indices
    np.random.seed(1)  # noqa: NPY002
    again = difficulty_guided_sample(pool.copy(), original[::-1], 10, seed=1).indices
    other = difficulty_guided_sample(pool, original, 10, seed=2).indices
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


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
@pytest.mark.parametrize("distribution", ["scale", "hill"])
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
        ([0.1], [0.1], {"ipc": 1, "divergence": "flat"}, "divergence is 'flat'"),
    ],
)
def test_refusals(pool, original, arguments, message):
    with pytest.raises(InputError, match=message):
        difficulty_guided_sample(pool, original, **arguments)
