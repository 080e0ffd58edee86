import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from clients import environment, launch
from datasets import Dataset
from safetensors.torch import load_file

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import undecoded
from ddgs_hub.difficulty import Scorer, score, train_scorer
from ddgs_hub.difficulty.scorer import fold_of, image_digest
from ddgs_hub.difficulty.scorer_training import random_crops
from ddgs_hub.original.sources import digits
from ddgs_hub.recipe import ScorerTraining, load_recipe


@pytest.fixture
def short(tiny: ScorerTraining) -> ScorerTraining:
    return dataclasses.replace(tiny, epochs=1)


def folds_of(rows: Dataset, count: int) -> np.ndarray:
    return np.array([fold_of(image_digest(cell["bytes"]), count) for cell in undecoded(rows)["image"]])


def weights(folder, fold: int) -> dict[str, torch.Tensor]:
    return load_file(folder / f"fold-{fold}" / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def with_labels(rows: Dataset, labels: np.ndarray) -> Dataset:
    return rows.remove_columns("label").add_column("label", labels).cast_column("label", rows.features["label"])


def test_a_model_has_not_seen_the_images_of_its_fold(rows, short, tmp_path):
    """Whatever the labels of fold 0 say, model 0 comes out the same; model 1, which learns from them, does not."""
    train_scorer(rows, tmp_path / "true", short)
    labels = np.asarray(rows["label"])
    fold_0 = folds_of(rows, 2) == 0
    train_scorer(with_labels(rows, np.where(fold_0, 9 - labels, labels)), tmp_path / "false", short)
    assert 60 < fold_0.sum() < 140
    assert same(weights(tmp_path / "true", 0), weights(tmp_path / "false", 0))
    assert not same(weights(tmp_path / "true", 1), weights(tmp_path / "false", 1))


@pytest.fixture(scope="module")
def by_fold(rows, trained) -> list[np.ndarray]:
    """Difficulties of all rows under each of the two models alone."""
    singles = [Scorer.from_pretrained(trained.folder / f"fold-{k}") for k in (0, 1)]
    return [np.asarray(score(rows, single)["difficulty"]) for single in singles]


def test_every_image_is_scored_by_the_model_of_its_fold(rows, trained, by_fold):
    """In any order, in any selection: nothing but the image's bytes decides."""
    expected = np.where(folds_of(rows, 2) == 0, *by_fold)
    assert np.abs(by_fold[0] - by_fold[1]).max() > 0.5
    scorer = Scorer.from_pretrained(trained.folder)
    assert scorer.folds == 2
    np.testing.assert_allclose(score(rows, scorer)["difficulty"], expected, atol=1e-5)
    order = np.random.default_rng(0).permutation(200)[:90]
    some = score(rows.select(order), scorer, batch_size=16)
    np.testing.assert_allclose(some["difficulty"], expected[order], atol=1e-5)


def test_memorised_images_look_easy_and_cross_fitted_ones_do_not(rows, by_fold):
    """Why it is done: the model that saw an image is far surer of it than the model that did not."""
    folds = folds_of(rows, 2)
    assert (np.where(folds == 1, *by_fold) > 0.1).mean() < 0.05
    assert (np.where(folds == 0, *by_fold) > 0.1).mean() > 0.15


def test_the_result_says_how_good_the_models_are(rows, tiny, trained):
    scorer = Scorer.from_pretrained(trained.folder)
    folds, labels = folds_of(rows, 2), np.asarray(rows["label"])
    images = torch.stack([scorer.transform(row["image"].convert("RGB")) for row in rows])
    right = [scorer.logits(images, k).argmax(1).numpy() == labels for k in (0, 1)]
    assert trained.fold_accuracies == tuple(right[k][folds == k].mean() for k in (0, 1))
    assert trained.accuracy == np.where(folds == 0, *right).mean()
    assert 0.8 < trained.accuracy < 1
    saved = json.loads((trained.folder / "folds.json").read_text())
    assert saved["accuracy"] == trained.accuracy
    assert saved["fold_accuracies"] == list(trained.fold_accuracies)
    assert saved["training"] == dataclasses.asdict(tiny)
    assert (saved["folds"], saved["seed"], saved["flip"]) == (2, 3, False)


def test_who_may_read_the_other_files_may_read_the_weights(trained):
    files = [path for path in trained.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    assert len({path.stat().st_mode for path in files}) == 1


def test_a_seed_makes_the_same_weights_and_leaves_the_global_one_alone(rows, short, tmp_path):
    state = torch.get_rng_state()
    train_scorer(rows, tmp_path / "a", short, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    train_scorer(rows, tmp_path / "b", short, seed=5)
    train_scorer(rows, tmp_path / "c", short, seed=6)
    for fold in (0, 1):
        assert same(weights(tmp_path / "a", fold), weights(tmp_path / "b", fold))
        assert not same(weights(tmp_path / "a", fold), weights(tmp_path / "c", fold))


def test_a_tenth_of_the_digits_is_above_a_tenth(tmp_path):
    """The recipe's own architecture and schedule, in fewer folds and epochs."""
    training = dataclasses.replace(load_recipe("digits").score.training, folds=2, epochs=7)
    rows = digits("train")
    result = train_scorer(rows, tmp_path / "scorer", training)
    difficulty = np.asarray(score(rows, Scorer.from_pretrained(result.folder))["difficulty"])
    assert result.accuracy > 0.85
    assert (difficulty > 0.1).mean() >= 0.1
    assert (np.histogram(difficulty, np.arange(11) / 10)[0] > 0).all()


def test_unusable_rows_and_settings_are_refused(rows, short, tmp_path):
    labels = np.asarray(rows["label"])
    cells = list(undecoded(rows)["image"])
    cells[17] = {"bytes": b"no image", "path": None}
    corrupt = rows.remove_columns("image").add_column("image", cells).cast_column("image", rows.features["image"])
    lonely = np.flatnonzero(labels == 7)[:1].tolist()

    def refused(
        because: str, rows: Dataset = rows, training: ScorerTraining = short, output=tmp_path / "scorer"
    ) -> bool:
        with pytest.raises(InputError, match=because):
            train_scorer(rows, output, training)
        return not output.exists()

    assert refused("image of row 17 cannot be decoded", corrupt)
    assert refused("class '7' has no image to train on", rows.filter(lambda label: label != 7, input_columns="label"))
    assert refused(
        r"all images of class '7' \(1\) are in one of the 2 folds",
        rows.select([*np.flatnonzero(labels != 7).tolist(), *lonely]),
    )
    assert refused("no column 'label'", rows.remove_columns("label"))
    assert refused("cannot make 'no_such_net'", training=dataclasses.replace(short, model="no_such_net"))
    assert refused("no_such_argument", training=dataclasses.replace(short, model_args={"no_such_argument": 1}))
    (tmp_path / "file").touch()
    assert refused("cannot write", output=tmp_path / "file" / "scorer")


@pytest.mark.parametrize("flip", [False, True])
def test_random_crops_stay_inside_the_image(flip):
    boxes = random_crops(2000, 0.5, flip, torch.Generator().manual_seed(0))
    width, height = boxes[:, 0, 0], boxes[:, 1, 1]
    assert (boxes[:, 0, 2].abs() + width.abs() <= 1 + 1e-6).all()
    assert (boxes[:, 1, 2].abs() + height <= 1 + 1e-6).all()
    area = width.abs() * height
    assert 0.42 < area.min() < 0.6  # a crop wider than the image is cut to it
    assert area.max() > 0.95
    assert (width.abs() / height).min() >= 0.75 - 1e-6
    assert (width.abs() / height).max() <= 4 / 3 + 1e-6
    assert (width < 0).float().mean().item() == pytest.approx(0.5 if flip else 0, abs=0.05)
    assert boxes[:, 0, 1].abs().max() == boxes[:, 1, 0].abs().max() == 0


TWO_PROCESSES = """
import sys
import numpy as np
from accelerate import Accelerator
from ddgs_hub.difficulty import Scorer, score, train_scorer
from ddgs_hub.recipe import ScorerTraining
from ddgs_hub.original.sources import digits

accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == 2
rows = digits("train").select(range(200))
folder = sys.argv[1]
training = ScorerTraining(model="test_resnet", image_size=16, folds=2, epochs=1, batch_size=50)
train_scorer(rows, f"{folder}/scorer", training)
scorer = Scorer.from_pretrained(f"{folder}/scorer", device="cpu")
scored = score(rows, scorer, batch_size=32, progress=f"{folder}/progress.bin")
np.save(f"{folder}/{accelerator.process_index}.npy", scored["difficulty"])
"""


def test_two_processes_train_one_scorer_and_score_every_row(rows, tmp_path, free_port):
    env = environment(PYTHONPATH=str(Path(__file__).parents[2]))
    done = launch(2, ["-c", TWO_PROCESSES, str(tmp_path)], env=env, port=free_port)
    assert done.returncode == 0, done.stderr
    expected = score(rows, Scorer.from_pretrained(tmp_path / "scorer"), batch_size=32)["difficulty"]
    for process in (0, 1):
        np.testing.assert_allclose(np.load(tmp_path / f"{process}.npy"), expected, atol=1e-6)
