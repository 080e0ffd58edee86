"""The program `ddgs-hub`: its commands, in the order of `--help`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ddgs_hub import __version__
from ddgs_hub.cli.datasets import baseline, generate, prepare, sample, score
from ddgs_hub.cli.hub import diff, publish, versions
from ddgs_hub.cli.options import (
    HELP_NAMES,
    RECIPE_HELP,
    JsonOption,
    ReportToOption,
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
from ddgs_hub.cli.program import run_commands
from ddgs_hub.cli.results import evaluate, explore, figures
from ddgs_hub.cli.starting import init, recipes
from ddgs_hub.cli.studies import reproduce
from ddgs_hub.cli.training import finetune, pretrain, train_scorer
from ddgs_hub.recipe import recipe_names

COMPLETION = ("install_completion", "show_completion")
app = typer.Typer(name="ddgs-hub", context_settings=HELP_NAMES, pretty_exceptions_enable=False, rich_markup_mode=None)


def _print_version(chosen: bool) -> None:
    if chosen:
        print(__version__)
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Difficulty-guided generative dataset distillation for the Hugging Face ecosystem."""


def run(
    recipe: Annotated[str, typer.Argument(help=RECIPE_HELP, autocompletion=completes(recipe_names))],
    original: SourceOption = None,
    output: Annotated[Path | None, typer.Option(help="Run folder; default runs/<name>.")] = None,
    seed: SeedOption = None,
    values: SetOption = None,
    report_to: ReportToOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make all that a recipe says, in one run folder.

    Stages that are finished are skipped, so the same command goes on after a kill.

    Example: ddgs-hub run org/imagewoof-ddgs-ipc10@v1.0.0

    Example: ddgs-hub run imagenette64 --original ./imagenette224 --set evaluate.epochs=100
    """
    settings = read_recipe(recipe, values, seed, original)
    from ddgs_hub.stages.run import run as run_stages

    meant, folder = size_is_meant(recipe, values), output or Path("runs") / settings.name
    made = run_stages(settings, folder, teller(as_json), report_to=report_to or (), size_is_meant=meant)
    if as_json:  # else it was told
        show(made, as_json)


def demo(as_json: JsonOption = False) -> None:
    """Run the whole method on real handwritten digits.

    It takes minutes on two CPU cores, and is the same as `run digits`.

    Example: ddgs-hub demo
    """
    run("digits", as_json=as_json)


COMMANDS: dict[str, Callable[..., None]] = {
    "init": init,
    "recipes": recipes,
    "run": run,
    "demo": demo,
    "prepare": prepare,
    "train-scorer": train_scorer,
    "pretrain": pretrain,
    "finetune": finetune,
    "generate": generate,
    "score": score,
    "sample": sample,
    "baseline": baseline,
    "evaluate": evaluate,
    "figures": figures,
    "explore": explore,
    "reproduce": reproduce,
    "publish": publish,
    "versions": versions,
    "diff": diff,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _commands(program: str) -> Any:
    """All commands; the examples in their help begin with the name of the program.

    A shell completes the words of `ddgs-hub`; those of an extension are for `hf` to complete.
    """
    group: Any = typer.main.get_command(app)
    if program != "ddgs-hub":
        group.params = [option for option in group.params if option.name not in COMPLETION]
    for command in group.commands.values():
        command.help = command.help.replace("Example: ddgs-hub ", f"Example: {program} ")
    return group


def main() -> None:
    """Runs the command line."""
    program = "hf ddgs" if Path(sys.argv[0]).stem == "hf-ddgs" else "ddgs-hub"  # the former as an extension of `hf`
    run_commands(_commands(program), program)
