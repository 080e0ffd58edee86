"""The list of recipes and studies, and the file of one of them."""

import pytest
import yaml

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe import recipe_names
from ddgs_hub.recipe.listing import list_recipes, recipe_table, recipe_text
from ddgs_hub.recipe.study import study_names


def test_every_recipe_is_listed_with_what_it_is_for():
    entries = {entry.name: entry for entry in list_recipes()}
    assert list(entries) == recipe_names()
    assert (entries["digits"].image_size, entries["digits"].device) == (16, "CPU")
    assert (entries["imagewoof"].subset, entries["imagewoof"].device) == ("imagewoof", "GPU")
    assert entries["imagenette64"].device == "GPU"
    assert all(entry.purpose.endswith(".") for entry in entries.values())


def test_table_names_recipes_and_studies_in_short_lines():
    made = recipe_table()
    for name in (*recipe_names(), *study_names()):
        assert any(line.startswith(name) for line in made.text.splitlines())
    assert max(map(len, made.text.splitlines())) <= 130
    assert set(made.values) == {"recipes", "studies"}


@pytest.mark.parametrize("name", ["digits", "table1"])
def test_recipe_is_shown_with_its_comments(name):
    made = recipe_text(name)
    assert made.text.startswith("#")
    assert yaml.safe_load(made.values["yaml"])


@pytest.mark.parametrize("name", ["none", "../digits", "digits.yaml"])
def test_unknown_name_is_refused(name):
    with pytest.raises(InputError, match=r"no recipe and no study is called .*: choose one of digits, "):
        recipe_text(name)
