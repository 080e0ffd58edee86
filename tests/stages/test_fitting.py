"""Recipes that do not fit the images they are carried out on are refused, with the way out; those that fit are not."""

import json
import shlex

import pytest
from image_folders import draw_photos

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe import load_recipe
from ddgs_hub.stages.fitting import refuse_unfit
from ddgs_hub.stages.run import Run

WAY_OUT = "`ddgs-hub init {} --output recipe.yaml` writes a recipe that fits them"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return str(draw_photos(tmp_path_factory.mktemp("own") / "my photos", images=3, validation=1, size=96))


def recipe_on(name: str, source: str, *values: str):
    return load_recipe(name, [f"data.original={json.dumps(source)}", *values])


def test_digits_fit_their_recipe(digits_folder):
    for source in ("digits", str(digits_folder)):
        refuse_unfit(recipe_on("digits", source), size_is_meant=False)


def test_base_of_other_classes_is_refused_before_anything_is_written(photos, tmp_path):
    with pytest.raises(InputError) as refused:
        Run(recipe_on("digits", photos), tmp_path / "run", size_is_meant=False)()
    assert "makes images of 10 classes (0, 1, 2, …) at 16 px, and" in str(refused.value)
    assert "has 5 classes (crimson, goldenrod, purple, …)" in str(refused.value)
    assert WAY_OUT.format(shlex.quote(photos)) in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_soft_labels_that_nobody_makes_are_refused():
    with pytest.raises(InputError, match=r"evaluate\.labels is soft, and score\.soft_labels says of how many classes"):
        refuse_unfit(recipe_on("digits", "digits", "evaluate.labels=soft"), size_is_meant=True)
    refuse_unfit(recipe_on("digits", "digits", "evaluate.labels=soft", "score.soft_labels=10"), size_is_meant=True)


def test_base_at_another_size_is_refused():
    with pytest.raises(InputError, match=r"makes images of 16 px, and data.image_size is 32: set that to 16, or"):
        refuse_unfit(recipe_on("digits", "digits", "data.image_size=32"), size_is_meant=True)


def test_size_of_a_recipe_of_the_package_is_compared_with_the_images(photos):
    recipe = recipe_on("digits", photos, "model.base=null")
    with pytest.raises(InputError, match=r"image_size of 16 px, and the images of .* have 96 px: .*--set data.image_"):
        refuse_unfit(recipe, size_is_meant=False)
    refuse_unfit(recipe, size_is_meant=True)


def test_subset_whose_classes_are_not_there_is_refused(photos):
    with pytest.raises(InputError, match="cannot find ImageNette in the 5 classes") as refused:
        refuse_unfit(recipe_on("imagenette64", photos), size_is_meant=False)
    assert WAY_OUT.format(shlex.quote(photos)) in str(refused.value)


def test_subset_of_real_images_fits(shared_data):
    refuse_unfit(recipe_on("imagenette64", str(shared_data("imagenette224"))), size_is_meant=False)


def test_scorer_of_other_classes_is_refused(photos, timm_folder):
    scorer = f"score.scorer={timm_folder}"
    refuse_unfit(recipe_on("digits", "digits", scorer), size_is_meant=False)
    with pytest.raises(InputError, match="class 'crimson' is none of the 10 classes of the scorer") as refused:
        refuse_unfit(recipe_on("digits", photos, "model.base=null", scorer), size_is_meant=True)
    assert WAY_OUT.format(shlex.quote(photos)) in str(refused.value)
