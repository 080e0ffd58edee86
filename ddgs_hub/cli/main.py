"""The program `ddgs-hub`: its commands, in the order of `--help`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ddgs_hub import __version__
from ddgs_hub.cli.datasets import baseline, generate, prepare, sample, score
from ddgs_hub.cli.hub import diff, publish, versions
from ddgs_hub.cli.options import ReportToOption, SeedOption, SetOption, SourceOption, TokenOption, read_recipe
from ddgs_hub.cli.program import run_commands
from ddgs_hub.cli.results import evaluate, figures
from ddgs_hub.cli.starting import init, recipes
from ddgs_hub.cli.studies import reproduce
from ddgs_hub.cli.training import finetune, pretrain, train_scorer

app = typer.Typer(
    name="ddgs-hub",
    help="Difficulty-guided generative dataset distillation for the Hugging Face ecosystem.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def run(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe of the package, or a .yaml file.")],
    original: SourceOption = None,
    output: Annotated[Path | None, typer.Option(help="Run folder; default runs/<name>.")] = None,
    seed: SeedOption = None,
    values: SetOption = None,
    report_to: ReportToOption = None,
    token: TokenOption = None,
) -> None:
    """All stages of a recipe in one run folder; finished ones are skipped.

    Example: ddgs-hub run imagenette64 --original ./imagenette224 --set evaluate.epochs=100
    """
    settings = read_recipe(recipe, values, seed, original)
    from ddgs_hub.stages.run import run as run_stages

    run_stages(settings, output or Path("runs") / settings.name, report_to or ())


def demo() -> None:
    """The whole method on real handwritten digits, in minutes on two CPU cores: `run digits`.

    Example: ddgs-hub demo
    """
    run("digits")


def version() -> None:
    """Print the version.

    Example: ddgs-hub version
    """
    print(__version__)


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
    "reproduce": reproduce,
    "version": version,
    "publish": publish,
    "versions": versions,
    "diff": diff,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _commands(program: str) -> Any:
    """All commands; the examples in their help begin with the name of the program."""
    group: Any = typer.main.get_command(app)
    for command in group.commands.values():
        command.help = command.help.replace("Example: ddgs-hub ", f"Example: {program} ")
    return group


def main() -> None:
    """Runs the command line."""
    program = "hf ddgs" if Path(sys.argv[0]).stem == "hf-ddgs" else "ddgs-hub"  # the former as an extension of `hf`
    run_commands(_commands(program), program)
