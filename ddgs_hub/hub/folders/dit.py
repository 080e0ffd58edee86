"""Makes the folder of a fine-tuned DiT a repository: adds a card and `provenance.json` to its files."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ADAPTER_FILE, CLASSES_FILE, PIPELINE_INDEX
from ddgs_hub.core.schema import FOREIGN, MOST_CLASSES, Index, Name, read_json
from ddgs_hub.hub.cards import DiTCard, render_card
from ddgs_hub.hub.folders.repository_files import write_provenance, write_recipe, write_text
from ddgs_hub.hub.layout import CARD, PROVENANCE
from ddgs_hub.hub.provenance import Provenance, parse_provenance
from ddgs_hub.recipe import parse_recipe

FOR_THE_CARD = ("license", "datasets", "steps", "command")  # what the card says beside the recipe


@dataclass(frozen=True, config=FOREIGN)
class ClassIds:
    """What `classes.json` of a DiT says: the names of the classes, and their numbers in the DiT."""

    names: Annotated[list[Name], Field(max_length=MOST_CLASSES)]
    dit_ids: Annotated[list[Index], Field(max_length=MOST_CLASSES)]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.dit_ids):
            raise ValueError(f"there are {len(self.names)} names for {len(self.dit_ids)} classes")


def write_dit(folder: str | Path, provenance: Mapping[str, Any]) -> None:
    """Writes provenance and recipe into the folder of a fine-tuned DiT, and the card that follows from them.

    Args:
        folder: with the pipeline, the adapter, and `classes.json`.
        provenance: beside what a `Kind` asks for: recipe, versions, base_model, license, datasets, steps and command,
            as in `DiTCard`.

    Raises:
        InputError: `provenance` or `classes.json` does not say all that the card says.
    """
    folder = Path(folder)
    write_provenance(folder, provenance)
    write_recipe(folder, provenance)
    write_dit_card(folder, dit_card(parse_provenance(provenance, str(folder)), read_class_ids(folder)))


def dit_card(provenance: Provenance, classes: ClassIds) -> DiTCard:
    """The card that follows from `provenance.json` and `classes.json` of a DiT.

    Raises:
        InputError: `provenance.json` does not say all that the card says.
    """
    recipe = parse_recipe(provenance.recipe or {}, where=f"the recipe in {PROVENANCE}")
    values: dict[str, Any] = {name: getattr(provenance, name) for name in FOR_THE_CARD}
    for name, value in values.items():
        if value is None:
            again = "remove it, and write it again"
            raise InputError(f"{PROVENANCE} of the DiT does not say all that a card says ('{name}'): {again}")
    values |= asdict(values["license"])
    return DiTCard(
        recipe=recipe,
        name=f"{recipe.name}-ddgs-dit",
        base_model=provenance.base_model,
        class_ids=dict(zip(classes.names, classes.dit_ids, strict=True)),
        versions=provenance.versions,
        **values,
    )


def read_class_ids(folder: Path) -> ClassIds:
    """The classes that a DiT was fine-tuned on.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    return read_json(folder / CLASSES_FILE, ClassIds, str(folder / CLASSES_FILE))


def write_dit_card(folder: Path, card: DiTCard) -> Path:
    """Writes the card of a DiT into its folder, by the files there: pipeline, adapter or both.

    Returns:
        The path of the card.
    """
    pipeline, adapter = ((folder / name).is_file() for name in (PIPELINE_INDEX, ADAPTER_FILE))
    write_text(folder / CARD, render_card(replace(card, pipeline=pipeline, adapter=adapter)))
    return folder / CARD
