"""How many images there will be, from their source, before anything is prepared."""

from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset

from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.recipe import Recipe, load_recipe
from ddgs_hub.stages.study.effort import Counts, prepared_counts, source_counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> Path:
    """A hundred training images and forty others, in Hub layout."""
    folder = tmp_path_factory.mktemp("few")
    rows: Dataset = read_rows(digits_folder)
    write_rows(rows.select(range(100)), folder)
    write_rows(rows.select(range(100, 140)), folder, "validation")
    return folder


def recipe_of(source: str, **more: object) -> Recipe:
    recipe = load_recipe("digits")
    return replace(recipe, data=replace(recipe.data, original=source, **more))


def test_a_folder_is_counted_without_reading_its_images(folder):
    expected = source_counts(recipe_of(str(folder)))
    there = prepared_counts(folder)
    assert expected == Counts(classes=10, train=100, largest_class=10, tests=40)
    assert (there.classes, there.train, there.tests) == (10, 100, 40)
    assert there.largest_class >= 10


def test_what_is_on_the_hub_or_is_divided_later_is_not_asked(folder):
    assert source_counts(recipe_of("acme/photos")) is None
    assert source_counts(recipe_of(str(folder), validation_share=0.1)) is None
