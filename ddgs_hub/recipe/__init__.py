"""Recipes: everything that decides what a run makes, as nested dataclasses that are read from and written to YAML.

A recipe comes from a file of the package or of the user, with single values set on the command line. Every default is
the paper's value. This room loads neither torch nor datasets. It does not know what a stage does with its section, and
nothing of the Hub: the names of models and datasets are only text here.
"""

from ddgs_hub.recipe.guiding import DifficultyGuidance, ModeGuidance
from ddgs_hub.recipe.matching import OPERATIONS, DMSettings, IDCSettings, Metric
from ddgs_hub.recipe.protocol import Protocol, parse_network_name
from ddgs_hub.recipe.reading import (
    changed_keys,
    completed,
    load_recipe,
    parse_recipe,
    parse_section,
    recipe_in,
    recipe_names,
    recipe_to_dict,
    recipe_to_yaml,
    values_of_run,
    with_overrides,
)
from ddgs_hub.recipe.sections import (
    AutoencoderTraining,
    CodecSettings,
    DataSettings,
    FinetuneSettings,
    HubSettings,
    ModelSettings,
    PoolSettings,
    Pretraining,
    Recipe,
    SampleSettings,
    ScorerTraining,
    ScoreSettings,
)

__all__ = [
    "OPERATIONS",
    "AutoencoderTraining",
    "CodecSettings",
    "DMSettings",
    "DataSettings",
    "DifficultyGuidance",
    "FinetuneSettings",
    "HubSettings",
    "IDCSettings",
    "Metric",
    "ModeGuidance",
    "ModelSettings",
    "PoolSettings",
    "Pretraining",
    "Protocol",
    "Recipe",
    "SampleSettings",
    "ScoreSettings",
    "ScorerTraining",
    "changed_keys",
    "completed",
    "load_recipe",
    "parse_network_name",
    "parse_recipe",
    "parse_section",
    "recipe_in",
    "recipe_names",
    "recipe_to_dict",
    "recipe_to_yaml",
    "values_of_run",
    "with_overrides",
]
