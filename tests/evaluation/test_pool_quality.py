"""Precision and recall of generated images in a feature space."""

import numpy as np
import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation.pool_quality import precision_recall

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(200, 8))


def test_images_of_the_same_kind_lie_among_each_other():
    found = precision_recall(REAL, RNG.normal(size=(200, 8)))
    assert found.precision > 0.7
    assert found.recall > 0.7
    same = precision_recall(REAL, REAL)
    assert (same.precision, same.recall) == (1.0, 1.0)


def test_what_looks_real_but_alike_has_precision_and_no_recall():
    found = precision_recall(REAL, REAL[0] + 1e-3 * RNG.normal(size=(200, 8)))
    assert found.precision > 0.9
    assert found.recall < 0.05


def test_what_is_real_and_more_has_recall_and_half_the_precision():
    found = precision_recall(REAL, np.concatenate([REAL, 100 + REAL]))
    assert (found.precision, found.recall) == (0.5, 1.0)


def test_a_point_at_the_distance_of_the_kth_neighbour_still_counts():
    line = np.arange(5.0)[:, None]  # the second neighbour of an end is 2 away, of all others 1
    assert precision_recall(line, [[6.0], [6.0], [6.0]], neighbours=2).precision == 1.0
    assert precision_recall(line, [[6.01], [6.01], [6.01]], neighbours=2).precision == 0.0


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (REAL, REAL[:3], "there are 3 generated images, too few for 3 neighbours"),
        (REAL, REAL[:, :4], "the features have 8 and 4 columns"),
        (REAL * np.nan, REAL, "the real features have shape"),
        (REAL[0], REAL, "the real features have shape"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(real, generated, message):
    with pytest.raises(InputError, match=message):
        precision_recall(real, generated)
