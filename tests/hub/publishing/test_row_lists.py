"""What two versions are compared by."""

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub.publishing.row_lists import RowList


def test_the_difficulties_are_counted_as_sampling_counts_them() -> None:
    distribution = RowList({"label": ["cat"] * 4, "difficulty": [0.0, 0.7, 0.3, 1.0]}).distribution()
    assert distribution["histogram"] == [1, 0, 0, 1, 0, 0, 0, 1, 0, 1]
    assert distribution["mean"] == pytest.approx(0.5)
    assert RowList({"label": ["cat"]}).distribution() == {"mean": None, "std": None, "histogram": [0] * 10}


def test_a_difficulty_that_is_none_is_not_left_out_without_a_word() -> None:
    with pytest.raises(InputError, match=r"difficulty\[1\] is 1.5; a difficulty is 1 − p"):
        RowList({"label": ["cat"] * 2, "difficulty": [0.5, 1.5]}).distribution()
