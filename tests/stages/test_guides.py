"""What a recipe's guide is given: by `generate`, and in a run, where what it looks at is made before the pool."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from threads import one_thread

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, undecoded, write_rows
from ddgs_hub.recipe import load_recipe
from ddgs_hub.stages.guides import require_guided_by, wanted_margins
from ddgs_hub.stages.pool import make_pool
from ddgs_hub.stages.pool_stages import BASE_POOL, DIT, ORIGINAL, POOL, SCORED_ORIGINAL, SCORER, pool_stages
from ddgs_hub.stages.run_folder import RunFolder
from ddgs_hub.stages.study.pools import study_stages
from ddgs_hub.stages.study.study_folder import StudyFolder

TINY = ["pool.num_steps=3", "pool.batch_size=8", "sample.ipc=2"]


@pytest.fixture(autouse=True, scope="module")
def in_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def scored(digits_folder, tmp_path_factory):
    """Two hundred digits, with difficulties that grow with their number."""
    rows = read_rows(digits_folder).select(range(200))
    folder = tmp_path_factory.mktemp("scored")
    write_rows(rows.add_column("difficulty", np.linspace(0, 1, 200, dtype=np.float32)), folder)
    return folder


def stages_of(*overrides):
    recipe = load_recipe("digits", overrides)
    stages = pool_stages(recipe, RunFolder(Path("run"), 10), per_class=50, plain_per_class=10, command="")
    return {stage.name: stage for stage in stages}


def test_what_a_guide_looks_at_is_made_before_the_pool():
    plain, modes, difficulty = (stages_of(f"pool.guide={guide}") for guide in ("none", "modes", "difficulty"))
    assert list(plain) == list(modes)
    assert list(plain).index(SCORED_ORIGINAL) > list(plain).index(BASE_POOL)  # as in runs of before guides
    assert list(difficulty).index(SCORER) < list(difficulty).index(SCORED_ORIGINAL) < list(difficulty).index(POOL)
    assert (plain[POOL].made_of, modes[POOL].made_of) == ((DIT,), (DIT, ORIGINAL))
    assert difficulty[POOL].made_of == (DIT, SCORED_ORIGINAL)
    assert modes[POOL].work.keywords == {"per_class": 50, "original": Path("run/original")}
    assert difficulty[POOL].work.keywords["guided_by"] == Path("run/scorer")
    for stages in (modes, difficulty):  # what the base generates is to be compared with
        assert stages[BASE_POOL].work.args[0].pool.guide == "none"
        assert "original" not in stages[BASE_POOL].work.keywords


def test_a_study_gives_a_guide_the_same_and_lets_it_steer_the_base():
    folders = StudyFolder(Path("study"), 20, sizes={"modes": 100, "difficulty": 40})
    stages = {stage.name: stage for stage in study_stages(load_recipe("digits"), folders, "")}
    modes, difficulty = stages["generate (modes)"], stages["generate (difficulty)"]
    assert modes.work.keywords == {"original": Path("study/original"), "per_class": 100, "revision": None}
    assert (modes.work.args[0].sample.ipc, modes.work.args[0].pool.guide, modes.work.args[1]) == (20, "modes", "digits")
    assert difficulty.work.keywords["original"] == folders.scored_original
    assert difficulty.work.keywords["guided_by"] == folders.scorer
    assert (modes.made_of, difficulty.made_of) == ((ORIGINAL,), (SCORED_ORIGINAL,))


@pytest.mark.parametrize("guide", ["modes", "difficulty"])
def test_a_pool_is_guided_by_what_is_given(guide, scored, timm_folder, tmp_path):
    plain = load_recipe("digits", TINY)
    recipe = replace(plain, pool=replace(plain.pool, guide=guide))
    given = {"per_class": 2, "original": scored, "guided_by": str(timm_folder)}
    made = make_pool(recipe, "digits", tmp_path / "pool", **given)
    assert made.text == f"20 images, 2 a class, 3 steps, guidance 2, guided by {guide}"
    assert made.values["guide"] == guide
    assert make_pool(plain, "digits", tmp_path / "plain", **given).values["guide"] == "none"
    ours, others = (undecoded(read_rows(tmp_path / name)) for name in ("pool", "plain"))
    assert ours.remove_columns("image")[:] == others.remove_columns("image")[:]  # the same seeds, and no scores
    assert all(a != b for a, b in zip(ours["image"], others["image"], strict=True))


def test_what_is_missing_is_said_before_anything_is_loaded(scored, digits_folder, tmp_path):
    def refused(guide, message, **given):
        recipe = load_recipe("digits", [*TINY, f"pool.guide={guide}"])
        with pytest.raises(InputError, match=message):
            make_pool(recipe, "nowhere/at-all", tmp_path / "pool", per_class=1, **given)

    refused("modes", r"pool.guide is modes, which is found in the original images .*: give --original FOLDER, or")
    refused("difficulty", r"pool.guide is difficulty, which is found in scored original images")
    refused("difficulty", r"the recipe names no scorer to guide by: give --scorer", original=scored)
    with_scorer = {"original": digits_folder, "guided_by": "timm/resnet50.tv_in1k"}
    refused("difficulty", r"has no difficulties, .*: score it \(`ddgs-hub score`\)", **with_scorer)
    require_guided_by(load_recipe("imagenette", ["pool.guide=difficulty"]), scored, "timm/resnet50.tv_in1k")


def test_an_original_without_a_class_of_the_pool_is_refused(scored, tmp_path):
    rows = read_rows(scored)
    write_rows(rows.select(np.flatnonzero(np.asarray(rows["label"]) != 4)), tmp_path / "without")
    recipe = load_recipe("digits", [*TINY, "pool.guide=modes"])
    with pytest.raises(InputError, match="has no image of the class '4', so nothing can steer its images"):
        make_pool(recipe, "digits", tmp_path / "pool", per_class=1, original=tmp_path / "without")


@pytest.mark.parametrize("wrong", [None, float("nan"), 1.5, -0.1])
def test_an_original_whose_difficulty_is_none_steers_nothing(wrong):
    with pytest.raises(InputError, match="difficulty of the original images"):
        wanted_margins(Dataset.from_dict({"difficulty": [0.5, wrong]}), [[0, 1]])
