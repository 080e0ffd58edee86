"""Drawing from bins by keys: what is exact, what the edges allow, and how little changes when little changes."""

import numpy as np
import pytest
from scipy.optimize import brentq, linear_sum_assignment

from ddgs_hub.core.errors import InputError
from ddgs_hub.sampling import (
    difficulty_bins,
    difficulty_guided_sample,
    difficulty_histogram,
    select_by_difficulty,
)


def random_keys(seed, size):
    return np.random.default_rng(seed).random(size)


def test_draws_the_counts_within_their_bins():
    pool = np.random.default_rng(0).permutation(np.repeat([0.05, 0.25, 0.65, 1.0], 10))
    counts = [3, 0, 10, 0, 0, 0, 0, 0, 0, 1]
    indices = select_by_difficulty(pool, counts, random_keys(1, 40))
    np.testing.assert_array_equal(difficulty_histogram(pool[indices]), counts)
    assert (np.diff(indices) > 0).all()


def test_what_a_bin_lacks_comes_from_the_rest_of_the_pool():
    pool = np.array([0.05, 0.06, 0.95, 0.96, 0.55])
    for seed in range(20):
        indices = select_by_difficulty(pool, [0, 0, 0, 0, 0, 0, 0, 0, 0, 4], random_keys(seed, 5))
        assert {2, 3} <= set(indices)
        assert len(set(indices)) == 4


def test_the_fill_is_uniform_over_the_rest():
    pool = np.array([0.05, 0.15, 0.25, 0.35, 0.95])
    rng = np.random.default_rng(0)
    picks = np.bincount(np.concatenate([select_by_difficulty(pool, [0] * 9 + [2], rng.random(5)) for _ in range(2000)]))
    assert picks[4] == 2000
    # Each of the four others 500 times in the mean, with a standard deviation of 19.
    assert np.abs(picks[:4] - 500).max() < 100


def test_exact_tenths_are_drawn():
    pool = [0.2, 0.6, 0.3, 0.7]
    np.testing.assert_array_equal(
        select_by_difficulty(pool, [0, 0, 1, 0, 0, 0, 1, 0, 0, 0], [0, 1, 2, 3], edge=0), [0, 1]
    )


@pytest.mark.parametrize("counts", [[-1, 2], [0.5, 0.5], [[1]], []])
def test_refuses_counts_that_are_none(counts):
    with pytest.raises(InputError, match="counts is"):
        select_by_difficulty([0.1, 0.2, 0.3], counts, random_keys(0, 3))


def test_refuses_more_than_the_pool_has():
    with pytest.raises(InputError, match="counts ask for 4 images and the pool has 3"):
        select_by_difficulty([0.1, 0.2, 0.3], [2, 2], random_keys(0, 3))


@pytest.mark.parametrize("keys", [[1, 2], [[1, 2, 3]], ["a", "b", "c"]])
def test_refuses_keys_that_are_none(keys):
    with pytest.raises(InputError, match="keys has shape"):
        select_by_difficulty([0.1, 0.2, 0.3], [1, 1], keys)


def test_refuses_an_edge_out_of_range():
    with pytest.raises(InputError, match=r"edge is 1\.5"):
        select_by_difficulty([0.1, 0.2, 0.3], [1, 1], [1, 2, 3], edge=1.5)


def test_without_edges_each_bin_gives_its_smallest_keys():
    rng = np.random.default_rng(0)
    for _ in range(50):
        pool, keys, counts = rng.random(40), rng.random(40), rng.multinomial(8, [0.1] * 10)
        bins, expected = difficulty_bins(pool), []
        for k, count in enumerate(counts):
            of_bin = np.flatnonzero(bins == k)
            expected += of_bin[np.argsort(keys[of_bin])][:count].tolist()
        rest = np.setdiff1d(np.argsort(keys), expected)
        expected += rest[np.argsort(keys[rest])][: 8 - len(expected)].tolist()
        np.testing.assert_array_equal(select_by_difficulty(pool, counts, keys, edge=0), np.sort(expected))


def test_an_edge_lets_a_neighbour_in_and_no_one_else():
    pool = [0.19, 0.21, 0.25, 0.35]
    wanted = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert select_by_difficulty(pool, wanted, [0, 1, 2, 3], edge=0.5).tolist() == [0]
    assert select_by_difficulty(pool, wanted, [0, 1, 2, 3], edge=0.05).tolist() == [1]
    assert select_by_difficulty([0.14, 0.21, 0.36], wanted, [0, 1, 2], edge=0.5).tolist() == [1]


def test_the_places_go_to_the_smallest_keys_that_fit():
    # The least sum of keys of all ways to fill the places, by a general solver of assignments.
    rng = np.random.default_rng(1)
    for _ in range(50):
        pool, keys, counts = rng.random(30) ** 2, rng.permutation(30), rng.multinomial(6, [0.1] * 10)
        places = np.repeat(np.arange(10), counts)[:, None] / 10
        fits = (pool >= places - 0.05) & (pool < places + 0.15)
        _, rows = linear_sum_assignment(np.where(fits, keys, 1000.0 + keys))
        np.testing.assert_array_equal(select_by_difficulty(pool, counts, keys), np.sort(rows))


def noisy(values, rng, mean=0.003):
    """Each logit moved at random, so that difficulties change by `mean` on average: the surest ones the least."""
    logits = np.log(values / (1 - values))
    steps = rng.normal(size=values.shape)
    scale = brentq(lambda s: np.abs(1 / (1 + np.exp(-logits - s * steps)) - values).mean() - mean, 0, 10)
    return 1 / (1 + np.exp(-logits - scale * steps))


def easy_biased(rng):
    """Ten classes with n = 5 at IPC 10: pools that are easier than their originals, as those of diffusion models."""
    for _ in range(10):
        yield rng.beta(0.4, 3, 50), rng.beta(0.6, 1.5, 500)


def shared(first, second):
    """How many rows are in both, of all classes."""
    return sum(np.intersect1d(a, b).size for a, b in zip(first, second, strict=True))


def test_a_little_noise_changes_few_picks():
    found, by_chance = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        classes = list(easy_biased(rng))
        again = [(noisy(pool, rng), noisy(original, rng)) for pool, original in classes]
        first, second, other = (
            [difficulty_guided_sample(*one, 10, seed=s, label=k).indices for k, one in enumerate(of)]
            for of, s in ((classes, seed), (again, seed), (again, seed + 100))
        )
        found.append(shared(first, second))
        by_chance.append(shared(first, other))
    assert min(found) >= 80
    assert max(by_chance) <= 50


def test_a_larger_pool_and_another_ipc_change_few_picks():
    rng = np.random.default_rng(7)
    classes = [(rng.beta(0.4, 3, 250), rng.beta(0.6, 1.5, 500)) for _ in range(10)]

    def sampled(ipc, size):
        return [
            difficulty_guided_sample(pool[:size], original, ipc, label=k).indices
            for k, (pool, original) in enumerate(classes)
        ]

    assert shared(sampled(10, 50), sampled(10, 60)) >= 70  # of 100, of which a sixth of the images take some
    assert shared(sampled(10, 250), sampled(50, 250)) >= 90
