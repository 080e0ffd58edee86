import numpy as np
import pytest
from scipy.special import rel_entr
from scipy.stats import entropy

from ddgs_hub.core.errors import InputError
from ddgs_hub.sampling import (
    Thresholds,
    difficulty_histogram,
    log_transform,
    objective_grid,
    search_thresholds,
)


def plain_grid(difficulty, max_rank, weight, divergence, smoothing=0.0):
    """Eq. 9 cell by cell, with the functions that the draw uses."""

    def share(values):
        return (difficulty_histogram(values) / difficulty.size + smoothing) / (1 + 10 * smoothing)

    def kl(f, target):
        return (rel_entr(f, target) if divergence == "paper" else rel_entr(target, f)).sum() / np.log(2)

    ordered = np.sort(difficulty)
    grid = np.full((max_rank, max_rank), np.nan)
    for bottom in range(max_rank):
        for top in range(max_rank):
            if bottom + top > difficulty.size - 2 or (ordered[bottom] or 1e-4) >= ordered[-1 - top]:
                continue
            f = share(log_transform(difficulty, bottom, top))
            grid[bottom, top] = 0.0
            if weight > 0:
                grid[bottom, top] += weight * kl(f, share(difficulty))
            if weight < 1:
                grid[bottom, top] += (1 - weight) * kl(f, np.full(10, 0.1))
    return grid


def random_pools():
    """Pools of every kind that is awkward: ties, zeros, ones, values whose logarithms lie exactly on an edge."""
    rng = np.random.default_rng(7)
    for _ in range(5):
        size = int(rng.integers(1, 50))
        yield rng.random(size)
        yield np.round(rng.beta(0.3, 1.0, size), int(rng.integers(1, 5)))
        yield np.where(rng.random(size) < 0.3, 0.0, rng.random(size) ** 2)
        yield rng.choice([0.0, 1.0, 0.5, 1e-4, 1e-9], size)
        yield 0.1024 * 2.0 ** -rng.integers(0, 11, size)  # ten octaves: each is exactly one bin
        yield 10.0 ** -rng.integers(0, 5, size)
        yield np.round(rng.beta(0.3, 1.0, size), 2).astype(np.float32)
        yield 0.3 + 1e-16 * rng.integers(0, 9, size)  # neighbouring floats


@pytest.mark.parametrize("divergence", ["paper", "reference"])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_grid_equals_a_plain_loop(divergence, weight):
    for pool in random_pools():
        max_rank = 1 + pool.size % 6
        plain = plain_grid(pool, max_rank, weight, divergence)
        grid = objective_grid(pool, max_rank, weight, divergence=divergence)
        np.testing.assert_allclose(grid, plain, rtol=1e-10, atol=1e-13, err_msg=repr(pool))


@pytest.mark.parametrize("divergence", ["paper", "reference"])
def test_search_takes_the_first_of_the_best_cells(divergence):
    for pool in random_pools():
        max_rank = 1 + pool.size % 6
        plain = plain_grid(pool, max_rank, 0.5, divergence)
        smoothed = not np.isfinite(plain).any()
        if smoothed:
            plain = plain_grid(pool, max_rank, 0.5, divergence, smoothing=1e-4)
        found = search_thresholds(pool, max_rank, divergence=divergence)
        assert found.smoothed == smoothed
        assert np.isfinite(found.objective)
        if np.isnan(plain).all():
            assert (found.bottom, found.top) == (0, 0)
        else:
            first = np.argwhere(plain <= np.nanmin(plain) + 1e-12)[0]
            assert (found.bottom, found.top) == tuple(first)
            assert found.objective == pytest.approx(np.nanmin(plain), abs=1e-11)


def test_large_search_in_several_blocks_of_rows():
    pool = np.random.default_rng(3).random(300) ** 3
    grid = objective_grid(pool, 130)
    for bottom, top in [(0, 0), (63, 5), (64, 5), (127, 129), (128, 1), (129, 129)]:
        f = difficulty_histogram(log_transform(pool, bottom, top))
        expected = (entropy(f, difficulty_histogram(pool), base=2) + entropy(f, np.ones(10), base=2)) / 2
        assert grid[bottom, top] == pytest.approx(expected, rel=1e-12)


def test_exact_value_of_one_cell():
    # Two bins, f = (1/2, 1/2) after the transformation, P = (3/4, 1/4).
    pool = [0.01, 0.02, 0.25, 1.0]
    np.testing.assert_array_equal(difficulty_histogram(log_transform(pool, 0, 0), 2), [2, 2])
    to_pool = 0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25)
    from_pool = 0.75 * np.log2(0.75 / 0.5) + 0.25 * np.log2(0.25 / 0.5)
    assert search_thresholds(pool, 1, bins=2).objective == pytest.approx(0.5 * to_pool, rel=1e-14)
    assert search_thresholds(pool, 1, weight=1.0, bins=2).objective == pytest.approx(to_pool, rel=1e-14)
    reference = search_thresholds(pool, 1, bins=2, divergence="reference")
    assert reference.objective == pytest.approx(0.5 * from_pool, rel=1e-14)
    assert not reference.smoothed


@pytest.mark.parametrize(("divergence", "objective"), [("paper", 0.604464289204902), ("reference", 0.584454838088785)])
def test_search_vector_of_our_own(divergence, objective):
    found = search_thresholds(((np.arange(100) + 0.5) / 100) ** 3, 10, divergence=divergence)
    assert found == Thresholds(bottom=9, top=0, objective=pytest.approx(objective, rel=1e-12), smoothed=False)


def test_no_finite_cell_is_smoothed_and_said():
    pool = np.array([0.001, 0.002, 0.004, 0.9, 0.95, 0.99])  # P is empty from 0.1 to 0.9, f is not
    for divergence in ("paper", "reference"):
        assert not np.isfinite(objective_grid(pool, 2, divergence=divergence)).any()
        found = search_thresholds(pool, 2, divergence=divergence)
        assert found.smoothed
        assert np.isfinite(found.objective)


def test_one_finite_cell_wins_over_infinite_and_nan_ones():
    pool = np.array([0.1, 0.1, 0.2, 0.4])
    grid = objective_grid(pool, 3, weight=0.0, bins=2)
    assert np.isnan(grid[1, 2])  # floor and ceiling are both 0.1
    found = search_thresholds(pool, 3, weight=0.0, bins=2)
    assert found.objective == np.nanmin(grid)
    assert not found.smoothed


@pytest.mark.parametrize("pool", [[0.3] * 50, [0.0] * 50, [1.0] * 50, [0.7], [0.0, 5e-5]])
@pytest.mark.parametrize("divergence", ["paper", "reference"])
def test_constant_pool(pool, divergence):
    assert np.isnan(objective_grid(pool, 5, divergence=divergence)).all()
    found = search_thresholds(pool, 5, divergence=divergence)
    assert (found.bottom, found.top, found.smoothed) == (0, 0, True)
    assert np.isfinite(found.objective)


def test_ranks_that_meet_or_cross_are_no_candidates():
    pool = np.array([0.01, 0.2, 0.5, 0.9])
    grid = objective_grid(pool, 6, divergence="paper", weight=0.0)
    bottom, top = np.indices((6, 6))
    np.testing.assert_array_equal(np.isnan(grid), bottom + top > 2)


def test_rounding_does_not_decide_between_equal_cells():
    # With λ = 0 a permuted histogram has the same objective on paper; as floats add up, cell (2, 0) comes out lower.
    pool = [0.82, 0.0, 0.45, 0.22, 0.46, 0.0]
    grid = objective_grid(pool, 4, weight=0.0)
    assert grid[2, 0] == pytest.approx(grid[0, 0], rel=1e-12)
    found = search_thresholds(pool, 4, weight=0.0)
    assert (found.bottom, found.top) == (0, 0)


def test_values_on_an_edge_are_binned_as_the_draw_bins_them():
    # Eleven values in equal ratios: the inner ones transform to k / 10 up to the last digit, on either side of it.
    rng = np.random.default_rng(8)
    sides = set()
    for _ in range(300):
        pool = np.geomspace(*np.sort(rng.random(2)), 11)
        histogram = difficulty_histogram(log_transform(pool, 0, 0))
        sides.add(tuple(histogram))
        evenness = rel_entr(histogram / 11, 0.1).sum() / np.log(2)
        assert objective_grid(pool, 1, weight=0.0)[0, 0] == pytest.approx(evenness, rel=1e-12)
    assert len(sides) > 100


@pytest.mark.parametrize("divergence", ["paper", "reference"])
def test_float32_scores_with_exact_tenths_give_the_same_search(divergence):
    # As a float32, 0.7 is below the float64 0.7: compared with that it would change its bin.
    pool = np.append(np.round(np.random.default_rng(6).random(250) ** 2, 3), [0.7, 0.7, 0.9])
    found = search_thresholds(pool.astype(np.float32), 25, divergence=divergence)
    assert found == search_thresholds(pool, 25, divergence=divergence)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_rank": 0}, "max_rank is 0"),
        ({"max_rank": 2.0}, "max_rank is 2.0"),
        ({"max_rank": 2, "weight": 1.5}, "weight is 1.5"),
        ({"max_rank": 2, "weight": float("nan")}, "weight is nan"),
        ({"max_rank": 2, "bins": 0}, "bins is 0"),
        ({"max_rank": 2, "divergence": "kl"}, "divergence is 'kl'; choose one of paper, reference"),
    ],
)
@pytest.mark.parametrize("function", [search_thresholds, objective_grid])
def test_refuses_arguments_out_of_range(function, arguments, message):
    with pytest.raises(InputError, match=message):
        function([0.1, 0.2, 0.3], **arguments)


@pytest.mark.parametrize("pool", [[], [0.1, np.nan], [0.1, 1.1]])
def test_refuses_what_is_no_difficulty(pool):
    with pytest.raises(InputError, match="difficulty"):
        search_thresholds(pool, 2)
