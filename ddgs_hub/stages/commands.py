"""The command lines that cards show under "How to reproduce": quoted for a shell, without folders of this machine."""

import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ddgs_hub.core.hub_client import Pinned
from ddgs_hub.hub import OpenedPool, public_values
from ddgs_hub.hub.layout import PUBLISHED_RECIPE as PUBLISHED
from ddgs_hub.hub.layout import RUN_ORIGINAL, RUN_POOL, is_local
from ddgs_hub.recipe import (
    Recipe,
    SampleSettings,
    ScoreSettings,
    changed_keys,
    load_recipe,
    recipe_names,
    recipe_to_dict,
)
from ddgs_hub.stages.score_request import ScoreRequest

RUN = "run"  # the folder of a run in a command of several steps
Option = tuple[str, object]  # name and value; an option whose value is None is left out


def command_line(
    command: str,
    *arguments: str,
    options: Iterable[Option] = (),
    flags: Sequence[str] = (),
    values: Sequence[str] | None = None,
    seed: int | None = None,
) -> str:
    """A command line of ddgs-hub, quoted for a shell; see `public_values` for what is cut from paths.

    Args:
        command: its name.
        arguments: those without a name.
        options: names with `--`, and values; those whose value is None are left out.
        flags: options without a value.
        values: what `--set` was given.
        seed: what `--seed` was given.
    """
    words = list(arguments)
    for name, value in (*options, ("--seed", seed)):
        if value is not None:
            words += [name, str(value)]
    words = [public_values(word) for word in (*words, *flags)]
    for assignment in values or ():
        key, _, value = assignment.partition("=")
        words += ["--set", f"{key}={public_values(value)}"]
    return shlex.join(["ddgs-hub", command, *words])


def run_command(recipe: Recipe) -> str:
    """The command line of a run: of the `recipe.yaml` that is published with what it makes.

    What the recipe names that is not on the Hub is given beside it: whoever has those folders knows them by name.
    """
    data, base, codec, scorer = recipe.data, recipe.model.base, recipe.codec, recipe.score.scorer
    options = [("--original", data.original)] if is_local(data.original) else []
    named = {"model.base": base, "codec.encoder": codec.encoder, "codec.decoder": codec.decoder, "score.scorer": scorer}
    values = [f"{key}={name}" for key, name in named.items() if is_local(name)]
    return command_line("run", PUBLISHED, options=options, values=values)


def study_command(study: str, recipe: Recipe) -> str:
    """The command line that carries out a study with a recipe, likewise."""
    if recipe.name not in recipe_names():
        return f"ddgs-hub reproduce {study} --recipe {recipe.name}.yaml"
    return command_line(
        "reproduce", study, options=[("--recipe", recipe.name)], values=_changed_values(recipe, recipe_to_dict)
    )


def _changed_values(recipe: Recipe, values_of: Callable[[Recipe], dict[str, Any]]) -> list[str]:
    """What `--set` must be given for a packaged recipe to become this one."""
    changed = changed_keys(values_of(load_recipe(recipe.name)), public_values(values_of(recipe)))
    return [f"{key}={new if isinstance(new, str) else json.dumps(new)}" for key, (_, new) in changed.items()]


def training_command(
    command: str,
    recipe: str,
    original: Path,
    output: Path,
    *,
    base: str | None = None,
    revision: str | None = None,
    values: Sequence[str] | None = None,
    seed: int | None = None,
) -> str:
    """The command line that trains a scorer or fine-tunes a DiT; see `command_line`.

    Args:
        command: `train-scorer` or `finetune`.
        recipe: as it was given, a name or a file.
        original: folder of the original images.
        output: folder of what is trained.
        base: the DiT, where it is not the recipe's.
        revision: of that.
        values: what `--set` was given.
        seed: what `--seed` was given.
    """
    published = recipe not in recipe_names()  # a file of the user: its values are published
    options: list[Option] = [("--recipe", PUBLISHED if published else recipe)]
    options += [("--original", original), ("--output", output), ("--base", base), ("--revision", revision)]
    values = None if published else values
    return command_line(command, options=options, values=values, seed=seed)


def matching_command(
    method: str,
    recipe: str,
    original: Path,
    output: Path,
    *,
    ipc: int,
    values: Sequence[str] | None = None,
    seed: int | None = None,
) -> str:
    """The command line that learns images by matching; see `training_command`.

    Args:
        method: `dm` or `idc-1`.
        recipe: as it was given, a name or a file.
        original: folder of the original images.
        output: folder of the learnt ones.
        ipc: images per class.
        values: what `--set` was given.
        seed: what `--seed` was given.
    """
    options: list[Option] = [("--recipe", recipe), ("--original", original), ("--ipc", ipc), ("--output", output)]
    return command_line("baseline", method, options=options, values=values, seed=seed)


def score_command(request: ScoreRequest, pinned: Pinned | None) -> str:
    """The command line that scores the same rows again.

    Args:
        request: what was scored, and by what.
        pinned: the commit of the source; None: it is not on the Hub.
    """
    usual = ScoreSettings()
    return command_line(
        "score",
        pinned.id if pinned else request.source_name,
        options=[
            ("--subset", request.subset),
            ("--split", request.split if request.split != "train" else None),
            ("--config", request.config),
            ("--revision", pinned.commit if pinned else None),
            ("--scorer", "@".join(filter(None, (request.scorer_name, request.scorer_revision)))),
            ("--batch-size", request.batch_size if request.batch_size != usual.batch_size else None),
            ("--soft-labels", request.soft_labels),
            ("--output", "scored"),
        ],
        flags={None: (), True: ("--images",), False: ("--no-images",)}[request.with_images],
    )


def sample_command(sample: SampleSettings, opened: OpenedPool, seed: int, of_run: Recipe | None = None) -> str:
    """The command that samples the same rows again; empty if the pool or the original is not on the Hub.

    Args:
        sample: the settings.
        opened: the pool and the original.
        seed: of the draw.
        of_run: the recipe of the run in whose folder both are: then the command makes that run first.
    """
    pool, original = opened.pool_source, opened.original_source
    if of_run:
        places: list[Option] = [("--pool", f"{RUN}/{RUN_POOL}"), ("--original", f"{RUN}/{RUN_ORIGINAL}")]
        before = f"{run_command(of_run)} --output {RUN} && "
    elif pool and original:
        places, before = [("--pool", f"{pool.id}@{pool.commit}")], ""
        if original != pool:
            places.append(("--original", f"{original.id}@{original.commit}"))
    else:
        return ""
    usual = asdict(SampleSettings())
    changed = {key: value for key, value in asdict(sample).items() if key == "ipc" or value != usual[key]}
    return before + command_line(
        "sample",
        options=[
            *places,
            *((f"--{key.replace('_', '-')}", value) for key, value in changed.items()),
            ("--seed", seed),
            ("--output", f"distilled-ipc{sample.ipc}"),
        ],
    )
