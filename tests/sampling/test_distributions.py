import numpy as np
import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.sampling import DISTRIBUTIONS, preset_counts, scaled_counts

# Fig. 4 of the paper, written once more and not read from the package.
FIGURE_4 = {
    ("hill", 10): "1 0 1 0 3 3 1 0 0 1",
    ("hill", 20): "1 1 1 2 5 5 2 1 1 1",
    ("hill", 50): "1 3 5 6 10 10 6 5 3 1",
    ("ground", 10): "1 1 1 1 1 1 1 1 1 1",
    ("ground", 20): "2 2 2 2 2 2 2 2 2 2",
    ("ground", 50): "5 5 5 5 5 5 5 5 5 5",
    ("slope", 10): "3 3 1 1 0 0 1 1 0 0",
    ("slope", 20): "5 5 2 2 1 1 1 1 1 1",
    ("slope", 50): "10 10 6 6 5 5 3 3 1 1",
    ("cliff", 10): "6 3 0 1 0 0 0 0 0 0",
    ("cliff", 20): "9 6 1 1 1 1 1 0 0 0",
    ("cliff", 50): "20 15 3 3 2 2 2 1 1 1",
}


@pytest.mark.parametrize(("shape", "ipc"), FIGURE_4)
def test_published_presets(shape, ipc):
    np.testing.assert_array_equal(preset_counts(shape, ipc), [int(n) for n in FIGURE_4[shape, ipc].split()])


@pytest.mark.parametrize(
    ("shape", "ipc", "expected"),
    [
        ("hill", 100, [2, 6, 10, 12, 20, 20, 12, 10, 6, 2]),
        ("hill", 1, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]),
        ("ground", 7, [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]),
        # Quotas 1 1 .6 .6 .5 .5 .3 .3 .1 .1: two whole, then the three largest remainders.
        ("slope", 5, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
        # Quotas 1.2 .9 .18 …
        ("cliff", 3, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_another_ipc_is_the_shape_of_50_by_largest_remainder(shape, ipc, expected):
    np.testing.assert_array_equal(preset_counts(shape, ipc), expected)


def test_scaled_counts_by_largest_remainder():
    # 5, 3 and 2 of 10 values, to 7 images: quotas 3.5, 2.1, 1.4.
    values = [0.05] * 5 + [0.45] * 3 + [0.95] * 2
    np.testing.assert_array_equal(scaled_counts(values, 7), [4, 0, 0, 0, 2, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(scaled_counts(values, 7, bins=2), [6, 1])


def test_of_equal_remainders_the_easier_bin_goes_first():
    np.testing.assert_array_equal(scaled_counts([0.95, 0.05, 0.55, 0.35], 2, bins=4), [1, 1, 0, 0])


def test_equal_remainders_are_equal_though_floats_differ():
    # Quotas 16/3, 4/3, 4/3: as floats the last two remainders come out larger than the first.
    np.testing.assert_array_equal(scaled_counts([0.1] * 4 + [0.5, 0.9], 8, bins=3), [6, 1, 1])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_distribution_sums_to_any_ipc(name):
    values = np.random.default_rng(0).beta(0.3, 1.0, 137)
    for ipc in [*range(1, 60), 100, 137, 1000]:
        counts = DISTRIBUTIONS[name](values, ipc)
        assert counts.shape == (10,)
        assert counts.sum() == ipc
        assert counts.min() >= 0


def test_names():
    assert list(DISTRIBUTIONS) == ["scale", "hill", "ground", "slope", "cliff"]


def test_refusals():
    with pytest.raises(InputError, match="shape is 'valley'; choose one of hill, ground, slope, cliff"):
        preset_counts("valley", 10)
    with pytest.raises(InputError, match="ipc is 0"):
        preset_counts("hill", 0)
    with pytest.raises(InputError, match=r"ipc is 1\.5"):
        scaled_counts([0.1], 1.5)
    with pytest.raises(InputError, match=r"difficulty\[0\] is nan"):
        scaled_counts([np.nan], 1)
