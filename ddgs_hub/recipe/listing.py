"""The recipes and studies that come with the package, for people to choose from."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.text import quoted
from ddgs_hub.recipe.reading import RECIPES, load_recipe, recipe_names
from ddgs_hub.recipe.sections import Recipe
from ddgs_hub.recipe.study import STUDIES, load_study, study_names

PRETRAINED_SIZE = 256  # px: from here on autoencoder and DiT are large
LONG = 10_000  # steps of training from scratch that a CPU needs hours for


@dataclass(frozen=True)
class RecipeEntry:
    """A recipe of the package in a line.

    Attributes:
        name: for `--recipe` and `run`.
        purpose: the first sentence of its file.
        original: where its images come from.
        subset: of ImageNet; None: all classes.
        image_size: px.
        device: that it is made for, `CPU` or `GPU`.
    """

    name: str
    purpose: str
    original: str
    subset: str | None
    image_size: int
    device: str


def list_recipes() -> list[RecipeEntry]:
    """All recipes of the package."""
    return [_entry(name) for name in recipe_names()]


def list_studies() -> dict[str, str]:
    """Name of each study of the package → its title."""
    return {name: load_study(name).title for name in study_names()}


def recipe_table() -> Made:
    """The recipes and the studies of the package."""
    recipes, studies = list_recipes(), list_studies()
    lines = [f"{'recipe':<14}{'original':<32}{'size':>6}  device"]
    for one in recipes:
        original = f"{one.original} ({one.subset})" if one.subset else one.original
        lines += [f"{one.name:<14}{original:<32}{one.image_size:>3} px  {one.device}", f"{'':<14}{one.purpose}"]
    lines += ["", *(f"{name:<14}{title}" for name, title in studies.items())]
    lines += ["", "ddgs-hub recipes NAME shows one; ddgs-hub init FOLDER writes one for images of your own"]
    return Made("\n".join(lines), {"recipes": [asdict(one) for one in recipes], "studies": studies})


def recipe_text(name: str) -> Made:
    """The file of a recipe or a study of the package, with its comments.

    Args:
        name: as `recipe_table` lists it.

    Raises:
        InputError: there is none of that name.
    """
    folders = {one: folder for folder, names in ((RECIPES, recipe_names()), (STUDIES, study_names())) for one in names}
    if name not in folders:
        raise InputError(f"no recipe and no study is called {quoted(name)}: choose one of {', '.join(folders)}")
    text = (folders[name] / f"{name}.yaml").read_text(encoding="utf-8")
    return Made(text.rstrip("\n"), {"name": name, "yaml": text})


def _entry(name: str) -> RecipeEntry:
    recipe, text = load_recipe(name), (Path(RECIPES) / f"{name}.yaml").read_text(encoding="utf-8")
    data = recipe.data
    return RecipeEntry(name, _first_sentence(text), data.original, data.subset, data.image_size, _device(recipe))


def _first_sentence(text: str) -> str:
    """The first sentence of the comment at the top of a file."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return re.split(r"(?<=\.)\s", " ".join(lines), maxsplit=1)[0]


def _device(recipe: Recipe) -> str:
    training = recipe.model.pretraining
    long = recipe.model.base is None and training is not None and training.steps > LONG
    return "GPU" if recipe.data.image_size >= PRETRAINED_SIZE or long else "CPU"
