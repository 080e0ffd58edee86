"""The commands that show what a distilled set is worth: accuracies and figures."""

from pathlib import Path
from typing import Annotated

import typer

from ddgs_hub.cli.options import (
    JsonOption,
    RecipeOption,
    RevisionOption,
    SeedOption,
    SetOption,
    TokenOption,
    new_folder,
    read_recipe,
    say,
    show,
)
from ddgs_hub.core.processes import run_on_main
from ddgs_hub.core.staging import locked_for_launch
from ddgs_hub.recipe import SampleSettings


def evaluate(
    data: Annotated[str, typer.Argument(help="Folder in Hub layout or Hub dataset id of training images.")],
    validation: Annotated[Path, typer.Option(help="Folder of the original dataset, whose validation split is used.")],
    recipe: RecipeOption,
    revision: RevisionOption = None,
    seed: SeedOption = None,
    values: SetOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train classifiers from scratch on a dataset and test them on real images.

    Example: ddgs-hub evaluate runs/digits/distilled-ipc10 --validation runs/digits/original --recipe digits
    """
    from ddgs_hub.stages import evaluate_source

    settings = read_recipe(recipe, values, seed)
    show(run_on_main(lambda: evaluate_source(settings, data, validation, revision=revision)), as_json)


def figures(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    output: Annotated[Path | None, typer.Option(callback=new_folder, help="Default RUN/figures.")] = None,
    ipc: Annotated[int, typer.Option(min=1, help="Of the distilled dataset to show.")] = SampleSettings().ipc,
) -> None:
    """Draw the paper's Figures 2 and 3 of a run: difficulty distributions, and distilled images with theirs.

    Example: ddgs-hub figures runs/digits
    """
    from ddgs_hub.stages import RunFolder, make_figures

    run = RunFolder(run_folder, ipc)
    output = output or run.figures
    with locked_for_launch(output):
        say(run_on_main(lambda: make_figures(run.original, run.pool, run.distilled, output)))
