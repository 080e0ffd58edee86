"""Trained models as what is published: fine-tuning and training a scorer, then their cards, then the Hub."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.folders import refuse_existing
from ddgs_hub.core.processes import by_the_first
from ddgs_hub.core.rows import read_rows
from ddgs_hub.core.schema import read_json
from ddgs_hub.diffusion.bases import base_path
from ddgs_hub.recipe import Recipe, changed_keys, load_recipe, recipe_names, recipe_to_dict
from ddgs_hub.stages import original as stages
from ddgs_hub.stages.provenance import made_with, model_identity

SHIPPED_LICENSE = {"license": "apache-2.0"}  # of the bases that come with the package: its own


@dataclass(frozen=True)
class Losses:
    """What `losses.json` of a fine-tuned DiT says: the diffusion loss at every step."""

    diffusion: list[float]


def finetune(
    recipe: Recipe,
    original: Path,
    output: Path,
    *,
    command: str,
    push: str | None = None,
    private: bool = False,
) -> str:
    """Fine-tunes the recipe's base into a new folder with a card, and publishes it where `push` names a repository.

    What cannot be published is refused before the training. When this was done before and the publishing was cut off,
    the same call goes on with that.

    Args:
        recipe: its `model.base` is fine-tuned.
        original: folder of the original dataset.
        output: folder of the DiT: new, empty, or what the same call made.
        command: the command line, for the card.
        push: `owner/name` on the Hub.
        private: see `hub.publish`.

    Returns:
        What was made, for people.

    Raises:
        InputError: `output` holds something else, the repository cannot be written, or something given is wrong.
    """
    from ddgs_hub.hub import check_push, publish

    base, revision = recipe.model.base, recipe.model.revision
    assert base is not None
    if push is not None:
        by_the_first(lambda: check_push(push, "model", private=private))
    if push is not None and by_the_first(lambda: _is_finetuned(recipe, original, base, output)):
        made = f"{output} was fine-tuned before"
    else:
        refuse_existing(output)
        describe = partial(describe_dit, recipe, original, base, command=command)
        made = stages.make_dit(recipe, original, base, output, base_revision=revision, describe=describe)
    if push is None:
        return made
    return f"{made}\n{by_the_first(lambda: publish(output, push, private=private).text)}"


def train_scorer(recipe: Recipe, original: Path, output: Path, *, command: str) -> str:
    """Trains the recipe's scorer into a new folder with a card; returns what was made, for people."""
    made = stages.make_scorer(recipe, original, output)
    by_the_first(lambda: describe_scorer(recipe, original, output, command=command))
    return made


def describe_dit(recipe: Recipe, original: Path, base: str | Path, dit: Path, *, command: str) -> None:
    """Writes card and provenance into the folder of a fine-tuned DiT: it can then be published.

    Args:
        recipe: what it was fine-tuned by.
        original: folder of the original dataset.
        base: what was fine-tuned.
        dit: the folder.
        command: the command line that makes it again.
    """
    from ddgs_hub.hub import CONTENT, DIT, KIND, hash_weights, hub_id, license_of, write_dit

    base_id, revision = hub_id(str(base)), recipe.model.revision
    if base_id:
        terms = license_of(base_id, revision)
    elif base_path(str(base)) != str(base):
        terms = SHIPPED_LICENSE
    else:  # trained on the original images, or unknown
        terms = {"license": recipe.hub.license if recipe.model.base is None else "other"}
    losses = read_json(dit / stages.LOSSES, Losses, str(dit / stages.LOSSES))
    provenance = {
        **made_with(recipe),
        KIND: DIT.name,
        "base_model": base_id,
        "license": terms,
        "datasets": _datasets(recipe),
        "steps": len(losses.diffusion),
        "command": command,
        CONTENT: {"weights": hash_weights(dit), **_made_of(original, base, revision)},
    }
    write_dit(dit, provenance)


def describe_scorer(recipe: Recipe, original: Path, scorer: Path, *, command: str) -> None:
    """Writes card and provenance into the folder of a cross-fitted scorer: it can then be published."""
    from ddgs_hub.hub import CONTENT, KIND, SCORER, hash_weights, write_scorer

    provenance = {
        **made_with(recipe),
        KIND: SCORER.name,
        "datasets": _datasets(recipe),
        "command": command,
        CONTENT: {"weights": hash_weights(scorer), "original": fingerprint(read_rows(original))},
    }
    write_scorer(scorer, provenance)


def run_command(recipe: Recipe) -> str:
    """The command line of a run, for a card: what the recipe changes in the one of the package, whoever set it."""
    if recipe.name not in recipe_names():
        return f"ddgs-hub run {recipe.name}.yaml"
    from ddgs_hub.hub import public_values

    changed = changed_keys(recipe_to_dict(load_recipe(recipe.name)), public_values(recipe_to_dict(recipe)))
    values = [f"{key}={new if isinstance(new, str) else json.dumps(new)}" for key, (_, new) in changed.items()]
    return command_line("run", recipe.name, values=values, seed=None)


def command_line(command: str, *options: str, values: Sequence[str] | None, seed: int | None) -> str:
    """A command line for a card, without the folders of this machine.

    Args:
        command: its name.
        options: names and values in turn.
        values: what `--set` was given.
        seed: of `--seed`.
    """
    from ddgs_hub.hub import public_values

    given = [*options, *(() if seed is None else ("--seed", str(seed)))]
    given = list(map(public_values, given))
    for value in values or ():
        key, _, new = value.partition("=")
        given += ["--set", f"{key}={public_values(new)}"]
    return shlex.join(["ddgs-hub", command, *given])


def _is_finetuned(recipe: Recipe, original: Path, base: str, output: Path) -> bool:
    """Whether `output` holds the whole of what fine-tuning would make: by recipe, base and images."""
    from ddgs_hub.hub import PROVENANCE, public_values
    from ddgs_hub.hub.provenance import read_provenance

    try:
        there = read_provenance(output / PROVENANCE, str(output))
    except InputError:  # damaged: it is not the whole
        return False
    wanted = json.loads(json.dumps(public_values(made_with(recipe)["recipe"])))
    if there.recipe != wanted or there.content is None:
        return False
    made_of, told = _made_of(original, base, recipe.model.revision), there.content.to_dict()
    return made_of == {key: told.get(key) for key in made_of}


def _made_of(original: Path, base: str | Path, revision: str | None) -> dict[str, Any]:
    return {"base": model_identity(base, revision), "original": fingerprint(read_rows(original))}


def _datasets(recipe: Recipe) -> list[str]:
    """Hub ids of the original images."""
    from ddgs_hub.hub import hub_id

    name = hub_id(recipe.data.original)
    return [name] if name else []
