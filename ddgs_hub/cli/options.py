"""What commands share: options, with the same name and meaning everywhere, and how a result is printed.

`tests/cli/test_conventions.py` has the table of all options, and says where one name has two meanings.
"""

import json
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded, refuse_missing
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import is_main
from ddgs_hub.core.staging import refuse_existing
from ddgs_hub.core.text import printable
from ddgs_hub.core.tokens import using_token
from ddgs_hub.core.tracking import FOLDER, require_trackers, tracked
from ddgs_hub.recipe import Recipe, load_recipe, recipe_names, recipe_to_dict

HELP_NAMES = {"help_option_names": ["-h", "--help"]}  # of every command


def new_folder(path: Path | None) -> Path | None:
    """Refuses a folder that is not empty, because a single stage replaces nothing. `run` replaces its own folders."""
    if path is not None:
        refuse_existing(path)
    return path


def place(names: str | list[str] | None) -> str | list[str] | None:
    """Refuses paths of what is not here; a repository of the Hub, and what is shipped, may pass."""
    for name in [names] if isinstance(names, str) else names or ():
        refuse_missing(name)
    return names


def folder_here(path: Path | None) -> Path | None:
    """Refuses a folder that is not here."""
    if path is not None and not expanded(path).is_dir():
        raise InputError(f"there is no folder {path}: check the path, or make it first")
    return path


def _use(context: typer.Context, token: str | None) -> str | None:
    context.with_resource(using_token(token))
    return token


def completes(names: Callable[[], list[str]]) -> Callable[[str], list[str]]:
    """What a shell completes a value with: those of some names that begin as it does, looked up when it asks."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def _subset_names() -> list[str]:
    from ddgs_hub.original import SUBSETS

    return list(SUBSETS)


def _installed(names: list[str] | None) -> list[str]:
    require_trackers(names or ())
    return names or []


RECIPE_HELP = "A recipe of the package, a .yaml file, or OWNER/NAME[@VERSION]."
RECIPE = typer.Option("--recipe", autocompletion=completes(recipe_names), help=RECIPE_HELP)
RecipeOption = Annotated[str, RECIPE]
OptionalRecipeOption = Annotated[str | None, RECIPE]
OutputOption = Annotated[Path, typer.Option("--output", callback=new_folder, help="Folder to write, new or empty.")]
ContinuedOption = Annotated[
    Path, typer.Option("--output", help="Folder to write, new or empty; with --push it may hold an earlier result.")
]
OriginalOption = Annotated[
    Path, typer.Option("--original", callback=folder_here, help="Folder of the original dataset, from `prepare`.")
]
SourceOption = Annotated[
    str | None, typer.Option("--original", callback=place, help="OWNER/NAME[@REV] or folder, not the recipe's.")
]
IpcOption = Annotated[int, typer.Option("--ipc", min=1, help="Images per class.")]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of all that is drawn; default: the recipe's, or 0 where there is none."),
]
RevisionOption = Annotated[str | None, typer.Option("--revision", help="Commit, tag or branch of a Hub id.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Instead of the recipe's, as finetune.epochs=2.")
]
ConfigOption = Annotated[str | None, typer.Option("--config", help="Configuration of a Hub dataset that has several.")]
SubsetOption = Annotated[
    str | None,
    typer.Option(
        "--subset",
        autocompletion=completes(_subset_names),
        help="These classes of ImageNet alone: imagewoof, imagenette or imageidc.",
    ),
]
ReportToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--report-to",
        metavar="TRACKER",
        callback=_installed,
        help="Follow the work in trackio, tensorboard or wandb; can be repeated.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
PushOption = Annotated[
    str | None, typer.Option("--push", metavar="OWNER/NAME", help="Publish the result there, as `publish` does.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
PrivateOption = Annotated[bool, typer.Option("--private", help="Publish to a private repository only.")]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        callback=_use,
        help="Token for the Hub. Lists of processes show it; HF_TOKEN and `hf auth login` stay hidden.",
    ),
]


def read_recipe(name: str, values: list[str] | None, seed: int | None = None, original: str | None = None) -> Recipe:
    """The recipe, with the values that the command line sets.

    Args:
        name: of a recipe of the package, a .yaml file, or `owner/name[@revision]` that was published with its recipe.
        values: of `--set`.
        seed: of `--seed`.
        original: of `--original`: the source, instead of the recipe's.
    """
    overrides = list(values or [])
    if seed is not None:
        overrides.append(f"seed={seed}")
    if original is not None:
        # The recipe's configuration and revision belong to its own source. `--set` comes later and can give others.
        source = [f"data.original={json.dumps(original)}", "data.config=null", "data.revision=null"]
        overrides = [*source, *overrides]
    if Path(name).suffix not in (".yaml", ".yml") and "/" in name:
        from ddgs_hub.hub import is_published, load_published_recipe

        if is_published(name):
            return load_published_recipe(name, overrides)
    return load_recipe(name, overrides)


def tracking_of(report_to: list[str] | None, output: Path, recipe: Recipe) -> AbstractContextManager[None]:
    """Has trackers follow what a command writes; they write into `tracking/` beside it."""
    written = output.resolve()
    return tracked(report_to or (), written.parent / FOLDER, written.name, recipe_to_dict(recipe))


def size_is_meant(name: str, values: list[str] | None) -> bool:
    """Whether a recipe's image size is the user's own choice: in a file of theirs, or by `--set`."""
    return name not in recipe_names() or any(value.startswith("data.image_size=") for value in values or [])


def base_name(recipe: Recipe, given: str | None) -> str:
    """The DiT that is given, or else the recipe's base."""
    name = given or recipe.model.base
    if name is None:
        raise InputError(f"recipe {recipe.name} has no pretrained base: give the DiT's folder")
    return name


def several_ipcs(text: str) -> list[int]:
    """The numbers of images per class in `10,20,50`, ascending."""
    numbers = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[1-9][0-9]{0,5}", number) for number in numbers) or len(set(numbers)) < len(numbers):
        raise InputError(f"--ipc takes a number of images per class, or several, each once, as 10,20,50, got '{text}'")
    return sorted(map(int, numbers))


def teller(as_json: bool) -> Callable[[str], None]:
    """Prints what is done on the way to a result: to stdout, or to stderr where that takes a JSON document alone."""
    return partial(print, file=sys.stderr if as_json else sys.stdout, flush=True)


def show(made: Made, as_json: bool = False) -> None:
    """Prints a result, in the main process only: its values as JSON, or its text, made harmless for a terminal."""
    if is_main():
        print(made.to_json() if as_json else printable(made.text))
