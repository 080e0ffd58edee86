"""Makes the folder of a cross-fitted scorer a repository: adds a card, `provenance.json` and a model for timm."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from ddgs_hub.core.file_names import CONFIG_FILE, FOLDS_FILE, WEIGHTS_FILE, fold_folder
from ddgs_hub.core.schema import FOREIGN, MOST_CLASSES, Name, read_json
from ddgs_hub.hub.cards import ScorerCard, render_card
from ddgs_hub.hub.folders.repository_files import write_provenance, write_recipe, write_text
from ddgs_hub.hub.layout import CARD
from ddgs_hub.recipe import parse_recipe

AT_THE_TOP = (CONFIG_FILE, WEIGHTS_FILE)  # one of the models, where timm looks for it

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=FOREIGN)
class FoldAccuracies:
    """What `folds.json` of a scorer says of its accuracies, 0 … 1."""

    fold_accuracies: Annotated[list[Share], Field(max_length=1_000)]
    accuracy: Share


@dataclass(frozen=True, config=FOREIGN)
class LabelNames:
    """What `config.json` of a classifier says of its classes."""

    label_names: Annotated[list[Name], Field(max_length=MOST_CLASSES)]


def write_scorer(folder: str | Path, provenance: Mapping[str, Any]) -> None:
    """Writes provenance, recipe and card into the folder of a cross-fitted scorer, and a model for timm at its top.

    Args:
        folder: with `folds.json` and the folds.
        provenance: beside what a `Kind` asks for: recipe, versions, datasets and command, as in `ScorerCard`.

    Raises:
        InputError: `folds.json` or the model of fold 0 is missing, or damaged.
    """
    folder = Path(folder)
    folds = read_json(folder / FOLDS_FILE, FoldAccuracies, str(folder / FOLDS_FILE))
    for name in AT_THE_TOP:
        shutil.copyfile(folder / fold_folder(0) / name, folder / name)
    write_provenance(folder, provenance)
    write_recipe(folder, provenance)
    recipe = parse_recipe(provenance["recipe"])
    card = ScorerCard(
        recipe=recipe,
        name=f"{recipe.name}-ddgs-scorer",
        datasets=provenance["datasets"],
        classes=read_json(folder / CONFIG_FILE, LabelNames, str(folder / CONFIG_FILE)).label_names,
        fold_accuracies=folds.fold_accuracies,
        accuracy=folds.accuracy,
        command=provenance["command"],
        versions=provenance["versions"],
    )
    write_text(folder / CARD, render_card(card))
