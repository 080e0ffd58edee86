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
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|OWNER/NAME[@REVISION]|FOLDER",
            help="A run folder, a dataset that was published with its pool, or the folder of a repository.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(callback=new_folder, help="Default RUN/figures, or figures-NAME here.")
    ] = None,
    ipc: Annotated[int | None, typer.Option(min=1, help="Of the distilled dataset of a run that has several.")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Show this class in Figures 2 and 3; can be repeated."),
    ] = None,
    token: TokenOption = None,
) -> None:
    """Draw the paper's Figures 2, 3 and 4: difficulties, images with theirs, and sampling distributions.

    Example: ddgs-hub figures runs/digits --class 3 --class 8
    """
    from ddgs_hub.stages import figures_folder, find_rows, make_figures

    folder = output or figures_folder(source)
    with locked_for_launch(folder):
        say(run_on_main(lambda: make_figures(find_rows(source, ipc), folder, classes or ())))
