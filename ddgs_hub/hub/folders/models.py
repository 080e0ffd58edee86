"""The folder of a DiT or of a scorer as a repository: a card and `provenance.json`, beside the files that are there."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HTTPError
from pydantic import Field
from pydantic.dataclasses import dataclass

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import CLASSES_FILE, CONFIG_FILE, FOLDS_FILE, WEIGHTS_FILE
from ddgs_hub.core.front_matter import MOST_OF_A_CARD, read_front_matter
from ddgs_hub.core.patience import page_of
from ddgs_hub.core.schema import FOREIGN, MOST_CLASSES, Index, Name, read_bytes, read_json, read_values
from ddgs_hub.core.tokens import given_token
from ddgs_hub.hub.cards import DiTCard, ScorerCard
from ddgs_hub.hub.folders.distilled import write_model_card, write_provenance
from ddgs_hub.hub.layout import CARD, PROVENANCE
from ddgs_hub.hub.provenance import License, Provenance, parse_provenance
from ddgs_hub.recipe import parse_recipe

SAID = ("datasets", "steps", "command")  # what the card of a DiT says, beside its recipe and license
AT_THE_TOP = (CONFIG_FILE, WEIGHTS_FILE)  # of a scorer: one of its models, where timm looks for it


Names = Annotated[list[Name], Field(max_length=MOST_CLASSES)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=FOREIGN)
class Classes:
    """What `classes.json` of a DiT says: the names of the classes, and their numbers in the DiT."""

    names: Names
    dit_ids: Annotated[list[Index], Field(max_length=MOST_CLASSES)]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.dit_ids):
            raise ValueError(f"there are {len(self.names)} names for {len(self.dit_ids)} classes")


@dataclass(frozen=True, config=FOREIGN)
class Folds:
    """What `folds.json` of a scorer says of its accuracies."""

    fold_accuracies: Annotated[list[Share], Field(max_length=1_000)]
    accuracy: Share


@dataclass(frozen=True, config=FOREIGN)
class Labels:
    """What `config.json` of a classifier says of its classes."""

    label_names: Names


def write_dit(folder: str | Path, provenance: Mapping[str, Any]) -> None:
    """Writes `provenance.json` into the folder of a fine-tuned DiT, and the card that follows from it.

    Args:
        folder: with the pipeline, the adapter, and `classes.json`.
        provenance: beside what a `Kind` asks for: recipe, versions, base_model, license, datasets, steps and command,
            as in `DiTCard`.
    """
    folder = Path(folder)
    write_provenance(folder, provenance)
    write_model_card(folder, dit_card(parse_provenance(provenance, str(folder)), read_classes(folder)))


def dit_card(provenance: Provenance, classes: Classes) -> DiTCard:
    """The card that follows from `provenance.json` and `classes.json` of a DiT.

    Raises:
        InputError: they do not say all that the card says.
    """
    recipe = parse_recipe(provenance.recipe or {}, where=f"the recipe in {PROVENANCE}")
    terms, told = provenance.license, {name: getattr(provenance, name) for name in SAID}
    for name, value in {"license": terms, **told}.items():
        if value is None:
            again = "remove it, and write it again"
            raise InputError(f"{PROVENANCE} of the DiT does not say all that a card says ('{name}'): {again}")
    return DiTCard(
        recipe=recipe,
        name=f"{recipe.name}-ddgs-dit",
        base_model=provenance.base_model,
        class_ids=dict(zip(classes.names, classes.dit_ids, strict=True)),
        versions=provenance.versions,
        **told,
        **(asdict(terms) if terms else {}),
    )


def read_classes(folder: Path) -> Classes:
    """The classes that a DiT was fine-tuned on.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    return read_json(folder / CLASSES_FILE, Classes, str(folder / CLASSES_FILE))


def write_scorer(folder: str | Path, provenance: Mapping[str, Any]) -> None:
    """Writes `provenance.json` and the card into the folder of a cross-fitted scorer, and a model for timm at its top.

    Args:
        folder: with `folds.json` and the folds.
        provenance: beside what a `Kind` asks for: recipe, versions, datasets and command, as in `ScorerCard`.
    """
    folder = Path(folder)
    folds = read_json(folder / FOLDS_FILE, Folds, str(folder / FOLDS_FILE))
    for name in AT_THE_TOP:
        shutil.copyfile(folder / "fold-0" / name, folder / name)
    write_provenance(folder, provenance)
    recipe = parse_recipe(provenance["recipe"])
    card = ScorerCard(
        recipe=recipe,
        name=f"{recipe.name}-ddgs-scorer",
        datasets=provenance["datasets"],
        classes=read_json(folder / AT_THE_TOP[0], Labels, str(folder / AT_THE_TOP[0])).label_names,
        fold_accuracies=folds.fold_accuracies,
        accuracy=folds.accuracy,
        command=provenance["command"],
        versions=provenance["versions"],
    )
    write_model_card(folder, card)


def license_of(base: str, revision: str | None = None) -> dict[str, str]:
    """The license that the card of a model on the Hub names: `license`, and `license_name` and `license_link`.

    Where the card cannot be read, or names none: "other", with a link to the model.
    """
    page = page_of(base, "model")
    try:
        file = Path(hf_hub_download(base, CARD, revision=revision, token=given_token()))
        card = read_bytes(file, CARD, MOST_OF_A_CARD)
        metadata = read_front_matter(card.decode("utf-8"), f"the card of {base}")
        told = read_values(metadata, License, f"the license in the card of {base}")
    except (OSError, ValueError, HTTPError):  # there is none, the Hub cannot be reached, or it is no YAML
        return {"license": "other", "license_name": f"that of {base}", "license_link": page}
    found = {key: value for key, value in asdict(told).items() if value}
    link = found.get("license_link", "")
    if link and not link.startswith(("https://", "http://")):
        found["license_link"] = f"{page}/blob/main/{link}"  # a file of that repository
    return found
