"""The commands to begin with: a recipe for images of one's own, and the recipes that there are."""

from pathlib import Path
from typing import Annotated

import typer

from ddgs_hub.cli.options import JsonOption, TokenOption, show
from ddgs_hub.core.processes import run_on_main


def init(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Folder of images, or OWNER/NAME[@REVISION] of a Hub dataset.")
    ],
    output: Annotated[Path, typer.Option("--output", help="Recipe to write, a new .yaml file.")],
    config: Annotated[str | None, typer.Option("--config", help="Of a Hub dataset that has several.")] = None,
    subset: Annotated[
        str | None, typer.Option("--subset", help="These classes of ImageNet alone: imagewoof, imagenette or imageidc.")
    ] = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a recipe that fits your images and this machine, and say how long it takes.

    Example: ddgs-hub init ./photos --output photos.yaml
    """
    from ddgs_hub.stages import write_recipe

    show(run_on_main(lambda: write_recipe(source, output, subset=subset, config=config)), as_json)


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this recipe or study.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the recipes and studies of the package, or show one of them.

    Example: ddgs-hub recipes digits
    """
    from ddgs_hub.recipe.listing import recipe_table, recipe_text

    show(recipe_text(name) if name else recipe_table(), as_json)
