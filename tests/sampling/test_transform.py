import subprocess
import sys

import numpy as np
import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.sampling import EPSILON, difficulty_bins, difficulty_histogram, log_transform


def test_exact_vector():
    # floor 0.001 (rank 1), ceiling 0.1 (rank N − 1 − 1): two decades, so each factor of ten is a half.
    transformed = log_transform([0.9, 0.01, 0.0001, 0.001, 0.1], bottom=1, top=1)
    np.testing.assert_allclose(transformed, [1.0, 0.5, EPSILON, EPSILON, 1.0], rtol=1e-15)


def test_epsilon_stands_in_for_a_floor_of_zero_only():
    np.testing.assert_allclose(log_transform([0.0, 0.01, 1.0], 0, 0), [EPSILON, 0.5, 1.0], rtol=1e-15)
    np.testing.assert_allclose(log_transform([1e-6, 1e-3, 1.0], 0, 0), [EPSILON, 0.5, 1.0], rtol=1e-15)
    # Between 0 and ε, below the floor that stands in for 0.
    np.testing.assert_allclose(log_transform([0.0, 1e-6, 1.0], 0, 0), [EPSILON, EPSILON, 1.0], rtol=1e-15)


def test_epsilon_is_an_argument():
    np.testing.assert_allclose(log_transform([0.0, 0.01, 0.1, 1.0], 0, 0, eps=0.01), [0.01, 0.01, 0.5, 1.0])


def test_order_is_kept_and_range_is_epsilon_to_one():
    values = np.random.default_rng(0).random(200)
    transformed = log_transform(values, 7, 11)
    order = np.argsort(values)
    assert (np.diff(transformed[order]) >= 0).all()
    assert transformed.min() == EPSILON
    assert transformed.max() == 1.0
    assert (transformed == 1.0).sum() == 12  # the ceiling and the eleven above it
    assert transformed.dtype == np.float64


@pytest.mark.parametrize("values", [[0.3] * 5, [0.0] * 5, [1.0] * 5, [0.4], [0.0, 5e-5]])
def test_no_spread_is_epsilon_everywhere(values):
    np.testing.assert_array_equal(log_transform(values, 0, 0), np.full(len(values), EPSILON))


def test_ties_at_both_ranks_are_no_spread():
    np.testing.assert_array_equal(log_transform([0.1, 0.2, 0.2, 0.2, 0.9], 1, 1), np.full(5, EPSILON))


def test_subnormal_floor_counts_as_zero():
    np.testing.assert_allclose(log_transform([5e-324, 0.01, 1.0], 0, 0), [EPSILON, 0.5, 1.0], rtol=1e-15)


@pytest.mark.parametrize(
    ("bottom", "top", "same_as"),
    [(3, 0, (3, 0)), (24, 9, (2, 0)), (10, 10, (1, 1)), (100, 0, (3, 0)), (0, 100, (0, 3))],
)
def test_ranks_beyond_a_small_set_shrink_in_proportion(bottom, top, same_as):
    values = [0.5, 0.1, 0.9, 0.3, 0.7]
    transformed = log_transform(values, bottom, top)
    np.testing.assert_array_equal(transformed, log_transform(values, *same_as))
    assert np.unique(transformed).size >= 2


def test_float32_is_computed_in_float64():
    values = np.random.default_rng(1).random(50).astype(np.float32)
    np.testing.assert_array_equal(log_transform(values, 2, 3), log_transform(values.astype(np.float64), 2, 3))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_edges_belong_to_the_upper_bin(dtype):
    edges = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], dtype=dtype)
    np.testing.assert_array_equal(difficulty_bins(edges), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9])
    just_below = np.nextafter(edges[1:-1], dtype(0))
    np.testing.assert_array_equal(difficulty_bins(just_below), np.arange(9))


def test_histogram_counts_every_value_once():
    np.testing.assert_array_equal(difficulty_histogram([0.2, 0.6, 0.0, 1.0, 0.95]), [1, 0, 1, 0, 0, 0, 1, 0, 0, 2])
    np.testing.assert_array_equal(difficulty_histogram([0.2, 0.6, 0.5], bins=2), [1, 2])
    values = np.round(np.random.default_rng(2).random(1000), 1)
    assert difficulty_histogram(values).sum() == 1000


def test_whole_numbers_are_difficulties_too():
    np.testing.assert_array_equal(difficulty_bins([0, 1, 1]), [0, 9, 9])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1, np.nan, 2.0], r"difficulty\[1\] is nan"),
        ([0.1, 0.2, 1.5], r"difficulty\[2\] is 1\.5"),
        ([-0.1], r"difficulty\[0\] is -0\.1"),
        ([np.inf], r"difficulty\[0\] is inf"),
        ([], r"shape \(0,\)"),
        ([[0.1, 0.2]], r"shape \(1, 2\)"),
        (0.5, r"shape \(\)"),
        (["a"], "must be numbers"),
        ([0.1, None], "must be numbers"),
        ([True, False], "must be numbers"),
    ],
)
@pytest.mark.parametrize("function", [lambda v: log_transform(v, 0, 0), difficulty_bins, difficulty_histogram])
def test_refuses_what_is_no_difficulty(function, values, message):
    with pytest.raises(InputError, match=message):
        function(values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bottom": -1, "top": 0}, "bottom is -1"),
        ({"bottom": 0, "top": 1.5}, "top is 1.5"),
        ({"bottom": 0, "top": 0, "eps": 0.0}, "eps is 0.0"),
    ],
)
def test_refuses_ranks_and_epsilon_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        log_transform([0.1, 0.2], **arguments)


@pytest.mark.parametrize("bins", [0, 1001, 2.5])
def test_refuses_bins_out_of_range(bins):
    with pytest.raises(InputError, match=f"bins is {bins}"):
        difficulty_bins([0.1], bins)


def test_importing_the_room_imports_nothing_heavy():
    code = (
        "import sys, ddgs_hub.sampling; "
        "print([m for m in ('torch', 'datasets', 'scipy', 'sklearn', 'pyarrow', 'PIL') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
