"""The commands that show what a distilled set is worth: accuracies and figures."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ddgs_hub.cli.options import (
    JsonOption,
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
    data: Annotated[
        list[str], typer.Argument(metavar="DATA...", help="Training images: folders in Hub layout, OWNER/NAME[@REV].")
    ],
    validation: Annotated[
        str, typer.Option(metavar="SOURCE", help="Where the split to test on is: a folder, or OWNER/NAME[@REV].")
    ],
    protocol: Annotated[
        str, typer.Option(metavar="RECIPE", help="Recipe of the package, or .yaml file, whose `evaluate` is followed.")
    ],
    network: Annotated[list[str] | None, typer.Option(help="Instead of the protocol's; may be repeated.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to keep results in; what is there already is not made again.")
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Add the results to the cards of DATA, folders that are to be published.")
    ] = False,
    seed: SeedOption = None,
    values: SetOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train classifiers from scratch on datasets and test them on real images.

    IPC and with it the number of epochs are those of each dataset; the full one is one of them.

    Example: ddgs-hub evaluate org/woof-ddgs-ipc10@v1.0.0 original --validation original --protocol imagewoof --network
    convnet6 --network resnet18
    """
    from ddgs_hub.stages import evaluate_sources

    recipe = read_recipe(protocol, values, seed)
    choices = [[*(values or []), f"evaluate.network={name}"] for name in dict.fromkeys(network or [])]
    protocols = [read_recipe(protocol, choice, seed).evaluate for choice in choices] or [recipe.evaluate]
    with locked_for_launch(output) if output else nullcontext():
        result = run_on_main(lambda: evaluate_sources(recipe, protocols, data, validation, output=output, cards=card))
    show(result, as_json)


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
