"""The keys of the draw."""

import numpy as np
import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.sampling import draw_keys


def test_a_key_is_of_seed_class_and_image_alone():
    keys = draw_keys(3, 7, [0, 5, 1_000_000])
    assert keys.dtype == np.uint64
    # The first 8 bytes of BLAKE2b ("b2sum -l 64") of the text 3,7,5, read from the least significant one on.
    assert keys[1] == int.from_bytes(bytes.fromhex("89650b9056fb3f9d"), "little")
    np.testing.assert_array_equal(draw_keys(3, 7, [1_000_000, 5]), keys[[2, 1]])
    for other in (draw_keys(4, 7, [5]), draw_keys(3, 8, [5]), draw_keys(3, 7, [6])):
        assert other[0] not in keys


def test_keys_are_evenly_spread():
    keys = np.concatenate([draw_keys(0, label, np.arange(1000)) for label in range(10)]) / 2.0**64
    assert np.unique(keys).size == 10_000
    # 1,000 in each tenth in the mean, with a standard deviation of 30.
    assert np.abs(np.histogram(keys, 10, (0, 1))[0] - 1000).max() < 150


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, [0]), "seed is -1"),
        ((0, 0.5, [0]), "label is 0.5"),
        ((0, 0, [0.5]), r"images has shape \(1,\) and type float64: give one whole number an image"),
        ((0, 0, 3), r"images has shape \(\)"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InputError, match=message):
        draw_keys(*arguments)
