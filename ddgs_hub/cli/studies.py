"""The command that makes the tables of the paper, and those of our own studies."""

from pathlib import Path
from typing import Annotated

import typer

from ddgs_hub.cli.options import (
    DryRunOption,
    JsonOption,
    OptionalRecipeOption,
    SeedOption,
    SetOption,
    SourceOption,
    TokenOption,
    completes,
    read_recipe,
    show,
    size_is_meant,
    teller,
)
from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe.study import load_study, study_names

OUTPUT = Path("runs/paper")


def reproduce(
    study: Annotated[
        str,
        typer.Argument(
            help="table1, table2, table3 or table4 of the paper, evidence or evidence-dit, or a .yaml file.",
            autocompletion=completes(study_names),
        ),
    ],
    recipe: OptionalRecipeOption = None,
    original: SourceOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,…",
            help="Do these cells alone, as method=ours,minimax or ipc=10; each further --only chooses among them. "
            "The full dataset belongs to every IPC: method=… leaves it out.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder that studies, and all workers, share.")] = OUTPUT,
    dry_run: DryRunOption = False,
    seed: SeedOption = None,
    values: SetOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a table of the paper, or another, with all it needs.

    A network is trained for every cell, and behind the table stands what it cost. Without --recipe it is of the study's
    own datasets. The same command goes on after a kill, and can run on several machines at once that share the folder.

    Example: ddgs-hub reproduce table1 --recipe digits

    Example: ddgs-hub reproduce evidence --original ./imagenette224 --set score.scorer=./scorer

    Example: ddgs-hub reproduce table1 --recipe imagewoof --only method=random,ours --only ipc=10 --dry-run
    """
    from ddgs_hub.stages import reproduce as carry_out

    chosen = load_study(study)
    names = [recipe] if recipe else chosen.recipes
    if original is not None and len(names) > 1:
        raise InputError(f"--original is of one dataset, and {study} has {len(names)}: choose one by --recipe")
    recipes = [read_recipe(name, values, seed, original) for name in names]
    meant, say = all(size_is_meant(name, values) for name in names), teller(as_json)
    show(carry_out(chosen, recipes, output, only=only or (), dry_run=dry_run, size_is_meant=meant, say=say), as_json)
