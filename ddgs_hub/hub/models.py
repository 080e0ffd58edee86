"""The folder of a DiT or of a scorer as a repository: a card and `provenance.json`, beside the files that are there."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard as HubModelCard
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HTTPError

from ddgs_hub.core.tokens import given_token
from ddgs_hub.hub.cards import ModelCard, ScorerCard
from ddgs_hub.hub.export import CARD, write_model_card, write_provenance
from ddgs_hub.hub.patience import page_of
from ddgs_hub.recipe import parse_recipe

ADAPTER = "adapter.safetensors"
CLASSES = "classes.json"
FOLDS = "folds.json"
LICENSE = ("license", "license_name", "license_link")  # keys of a card's front matter
AT_THE_TOP = ("config.json", "model.safetensors")  # of a scorer: one of its models, where timm looks for it


def write_dit(folder: str | Path, provenance: Mapping[str, Any]) -> None:
    """Writes `provenance.json` into the folder of a fine-tuned DiT, and the card that follows from it.

    Args:
        folder: with the pipeline, the adapter, and `classes.json`.
        provenance: beside what a `Kind` asks for: recipe, versions, base_model, license, datasets, steps and command,
            as in `ModelCard`.
    """
    folder = Path(folder)
    write_provenance(folder, provenance)
    write_model_card(folder, dit_card(provenance, _read_json(folder / CLASSES)))


def dit_card(provenance: Mapping[str, Any], classes: Mapping[str, Any]) -> ModelCard:
    """The card that follows from `provenance.json` and `classes.json` of a DiT."""
    recipe = parse_recipe(provenance["recipe"], where="the recipe in provenance.json")
    return ModelCard(
        recipe=recipe,
        name=f"{recipe.name}-ddgs-dit",
        base_model=provenance["base_model"],
        datasets=provenance["datasets"],
        class_ids=dict(zip(classes["names"], classes["dit_ids"], strict=True)),
        steps=provenance["steps"],
        command=provenance["command"],
        versions=provenance["versions"],
        **provenance["license"],
    )


def write_scorer(folder: str | Path, provenance: Mapping[str, Any]) -> None:
    """Writes `provenance.json` and the card into the folder of a cross-fitted scorer, and a model for timm at its top.

    Args:
        folder: with `folds.json` and the folds.
        provenance: beside what a `Kind` asks for: recipe, versions, datasets and command, as in `ScorerCard`.
    """
    folder = Path(folder)
    for name in AT_THE_TOP:
        shutil.copyfile(folder / "fold-0" / name, folder / name)
    write_provenance(folder, provenance)
    recipe, folds = parse_recipe(provenance["recipe"]), _read_json(folder / FOLDS)
    card = ScorerCard(
        recipe=recipe,
        name=f"{recipe.name}-ddgs-scorer",
        datasets=provenance["datasets"],
        classes=_read_json(folder / AT_THE_TOP[0])["label_names"],
        fold_accuracies=folds["fold_accuracies"],
        accuracy=folds["accuracy"],
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
        data = HubModelCard.load(hf_hub_download(base, CARD, revision=revision, token=given_token())).data.to_dict()
    except (OSError, ValueError, HTTPError):  # there is none, the Hub cannot be reached, or it is no YAML
        data = {}
    if not isinstance(data.get("license"), str):
        return {"license": "other", "license_name": f"that of {base}", "license_link": page}
    found = {key: str(data[key]) for key in LICENSE if data.get(key)}
    link = found.get("license_link", "")
    if link and "://" not in link:
        found["license_link"] = f"{page}/blob/main/{link}"  # a file of that repository
    return found


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
