"""Sampling on datasets: which rows come out, with which columns, and what is refused."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import undecoded
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling import log_transform, preset_counts
from ddgs_hub.sampling.datasets import distill

NAMES = ["zero", "one", "two"]
PER_CLASS, IPC = 20, 4


def encoded(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make_rows(labels: list, difficulty: list, kind: str = "float32") -> Dataset:
    """Rows as another program's Parquet can hold them: nothing checks the values."""
    features = Features(image=Image(), label=ClassLabel(names=NAMES), difficulty=Value(kind), pool_index=Value("int64"))
    columns = {
        "image": [{"bytes": encoded(k), "path": None} for k in range(len(labels))],
        "label": labels,
        "difficulty": pa.array(difficulty).cast(getattr(pa, kind)()),
        "pool_index": list(range(len(labels))),
    }
    return Dataset(pa.table(columns, schema=features.arrow_schema))


@pytest.fixture
def original() -> Dataset:
    rng = np.random.default_rng(1)
    return make_rows(sorted([0, 1, 2] * 50), (rng.beta(0.5, 1.5, 150)).tolist())


@pytest.fixture
def pool() -> Dataset:
    """Mostly easy, with the classes mixed."""
    rng = np.random.default_rng(0)
    return make_rows([k % 3 for k in range(3 * PER_CLASS)], rng.beta(0.2, 3, 3 * PER_CLASS).tolist())


def selected(pool: Dataset, original: Dataset, seed: int = 0) -> list[int]:
    """Which rows of the pool come out, by `pool_index`, in their order."""
    return distill(pool, original, SampleSettings(ipc=IPC), seed=seed).rows["pool_index"][:]


class TestResult:
    def test_rows_are_those_of_the_pool_with_their_bytes(self, pool: Dataset, original: Dataset) -> None:
        rows = distill(pool, original, SampleSettings(ipc=IPC)).rows
        assert rows.column_names == [*pool.column_names, "difficulty_log", "difficulty_bin"]
        assert rows["label"][:] == [0] * IPC + [1] * IPC + [2] * IPC
        chosen = rows["pool_index"][:]
        assert len(set(chosen)) == 3 * IPC
        assert [row["image"]["bytes"] for row in undecoded(rows)] == [encoded(k) for k in chosen]
        assert rows["difficulty"][:] == [pool["difficulty"][k] for k in chosen]

    def test_the_pool_keeps_every_row_and_says_what_was_selected(self, pool: Dataset, original: Dataset) -> None:
        result = distill(pool, original, SampleSettings(ipc=IPC))
        assert result.pool.column_names == [*pool.column_names, "selected", "difficulty_log", "difficulty_bin"]
        assert result.pool.remove_columns(["selected", "difficulty_log", "difficulty_bin"])[:] == pool[:]
        marked = [k for k, flag in enumerate(result.pool["selected"]) if flag]
        assert marked == sorted(result.rows["pool_index"])
        assert result.pool.features["difficulty_bin"] == Value("int64")
        assert result.pool.features["difficulty_log"] == Value("float32")

    def test_thresholds_and_bins_belong_together(self, pool: Dataset, original: Dataset) -> None:
        result = distill(pool, original, SampleSettings(ipc=IPC))
        labels, difficulty = np.array(pool["label"]), np.array(pool["difficulty"], dtype=np.float32)
        for k, report in enumerate(result.classes):
            log = log_transform(difficulty[labels == k], report["bottom"], report["top"])
            marked = result.pool.select(np.flatnonzero(labels == k))
            np.testing.assert_allclose(marked["difficulty_log"], log, rtol=1e-6)
            bins = np.minimum((log * 10).astype(int), 9)
            np.testing.assert_array_equal(marked["difficulty_bin"], bins)
            np.testing.assert_array_equal(report["available"], np.bincount(bins, minlength=10))

    def test_the_report_of_each_class_is_json(self, pool: Dataset, original: Dataset) -> None:
        result = distill(pool, original, SampleSettings(ipc=IPC))
        again = json.loads(json.dumps(result.classes))
        assert [report["name"] for report in again] == NAMES
        assert all(sum(report["target_counts"]) == IPC and sum(report["available"]) == PER_CLASS for report in again)
        means = [np.mean(result.rows["difficulty"][k * IPC : (k + 1) * IPC]) for k in range(3)]
        np.testing.assert_allclose([report["mean_difficulty"] for report in again], means, rtol=1e-6)

    def test_a_preset_is_followed_where_the_pool_can(self, original: Dataset) -> None:
        # Powers of two to the hundredth: transformed they lie evenly in 0 … 1, 20 in each bin.
        even = (2.0 ** np.linspace(-20, 0, 200)).tolist()
        pool = make_rows([0] * 200 + [1] * 200 + [2] * 200, even * 3)
        result = distill(pool, original, SampleSettings(ipc=10, distribution="slope"))
        for k, report in enumerate(result.classes):
            assert report["target_counts"] == preset_counts("slope", 10).tolist() == [3, 3, 1, 1, 0, 0, 1, 1, 0, 0]
            assert sum(report["shortfall"]) == 0
            # Sorted, each image lies in the bin that it is counted for, or within half a bin of it.
            wanted = np.repeat(np.arange(10), report["target_counts"]) / 10
            taken = np.sort(result.rows["difficulty_log"][10 * k : 10 * (k + 1)])
            assert (taken > wanted - 0.05 - 1e-6).all()
            assert (taken < wanted + 0.15 + 1e-6).all()

    def test_marks_of_an_earlier_sampling_are_replaced(self, pool: Dataset, original: Dataset) -> None:
        first = distill(pool, original, SampleSettings(ipc=IPC))
        again = distill(first.pool, original, SampleSettings(ipc=2 * IPC))
        assert again.pool.column_names == first.pool.column_names
        assert sum(again.pool["selected"]) == 3 * 2 * IPC

    def test_the_whole_pool_can_be_taken(self, pool: Dataset, original: Dataset) -> None:
        result = distill(pool, original, SampleSettings(ipc=PER_CLASS))
        assert sorted(result.rows["pool_index"]) == list(range(3 * PER_CLASS))


class TestDraw:
    def test_is_decided_by_the_seed(self, pool: Dataset, original: Dataset) -> None:
        assert selected(pool, original, seed=5) == selected(pool, original, seed=5)
        assert selected(pool, original, seed=5) != selected(pool, original, seed=6)

    def test_of_one_class_does_not_depend_on_the_others(self, pool: Dataset, original: Dataset) -> None:
        labels = np.array(pool["label"])
        by_class = pool.select(np.argsort(labels, kind="stable"))
        assert selected(by_class, original) == selected(pool, original)
        changed = np.where(labels == 0, 0.5, np.array(pool["difficulty"]))
        other = make_rows(labels.tolist(), changed.tolist())
        assert selected(other, original)[IPC:] == selected(pool, original)[IPC:]

    def test_of_classes_that_are_alike_differ(self, original: Dataset) -> None:
        one = np.random.default_rng(3).beta(0.2, 3, PER_CLASS).tolist()
        pool = make_rows([0] * PER_CLASS + [1] * PER_CLASS + [2] * PER_CLASS, one * 3)
        alike = original.select([*range(50)] * 3)
        alike = alike.remove_columns("label").add_column(
            "label", sorted([0, 1, 2] * 50), feature=ClassLabel(names=NAMES)
        )
        chosen = np.array(selected(pool, alike)).reshape(3, IPC) % PER_CLASS
        assert len({tuple(row) for row in chosen.tolist()}) > 1

    def test_is_harder_where_the_original_is_harder(self, pool: Dataset, original: Dataset) -> None:
        labels = original["label"][:]
        easy = distill(pool, make_rows(labels, ([1e-6] * 40 + [0.9] * 10) * 3), SampleSettings(ipc=IPC))
        hard = distill(pool, make_rows(labels, ([0.9] * 40 + [1e-6] * 10) * 3), SampleSettings(ipc=IPC))
        for of_easy, of_hard in zip(easy.classes, hard.classes, strict=True):
            assert of_easy["target_counts"] == [3, *[0] * 8, 1]
            assert of_hard["target_counts"] == [1, *[0] * 8, 3]
            assert of_easy["mean_difficulty"] < of_hard["mean_difficulty"]


class TestErrors:
    @pytest.mark.parametrize("column", ["image", "label", "difficulty"])
    def test_the_pool_lacks_a_column(self, pool: Dataset, original: Dataset, column: str) -> None:
        with pytest.raises(InputError, match=f"the pool has no column '{column}': it has"):
            distill(pool.remove_columns(column), original, SampleSettings(ipc=IPC))

    @pytest.mark.parametrize("column", ["label", "difficulty"])
    def test_the_original_lacks_a_column(self, pool: Dataset, original: Dataset, column: str) -> None:
        with pytest.raises(InputError, match=f"the original dataset has no column '{column}': it has"):
            distill(pool, original.remove_columns(column), SampleSettings(ipc=IPC))

    def test_other_classes(self, pool: Dataset, original: Dataset) -> None:
        renamed = original.cast_column("label", ClassLabel(names=["zero", "two", "one"]))
        with pytest.raises(InputError, match="have different classes"):
            distill(pool, renamed, SampleSettings(ipc=IPC))

    def test_a_pool_smaller_than_ipc(self, pool: Dataset, original: Dataset) -> None:
        with pytest.raises(InputError, match=f"class 'zero' has {PER_CLASS} images in the pool, fewer than IPC 21"):
            distill(pool, original, SampleSettings(ipc=21))

    def test_a_class_without_pool_images(self, pool: Dataset, original: Dataset) -> None:
        labels = [1 if label == 2 else label for label in pool["label"]]
        with pytest.raises(InputError, match="class 'two' has 0 images in the pool"):
            distill(make_rows(labels, pool["difficulty"][:]), original, SampleSettings(ipc=IPC))

    def test_a_class_without_original_images(self, pool: Dataset, original: Dataset) -> None:
        with pytest.raises(InputError, match="class 'two' has no image in the original dataset"):
            distill(pool, original.select(range(100)), SampleSettings(ipc=IPC))

    @pytest.mark.parametrize("bad", [-1, 3, None])
    def test_a_label_outside_the_classes(self, pool: Dataset, original: Dataset, bad: int | None) -> None:
        labels = [*pool["label"][:], bad]
        with pytest.raises(InputError, match=rf"row 60 of the pool has label {bad}, outside its 3 classes"):
            distill(make_rows(labels, [*pool["difficulty"][:], 0.5]), original, SampleSettings(ipc=IPC))

    @pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1, None])
    @pytest.mark.parametrize("where", ["the pool", "the original dataset"])
    def test_a_difficulty_that_is_none(self, pool: Dataset, original: Dataset, bad: float | None, where: str) -> None:
        good = pool if where == "the pool" else original
        values = good["difficulty"][:]
        values[7] = bad
        broken = make_rows(good["label"][:], values)
        arguments = (broken, original) if where == "the pool" else (pool, broken)
        with pytest.raises(InputError, match=rf"row 7 of {where} has difficulty .*, not a number in 0 … 1: score it"):
            distill(*arguments, SampleSettings(ipc=IPC))

    def test_difficulties_that_are_text(self, pool: Dataset, original: Dataset) -> None:
        broken = make_rows(pool["label"][:], [str(value) for value in pool["difficulty"]], kind="string")
        with pytest.raises(InputError, match="row 0 of the pool has difficulty"):
            distill(broken, original, SampleSettings(ipc=IPC))


class TestNestedPool:
    """`SampleSettings.pool_size`: of a pool generated for a larger IPC, what one for this IPC would have been."""

    @pytest.fixture
    def nested(self, pool: Dataset) -> Dataset:
        """The pool with `pool_index` counted within each class, as `generate_pool` does."""
        indices = [k // 3 for k in range(3 * PER_CLASS)]
        return pool.remove_columns("pool_index").add_column("pool_index", indices)

    def test_what_is_selected_is_what_the_smaller_pool_would_give(self, nested: Dataset, original: Dataset) -> None:
        small = nested.filter(lambda index: index < 3 * IPC, input_columns="pool_index")
        alone = distill(small, original, SampleSettings(ipc=IPC), seed=5)
        result = distill(nested, original, SampleSettings(ipc=IPC, pool_size=3), seed=5)
        assert result.rows[:] == alone.rows[:]
        assert result.classes == alone.classes
        assert result.rows[:] != distill(nested, original, SampleSettings(ipc=IPC), seed=5).rows[:]

    def test_rows_that_were_no_candidates_are_marked(self, nested: Dataset, original: Dataset) -> None:
        marked = distill(nested, original, SampleSettings(ipc=IPC, pool_size=3)).pool
        outside = np.asarray(marked["pool_index"]) >= 3 * IPC
        assert outside.sum() == 3 * (PER_CLASS - 3 * IPC)
        np.testing.assert_array_equal(np.asarray(marked["difficulty_bin"]) == -1, outside)
        np.testing.assert_array_equal(np.isnan(marked["difficulty_log"]), outside)

    def test_pool_that_is_too_small_for_it_is_refused(self, nested: Dataset, original: Dataset) -> None:
        with pytest.raises(InputError, match="class 'zero' has 20 images in the pool, fewer than 6 × IPC 4"):
            distill(nested, original, SampleSettings(ipc=IPC, pool_size=6))
        with pytest.raises(InputError, match="the pool has no column 'pool_index'"):
            distill(nested.remove_columns("pool_index"), original, SampleSettings(ipc=IPC, pool_size=3))
