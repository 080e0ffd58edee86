"""The target `auto`: proxies on candidate selections of real digits, tested on digits that none of them has seen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.hub import open_pool
from ddgs_hub.original.digits import digits_split
from ddgs_hub.recipe import Protocol, SampleSettings
from ddgs_hub.stages import auto_target
from ddgs_hub.stages.auto_target import Trial, Tried, best_mixture, choose_target, train_proxies, trend
from ddgs_hub.stages.repository import read_chosen
from ddgs_hub.stages.sample import make_distilled, sample_sets

IPC, POOL, CLASSES = 4, 20, 4  # images a class
QUICK = Trial(
    mixtures=(1.0,),
    repeats=3,
    held_out=30,
    proxy=Protocol(
        network="convnet", width=16, image_size=16, crop_pct=1.0, epochs=25, batch_size=16, evaluations=1, flip=False
    ),
)
AUTO = SampleSettings(ipc=IPC, distribution="auto")


def by_class(labels):
    return [np.flatnonzero(np.asarray(labels) == label) for label in range(CLASSES)]


@pytest.fixture(scope="module")
def digits():
    return digits_split("train")


def write(folder, digits, *, spoilt: bool):
    """A scored original, and a pool: 6 good digits of each class and 14 that are spoilt, which the scorer finds hard.

    Of the original 95 % are easy, so its distribution leaves the spoilt ones out. Without `spoilt` all of the pool are
    good, and their difficulties mean nothing.
    """
    rng, groups = np.random.default_rng(0), by_class(digits["label"])
    pool, original = [], []
    for label, group in enumerate(groups):
        for place in range(POOL):
            bad = spoilt and place >= 6
            of = groups[(label + 1 + place % 3) % CLASSES] if bad else group
            difficulty = rng.uniform(0.8, 0.9) if (bad if spoilt else place >= 6) else rng.uniform(0.01, 0.02)
            pool.append((int(of[place]), label, difficulty, place))
        for place, row in enumerate(group[POOL:80]):
            original.append((int(row), label, 0.9 if place % 20 == 0 else rng.uniform(0.01, 0.02)))
    names = [str(label) for label in range(CLASSES)]
    features = {
        "image": Image(),
        "label": ClassLabel(names=names),
        "difficulty": Value("float32"),
        "pool_index": Value("int64"),
    }

    images = digits.cast_column("image", Image(decode=False))["image"]
    columns = ("image", "label", "difficulty", "pool_index")
    rows = Dataset.from_list(
        [dict(zip(columns, (images[row], *rest), strict=True)) for row, *rest in pool], features=Features(features)
    )
    write_rows(rows, folder / "pool")
    del features["pool_index"]
    rows = Dataset.from_list(
        [dict(zip(columns[:3], (images[row], *rest), strict=True)) for row, *rest in original],
        features=Features(features),
    )
    write_rows(rows, folder / "original")
    return folder / "pool", folder / "original"


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, digits):
    return write(tmp_path_factory.mktemp("spoilt"), digits, spoilt=True)


@pytest.fixture(scope="module")
def choice(spoilt):
    return choose_target(open_pool(*spoilt), spoilt[1], AUTO, 0, QUICK)


def test_what_is_clearly_better_is_chosen(choice):
    assert (choice.settings.distribution, choice.settings.mixture) == ("mixture", 1.0)
    of_pool, mixed = choice.tried
    assert of_pool.mixture is None
    assert of_pool.difference == of_pool.standard_error == 0
    gaps = np.subtract(mixed.accuracies, of_pool.accuracies)
    assert mixed.difference == pytest.approx(gaps.mean())
    assert mixed.difference > 10
    assert mixed.standard_error == pytest.approx(gaps.std(ddof=1) / 3**0.5)


def test_the_trend_is_the_mean_slope_of_the_repeats():
    slope, error = trend([-1, 0, 1], [[30, 32, 28], [31, 30, 29], [32, 34, 36]])
    assert slope == pytest.approx(2)  # 1, 1 and 4
    assert error == pytest.approx(1)
    shifted = trend([-1, 0, 1], [[40, 2, 28], [41, 0, 29], [42, 4, 36]])
    assert shifted == pytest.approx((slope, error))  # what repeats differ in as a whole does not count


def test_of_the_side_where_accuracy_rises_the_best_is_taken():
    tried = [Tried(alpha, [], gain, 0.1) for alpha, gain in ((None, 0.0), (-1.0, 2.0), (-0.5, 3.0), (0.5, 0.4))]
    assert best_mixture(tried, rises=False) == -0.5
    assert best_mixture(tried, rises=True) == 0.5
    assert best_mixture(tried[:3], rises=True) is None  # nothing there: the pool


def test_the_same_arguments_give_the_same_choice(choice, spoilt):
    assert choose_target(open_pool(*spoilt), spoilt[1], AUTO, 0, QUICK) == choice


def test_within_noise_the_pool_is_taken_at_random(tmp_path, digits):
    pool, original = write(tmp_path, digits, spoilt=False)
    found = choose_target(open_pool(pool, original), original, AUTO, 0, QUICK)
    assert found.settings.distribution == "pool"
    assert "pool, at random" in found.text


def test_a_pool_without_choice_takes_one_network_a_repeat(spoilt, monkeypatch):
    trained, train = [], auto_target._train_proxy
    monkeypatch.setattr(auto_target, "_train_proxy", lambda *given: trained.append(given[-1]) or train(*given))
    quick = replace(QUICK, mixtures=(-1.0, 1.0), proxy=replace(QUICK.proxy, epochs=1))
    found = choose_target(open_pool(*spoilt), spoilt[1], replace(AUTO, ipc=POOL), 0, quick)
    assert trained == [0, 1, 2]
    assert found.settings.distribution == "pool"


def test_originals_that_are_in_a_selection_are_not_tested_on(spoilt):
    pool, _ = spoilt  # the pool as its own original: each image may be trained on
    drawn = np.array([label * POOL + place for label in range(CLASSES) for place in range(IPC)])
    _, held_out = train_proxies(
        open_pool(pool, pool), pool, {("first", 0): drawn}, replace(QUICK, held_out=POOL), ipc=IPC, seed=0
    )
    images = [row["bytes"] for row in read_rows(pool).cast_column("image", Image(decode=False))["image"]]
    taken = {images[index] for index in drawn}
    assert held_out == sum(image not in taken for image in images) < len(images)


def test_a_set_tells_what_was_tried(spoilt, tmp_path, monkeypatch):
    monkeypatch.setattr(auto_target, "TRIAL", QUICK)
    made = make_distilled(AUTO, *spoilt, tmp_path / "set")
    assert made.values["auto"]["chosen"] == {"distribution": "mixture", "mixture": 1.0}
    assert "auto: mixture, α = 1; 3 proxies each" in made.text
    noted = json.loads((tmp_path / "set" / "sampling.json").read_text())
    assert noted["sample"]["distribution"] == "mixture"
    assert noted["auto"] == made.values["auto"]
    again = make_distilled(replace(AUTO, distribution="mixture", mixture=1.0), *spoilt, tmp_path / "again")
    assert (read_rows(tmp_path / "set")["difficulty"]) == read_rows(tmp_path / "again")["difficulty"]
    assert "auto" not in again.values


def test_a_card_tells_how_its_target_was_chosen(spoilt, tmp_path, monkeypatch):
    monkeypatch.setattr(auto_target, "TRIAL", QUICK)
    made = sample_sets([AUTO], *spoilt, tmp_path / "set", generator="a hand", license="mit", pretty_name="Digits")
    card = (Path(made.values["repository"]) / "README.md").read_text(encoding="utf-8")
    assert "\n| How that was chosen | auto: mixture, α = 1; 3 proxies each, tested on " in card
    assert read_chosen(tmp_path / "set") in made.text
    mixture = replace(AUTO, distribution="mixture", mixture=1.0)
    made = sample_sets([mixture], *spoilt, tmp_path / "again", generator="a hand", license="mit", pretty_name="Digits")
    assert "How that was chosen" not in (Path(made.values["repository"]) / "README.md").read_text(encoding="utf-8")
    assert read_chosen(tmp_path / "again") == ""


@pytest.mark.parametrize("originals", [None, "nowhere"])
def test_without_original_images_it_says_so(spoilt, originals):
    with pytest.raises(InputError, match="give --original, a folder of original images"):
        choose_target(open_pool(*spoilt), originals, AUTO, 0, QUICK)


def test_scores_without_images_are_refused(spoilt, tmp_path):
    write_rows(read_rows(spoilt[1], names=["label", "difficulty"]), tmp_path / "scores")
    with pytest.raises(InputError, match="scores has none: give --original"):
        choose_target(open_pool(*spoilt), tmp_path / "scores", AUTO, 0, QUICK)


def test_originals_in_another_order_of_classes_are_refused(spoilt, tmp_path):
    rows = read_rows(spoilt[1])
    features = rows.features.copy()
    features["label"] = ClassLabel(names=[str(label) for label in reversed(range(CLASSES))])
    write_rows(rows.cast(features), tmp_path / "turned")
    with pytest.raises(InputError, match="turned has other classes than the pool, or in another order"):
        choose_target(open_pool(*spoilt), tmp_path / "turned", AUTO, 0, QUICK)


def test_a_distilled_set_is_not_taken_for_its_original(spoilt, tmp_path):
    write_rows(read_rows(spoilt[0]), tmp_path / "set")  # as a set that was published with its original's difficulties
    write_rows(read_rows(spoilt[1], names=["label", "difficulty"]), tmp_path / "scores")
    (tmp_path / "scores" / "data").rename(tmp_path / "set" / "original")
    with pytest.raises(InputError, match="is a distilled set: give --original"):
        choose_target(open_pool(spoilt[0], tmp_path / "set"), tmp_path / "set", AUTO, 0, QUICK)


def test_a_set_without_its_pool_is_not_taken_for_its_original_either(spoilt, tmp_path):
    make_distilled(replace(AUTO, distribution="pool"), *spoilt, tmp_path / "set", repository=False)
    with pytest.raises(InputError, match="is a distilled set: give --original"):
        choose_target(open_pool(*spoilt), tmp_path / "set", AUTO, 0, QUICK)
