import copy

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Image, List, Value

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import undecoded
from ddgs_hub.core.soft_labels import soft_targets
from ddgs_hub.difficulty import Scorer, score
from ddgs_hub.difficulty.margins import Margins, margin
from ddgs_hub.difficulty.scorer import fold_of, image_digest


@pytest.fixture
def scorer(timm_folder) -> Scorer:
    return Scorer.from_pretrained(timm_folder)


def image_bytes(rows: Dataset) -> list[bytes]:
    return [cell["bytes"] for cell in undecoded(rows)["image"]]


def with_image(rows: Dataset, row: int, encoded: bytes) -> Dataset:
    """The rows with other bytes as the image of one."""
    cells = list(undecoded(rows)["image"])
    cells[row] = {"bytes": encoded, "path": None}
    return rows.remove_columns("image").add_column("image", cells).cast_column("image", Image())


def test_rows_gain_difficulty_and_keep_everything_else(scorer, rows):
    scored = score(rows, scorer)
    assert scored.column_names == [*rows.column_names, "difficulty"]
    assert scored.features["difficulty"] == Value("float32")
    assert scored.features["image"] == rows.features["image"]
    assert image_bytes(scored) == image_bytes(rows)
    difficulty = np.asarray(scored["difficulty"])
    assert difficulty.min() >= 0
    assert difficulty.max() <= 1
    again = score(scored, scorer)  # replaced, not added twice
    assert again.column_names == scored.column_names
    np.testing.assert_array_equal(again["difficulty"], difficulty)


@pytest.mark.usefixtures("without_bfloat16")
def test_neither_batches_nor_workers_nor_a_selection_change_it(scorer, rows):
    expected = np.asarray(score(rows, scorer)["difficulty"])
    np.testing.assert_allclose(score(rows, scorer, batch_size=7)["difficulty"], expected, atol=1e-6)
    np.testing.assert_array_equal(score(rows, scorer, num_workers=2)["difficulty"], expected)
    chosen = [150, 3, 77]
    np.testing.assert_allclose(score(rows.select(chosen), scorer)["difficulty"], expected[chosen], atol=1e-6)


def test_difficulty_is_exact_where_one_minus_p_is_rounded_away():
    logits = torch.tensor([[0.0, 60.0, 1.0], [0.0, -60.0, 1.0], [2.0, 2.0, 2.0]])
    difficulty = margin(logits, torch.tensor([1, 1, 1])).sigmoid()
    exact = torch.tensor([(1 + np.e) / (1 + np.e + np.exp(60.0)), 1.0, 2 / 3])
    torch.testing.assert_close(difficulty, exact.float(), rtol=1e-5, atol=0)
    assert (1 - logits[0].softmax(0)[1]).item() == 0


def test_a_corrupt_image_is_named_by_its_row(scorer, rows):
    with pytest.raises(InputError, match=r"^the image of row 131 cannot be decoded"):
        score(with_image(rows, 131, image_bytes(rows)[131][:60]), scorer)


def test_unusable_rows_are_refused(scorer, rows):
    with pytest.raises(InputError, match="no column 'label'"):
        score(rows.remove_columns("label"), scorer)
    with pytest.raises(InputError, match="no column 'image'"):
        score(rows.remove_columns("image"), scorer)
    with pytest.raises(InputError, match="not a ClassLabel"):
        score(rows.cast_column("label", Value("int64")), scorer)
    with pytest.raises(InputError, match="no rows"):
        score(rows.select([]), scorer)
    outside = rows.remove_columns("label").add_column("label", [*range(10)] * 19 + [0] * 9 + [-1])
    with pytest.raises(InputError, match="row 199 of the dataset has label -1, outside its 10 classes"):
        score(outside.cast(rows.features), scorer)
    mixed = rows.add_column("wnid", ["n01440764"] * 200).cast_column("wnid", Value("string"))
    other = [f"n0144076{k % 7}" for k in range(200)]
    with pytest.raises(InputError, match="others of its class have"):
        score(mixed.remove_columns("wnid").add_column("wnid", other), scorer)


def test_broken_weights_are_refused(scorer, rows):
    scorer.models[0].get_classifier().bias.fill_(torch.nan)
    with pytest.raises(InputError, match="returns no number for row 0"):
        score(rows, scorer)


class TestBfloat16:
    """CPUs without bfloat16 emulate it with the same rounding, so its exactness can be tested anywhere."""

    @pytest.fixture(autouse=True)
    def hardware_with_bfloat16(self, monkeypatch):
        monkeypatch.setattr("ddgs_hub.difficulty.margins.has_bfloat16", lambda device: True)

    def margins(self, scorer: Scorer, strength: float, rows: Dataset) -> tuple[torch.Tensor, torch.Tensor, Margins]:
        """Margins of all rows in float32 and by `Margins`, batch by batch, and the latter."""
        scorer.models[0].get_classifier().weight.mul_(strength)
        images = torch.stack([scorer.transform(row["image"].convert("RGB")) for row in rows])
        targets = torch.tensor(rows["label"])
        margins = Margins(scorer, 0)
        first, *others = zip(images.split(50), targets.split(50), strict=True)
        mixed = torch.cat([margins.calibrate(*first), *(margins.settled(*batch) for batch in others)])
        return margin(scorer.logits(images), targets), mixed, margins

    def test_a_confident_scorer_is_within_a_thousandth_and_mostly_in_bfloat16(self, scorer, rows):
        exact, mixed, margins = self.margins(scorer, 4, rows)
        assert 0 < margins.error < torch.inf
        assert (mixed.sigmoid() - exact.sigmoid()).abs().max() < 1e-3
        again = (mixed - exact).abs() < 1e-4  # only float32 is as near as that
        assert again[:50].all()
        assert 0.05 < again[50:].float().mean() < 0.5

    def test_an_undecided_scorer_is_left_in_float32(self, scorer, rows):
        exact, mixed, margins = self.margins(scorer, 0.5, rows)
        assert margins.error == torch.inf
        torch.testing.assert_close(mixed, exact, atol=1e-4, rtol=1e-4)

    def test_too_few_images_to_judge_are_left_in_float32(self, scorer, rows):
        _, _, margins = self.margins(scorer, 4, rows.select(range(20)))
        assert margins.error == torch.inf


def test_a_killed_scoring_goes_on_where_it_was(scorer, rows, tmp_path):
    """Difficulties that are in the file are not computed again, and the end is the same."""
    expected = score(rows, scorer, batch_size=20)["difficulty"]
    file = tmp_path / "progress.bin"
    transform, seen = scorer.transform, []

    def counted(image, stop_after=130):
        seen.append(image)
        if len(seen) > stop_after:
            raise KeyboardInterrupt
        return transform(image)

    scorer.transform = counted
    with pytest.raises(KeyboardInterrupt):
        score(rows, scorer, batch_size=20, progress=file)
    seen.clear()
    resumed = score(rows, scorer, batch_size=20, progress=file)
    assert len(seen) == 200 - 120 + 20  # the first batch is always scored
    np.testing.assert_array_equal(resumed["difficulty"], expected)


@pytest.mark.usefixtures("without_bfloat16")
def test_progress_of_other_images_or_weights_is_not_used(scorer, rows, tmp_path):
    file = tmp_path / "deep" / "progress.bin"
    first = score(rows, scorer, batch_size=50, progress=file)
    other_rows = rows.select(range(199, -1, -1))
    np.testing.assert_allclose(
        score(other_rows, scorer, batch_size=50, progress=file)["difficulty"], first["difficulty"][::-1], atol=1e-6
    )
    other = copy.copy(scorer)
    other.models = [copy.deepcopy(scorer.models[0])]
    other.models[0].get_classifier().weight.mul_(0.5)
    expected = score(other_rows, other, batch_size=50)["difficulty"]
    np.testing.assert_array_equal(score(other_rows, other, batch_size=50, progress=file)["difficulty"], expected)
    with pytest.raises(InputError, match="cannot write"):
        score(rows, scorer, progress=file / "below a file")


class TestSoftLabels:
    def logits(self, scorer: Scorer, rows: Dataset, fold: int = 0) -> torch.Tensor:
        return scorer.logits(torch.stack([scorer.transform(row["image"].convert("RGB")) for row in rows]), fold)

    def test_they_are_the_softmax_over_the_classes_of_the_dataset_alone(self, scorer, rows):
        """Digits 3 to 7 of a scorer of ten: the difficulty counts all ten, the soft labels five."""
        few = rows.filter(lambda label: 3 <= label <= 7, input_columns="label").select(range(30))
        labels, feature = [label - 3 for label in few["label"]], ClassLabel(names=["7", "6", "5", "4", "3"])
        few = few.remove_columns("label").add_column("label", [4 - label for label in labels], feature=feature)
        scored, plain = score(few, scorer, soft_labels=2), score(few, scorer)
        np.testing.assert_allclose(scored["difficulty"], plain["difficulty"], atol=2e-3)  # plain may be in bfloat16
        expected = self.logits(scorer, few)[:, [7, 6, 5, 4, 3]].softmax(1)
        top = expected.topk(2)
        np.testing.assert_array_equal(scored["soft_label_classes"], top.indices.numpy())
        np.testing.assert_array_equal(scored["soft_label_probabilities"], top.values.numpy().astype(np.float16))
        assert scored.features["soft_label_classes"] == List(Value("int32"))
        assert scored.features["soft_label_probabilities"] == List(Value("float16"))
        assert score(scored, scorer).column_names == plain.column_names  # another scorer's would contradict it

    def test_they_are_of_the_fold_that_the_difficulty_is_of(self, trained, rows):
        scorer = Scorer.from_pretrained(trained.folder)
        scored = score(rows, scorer, soft_labels=10)
        folds = np.array([fold_of(image_digest(image), 2) for image in image_bytes(rows)])
        assert 50 < folds.sum() < 150
        by_fold = np.stack([self.logits(scorer, rows, fold).softmax(1).numpy() for fold in range(2)])
        expected = by_fold[folds, np.arange(len(rows))]
        np.testing.assert_allclose(soft_targets(scored, "the rows"), expected, atol=2e-3)
        assert np.abs(by_fold[1 - folds, np.arange(len(rows))] - expected).max() > 0.1
        true = expected[np.arange(len(rows)), rows["label"]]
        np.testing.assert_allclose(scored["difficulty"], 1 - true, atol=1e-5)

    def test_a_killed_scoring_goes_on_where_it_was(self, scorer, rows, tmp_path):
        expected, transform, seen = score(rows, scorer, batch_size=20, soft_labels=3), scorer.transform, []

        def counted(image):
            seen.append(image)
            if len(seen) == 131:
                raise KeyboardInterrupt
            return transform(image)

        scorer.transform = counted
        with pytest.raises(KeyboardInterrupt):
            score(rows, scorer, batch_size=20, soft_labels=3, progress=tmp_path / "progress")
        resumed = score(rows, scorer, batch_size=20, soft_labels=3, progress=tmp_path / "progress")
        assert len(seen) == 131 + 200 - 120 + 20
        for name in ("difficulty", "soft_label_classes", "soft_label_probabilities"):
            np.testing.assert_array_equal(resumed[name], expected[name])
        other = score(rows, scorer, batch_size=20, soft_labels=2, progress=tmp_path / "progress")  # of another k
        np.testing.assert_array_equal(other["soft_label_classes"], np.array(expected["soft_label_classes"])[:, :2])

    def test_more_than_there_are_classes_are_refused(self, scorer, rows):
        with pytest.raises(InputError, match="soft_labels is 11, and the dataset has 10 classes"):
            score(rows, scorer, soft_labels=11)
