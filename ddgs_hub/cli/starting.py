"""The commands to begin with: a recipe for images of one's own, and the recipes that there are."""

from pathlib import Path
from typing import Annotated

import typer

from ddgs_hub.cli.options import ConfigOption, JsonOption, SubsetOption, TokenOption, completes, place, show
from ddgs_hub.core.processes import run_on_main
from ddgs_hub.recipe import recipe_names
from ddgs_hub.recipe.study import study_names


def init(
    source: Annotated[
        str,
        typer.Argument(
            callback=place, metavar="SOURCE", help="Folder of images, or OWNER/NAME[@REVISION] of a Hub dataset."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="Recipe to write, a new .yaml file.")],
    config: ConfigOption = None,
    subset: SubsetOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a recipe that fits your images and this machine.

    Its comments give the reason for each value, and how long each stage will take.

    Example: ddgs-hub init ./photos --output photos.yaml
    """
    from ddgs_hub.stages import write_recipe

    show(run_on_main(lambda: write_recipe(source, output, subset=subset, config=config)), as_json)


def _names() -> list[str]:
    return [*recipe_names(), *study_names()]


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Show this recipe or study.", autocompletion=completes(_names)),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the recipes of the package, or show one.

    The studies, which are the tables of the paper, are among them.

    Example: ddgs-hub recipes digits
    """
    from ddgs_hub.recipe.listing import recipe_table, recipe_text

    show(recipe_text(name) if name else recipe_table(), as_json)
