"""The targets without bins, and `mixture`."""

from itertools import permutations
from typing import get_args

import numpy as np
import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe.ranges import Distribution
from ddgs_hub.sampling import (
    TARGETS,
    ClassScores,
    difficulty_guided_sample,
    difficulty_histogram,
    draw_keys,
    log_transform,
    mixed_counts,
    scaled_counts,
)


def scores(pool, original, ipc, keys=None, mixture=0.5):
    pool, original = np.asarray(pool, dtype=np.float32), np.asarray(original, dtype=np.float32)
    keys = draw_keys(0, 0, np.arange(pool.size)) if keys is None else np.asarray(keys)
    return ClassScores(pool, original, log_transform(pool, 0, 0), log_transform(original, 0, 0), keys, ipc, mixture)


def taken(name, *arguments, **options):
    rows, counts = TARGETS[name](scores(*arguments, **options))
    assert counts is None
    return rows.tolist()


def test_a_recipe_has_the_same_names_and_auto_which_chooses_one():
    assert get_args(Distribution) == (*TARGETS, "auto")


class TestQuantile:
    def test_takes_the_images_nearest_to_evenly_spread_quantiles(self):
        original = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]  # two quantiles: 0.25 and 0.65
        assert taken("quantile", [0.9, 0.66, 0.21, 0.0, 0.26], original, 2) == [1, 4]

    def test_of_as_many_images_as_originals_the_quantiles_are_the_originals(self):
        original = np.random.default_rng(0).random(12)
        pool = np.concatenate([np.linspace(0, 1, 20), original])
        assert taken("quantile", pool, original, 12) == list(range(20, 32))

    def test_no_other_choice_is_nearer_in_sum(self):
        rng = np.random.default_rng(1)
        for _ in range(20):
            pool, original = rng.random(6) ** 2, rng.random(9)
            wanted = np.quantile(original, [1 / 6, 3 / 6, 5 / 6], method="hazen")
            best = min(np.abs(pool[list(rows)] - wanted).sum() for rows in permutations(range(6), 3))
            rows = taken("quantile", pool, original, 3)
            assert np.abs(np.sort(pool[rows]) - wanted).sum() == pytest.approx(best, abs=1e-6)

    def test_between_equal_images_keys_decide(self):
        assert taken("quantile", [0.5, 0.5, 0.5, 0.9], [0.5], 1, keys=[7, 2, 5, 0]) == [1]

    def test_a_class_of_one_original(self):
        assert taken("quantile", [0.9, 0.4, 0.1, 0.5], [0.45], 2) == [1, 3]


class TestCurriculum:
    def test_is_the_whole_original_where_ipc_is_its_size(self):
        rng = np.random.default_rng(2)
        pool, original = rng.random(60), rng.random(12)
        for ipc in (12, 20):
            assert taken("curriculum", pool, original, ipc) == taken("quantile", pool, original, ipc)

    def test_matches_the_easiest_share(self):
        pool, original = np.random.default_rng(3).random(100), np.linspace(0, 1, 99)
        # ln(1 + 9) / ln(1 + 99) = 1/2: the easier half, 50 of 99 images.
        assert taken("curriculum", pool, original, 9) == taken("quantile", pool, original[:50], 9)

    def test_is_harder_with_more_images(self):
        pool = original = np.linspace(0, 1, 500)
        means = [pool[taken("curriculum", pool, original, ipc)].mean() for ipc in (1, 10, 50, 200)]
        assert (np.diff(means) > 0.05).all()


class TestPoolAndEasy:
    def test_pool_takes_the_smallest_keys_whatever_the_difficulties(self):
        assert taken("pool", [0.1, 0.9, 0.5, 0.3], [0.2], 2, keys=[4, 1, 3, 2]) == [1, 3]
        drawn = [
            taken("pool", np.linspace(0, 1, 50), [0.2], 10, keys=draw_keys(s, 0, np.arange(50))) for s in range(200)
        ]
        # Each image 40 times in the mean, with a standard deviation of 6.
        assert np.abs(np.bincount(np.concatenate(drawn), minlength=50) - 40).max() < 25

    def test_smaller_sets_are_part_of_larger_ones(self):
        pool = np.random.default_rng(4).random(50)
        for name in ("pool", "easy"):
            assert set(taken(name, pool, [0.5], 10)) < set(taken(name, pool, [0.5], 20))

    def test_easy_takes_the_easiest(self):
        assert taken("easy", [0.5, 0.2, 0.9, 0.1], [0.9], 2) == [1, 3]
        assert taken("easy", [0.2, 0.2, 0.9, 0.2], [0.9], 2, keys=[5, 1, 0, 3]) == [1, 3]


class TestMixture:
    POOL, ORIGINAL = [8, 2, 0, 0], [10, 10, 10, 10]  # shares .8 .2 0 0 and .25 each

    @pytest.mark.parametrize(
        ("mixture", "expected"),
        [
            (0, [16, 4, 0, 0]),
            (1, [5, 5, 5, 5]),
            (0.5, [11, 5, 2, 2]),  # quotas 10.5 4.5 2.5 2.5: of equal remainders the easier bins' go first
            (-1, [18, 2, 0, 0]),  # 1.35 .15 and below 0
        ],
    )
    def test_counts(self, mixture, expected):
        np.testing.assert_array_equal(mixed_counts(self.POOL, self.ORIGINAL, 20, mixture), expected)

    def test_sums_to_any_ipc(self):
        rng = np.random.default_rng(0)
        for ipc in (1, 7, 10, 50, 333):
            for mixture in (-1, -0.3, 0, 0.1, 0.7, 1):
                counts = mixed_counts(rng.integers(0, 30, 10) + 1, rng.integers(0, 90, 10), ipc, mixture)
                assert counts.sum() == ipc
                assert counts.min() >= 0

    def test_one_is_scale_and_zero_the_pool(self):
        rng = np.random.default_rng(5)
        pool, original = rng.beta(0.2, 3, 50), rng.beta(0.5, 1.5, 137)
        scale = difficulty_guided_sample(pool, original, 10)
        one = difficulty_guided_sample(pool, original, 10, distribution="mixture", mixture=1)
        zero = difficulty_guided_sample(pool, original, 10, distribution="mixture", mixture=0)
        np.testing.assert_array_equal(one.indices, scale.indices)
        np.testing.assert_array_equal(one.counts, scale.counts)
        np.testing.assert_array_equal(zero.counts, scaled_counts(zero.transformed, 10))
        assert difficulty_histogram(zero.transformed).tolist() == zero.available.tolist()

    def test_refusals(self):
        with pytest.raises(InputError, match=r"mixture is 1\.1; α of the target 'mixture' lies in −1…1"):
            mixed_counts(self.POOL, self.ORIGINAL, 20, 1.1)
        with pytest.raises(InputError, match="ipc is 0"):
            mixed_counts(self.POOL, self.ORIGINAL, 0, 0.5)
