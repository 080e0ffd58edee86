"""Whether a recipe fits the images that it is carried out on; asked before anything is computed.

A recipe of the package is made for its own images. On others it may go through to the end and be worthless: a base of
other classes, a size at which nothing of the images is left, a scorer that does not know them. Each is refused in one
sentence that names the way out.
"""

import shlex

from datasets import ClassLabel

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.original import ColumnNames, SourceRows, class_key, get_subset, is_built_in, open_source, short_sides
from ddgs_hub.recipe import Recipe

# How many times the recipe's size an image's shorter side may be. ImageNet's are 1.5 times the 256 px of the paper, and
# 6 times the 64 px of `imagenette64`, which was made for them: a recipe of a subset is not asked.
MOST_TIMES = 3
LOOKED_AT = 16  # images, for their size
NAMED = 3  # classes that a message names


def refuse_unfit(recipe: Recipe, *, size_is_meant: bool) -> None:
    """Refuses a recipe whose base, size or scorer does not fit its original images, or whose labels nobody makes.

    Args:
        recipe: with the source that it is to be carried out on.
        size_is_meant: whether the user has chosen `data.image_size`, in a file or on the command line; else it comes
            from a recipe of the package, and is compared with the images.

    Raises:
        InputError: the source cannot be opened, lacks classes of the subset, or the recipe does not fit.
        ConnectionLostError: the Hub cannot be reached.
    """
    data = recipe.data
    if recipe.evaluate.labels == "soft" and recipe.score.soft_labels is None:
        raise InputError(
            "evaluate.labels is soft, and score.soft_labels says of how many classes: set that as well, to the number "
            "of classes at most"
        )
    columns = ColumnNames(data.image_column, data.label_column)
    rows = open_source(
        data.original, data.train_split, config=data.config, revision=data.revision, column_names=columns
    )
    names = _classes(recipe, rows)
    _refuse_base(recipe, names)
    if not size_is_meant and data.subset is None and not is_built_in(data.original):
        _refuse_size(recipe, rows)
    if data.subset or "wnid" not in rows.features:  # its rows would tell which classes of ImageNet they are
        _refuse_scorer(recipe, names)


def _refuse_size(recipe: Recipe, rows: SourceRows) -> None:
    """Refuses a size of the package's recipe at which little is left of the images."""
    size, sides = recipe.data.image_size, short_sides(rows, LOOKED_AT)
    side = sorted(sides)[len(sides) // 2] if sides else 0
    if side > MOST_TIMES * size:
        raise InputError(
            f"recipe {recipe.name} has a data.image_size of {size} px, and the images of {recipe.data.original} have "
            f"{side} px: {_way_out(recipe)}, or choose a size by --set data.image_size=…"
        )


def _way_out(recipe: Recipe) -> str:
    data = recipe.data
    source = f"{data.original}@{data.revision}" if data.revision else data.original
    config = ["--config", data.config] if data.config else []
    line = shlex.join(["ddgs-hub", "init", source, *config, "--output", "recipe.yaml"])
    return f"`{line}` writes a recipe that fits them"


def _classes(recipe: Recipe, rows: SourceRows) -> list[str]:
    """The classes that the original dataset will have, in label order; no row is read."""
    label = rows.features["label"]
    if not isinstance(label, ClassLabel):
        raise InputError(f"column 'label' of {rows.where} is {label}, not a ClassLabel: cast it, to name the classes")
    if recipe.data.subset is None:
        return list(label.names)
    subset = get_subset(recipe.data.subset)
    try:
        class_key(rows.features, subset, rows.where)
    except InputError as error:
        raise InputError(f"{error}; or {_way_out(recipe)}") from error
    return list(subset.class_names)


def _refuse_base(recipe: Recipe, names: list[str]) -> None:
    """Refuses a base of the package on other classes, or at another size, than it was trained on."""
    from ddgs_hub.diffusion import PoolClasses, base_path, base_size

    base, size = recipe.model.base, recipe.data.image_size
    if base is None or base_path(base) == base:
        return
    known, own_size = PoolClasses.read(base_path(base)).names, base_size(base_path(base))
    if names != known:
        raise InputError(
            f"the base {quoted(base)} of recipe {recipe.name} makes images of {len(known)} classes ({_listed(known)}) "
            f"at {own_size} px, and {recipe.data.original} has {len(names)} classes ({_listed(names)}): "
            f"{_way_out(recipe)}"
        )
    if size != own_size:
        raise InputError(
            f"the base {quoted(base)} of recipe {recipe.name} makes images of {own_size} px, and data.image_size is "
            f"{size}: set that to {own_size}, or {_way_out(recipe)}"
        )


def _refuse_scorer(recipe: Recipe, names: list[str]) -> None:
    """Refuses a scorer whose configuration shows that it does not know the classes; its weights are not fetched."""
    from ddgs_hub.difficulty import read_scorer_classes

    scorer, subset = recipe.score.scorer, recipe.data.subset
    classes = read_scorer_classes(scorer, recipe.score.revision) if scorer else None
    if classes is None:
        return
    try:
        classes.indices(names, get_subset(subset).wnids if subset else None, scorer=f"the scorer {scorer}")
    except InputError as error:
        raise InputError(f"{error}; or {_way_out(recipe)}") from error


def _listed(names: list[str]) -> str:
    more = ", …" if len(names) > NAMED else ""
    return ", ".join(one_line(name, 40) for name in names[:NAMED]) + more
