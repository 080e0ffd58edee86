"""The sets that networks are trained on and tested on: folders, or datasets on the Hub, checked before any training."""

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.hub_client import Pinned
from ddgs_hub.core.soft_labels import soft_targets
from ddgs_hub.hub import EvaluatedOn
from ddgs_hub.original import cached_rows, find_dataset, is_built_in, load_pinned, load_rows
from ddgs_hub.recipe import Protocol, Recipe


@dataclass(frozen=True)
class ValidationSet:
    """Real images to test on, by the name that a table has, and where on the Hub others find them."""

    name: str
    rows: Dataset
    pinned: Pinned | None


def validation_sets(recipe: Recipe, names: Sequence[str]) -> list[ValidationSet]:
    """The sets of these names, or the recipe's own if there are none.

    Raises:
        InputError: a set cannot be read.
    """
    split, subset = recipe.data.validation_split, recipe.data.subset
    if not names:
        return [_own_validation_set(recipe)]
    return [
        ValidationSet(name, *open_rows(name, split, subset, folder_split="validation")) for name in dict.fromkeys(names)
    ]


def _own_validation_set(recipe: Recipe) -> ValidationSet:
    data = recipe.data
    for key in ("validation_share", "image_column", "label_column"):  # only `prepare` reads by these
        if getattr(data, key) is not None:
            raise InputError(
                f"recipe {recipe.name} has data.{key}: give the folder that `ddgs-hub prepare` writes as --validation"
            )
    on_hub = not (is_built_in(data.original) or expanded(data.original).is_dir())
    pinned = find_dataset(data.original, data.config, data.revision) if on_hub else None
    commit = pinned.commit if pinned else data.revision
    rows = cached_rows(data.original, data.validation_split, config=data.config, commit=commit, subset=data.subset)
    return ValidationSet(data.original, rows, pinned)


def open_sets(
    sources: Sequence[str], subset: str | None, tests: Sequence[Dataset], protocols: Sequence[Protocol]
) -> dict[str, Dataset]:
    """The rows of each set that is trained on, checked against what it is trained by and tested on.

    Args:
        sources: folders in Hub layout, or `OWNER/NAME` or `OWNER/NAME@REVISION`.
        subset: whose classes are taken of sets on the Hub. Of one with soft labels its own are: those count them.
        tests: the validation images that each is tested on.
        protocols: that it is trained by.

    Raises:
        InputError: a set cannot be read, has other classes than a validation set, or lacks the soft labels that a
            protocol trains on.
    """
    from ddgs_hub.evaluation import same_classes

    soft = any(protocol.labels == "soft" for protocol in protocols)
    sets = {source: open_rows(source, "train", None if soft else subset)[0] for source in sources}
    for source, rows in sets.items():
        for test in tests:
            same_classes(rows, test, source)
        if soft:
            soft_targets(rows, source)
    return sets


def open_rows(
    source: str, split: str, subset: str | None, folder_split: str = "train"
) -> tuple[Dataset, Pinned | None]:
    """The rows of a folder in Hub layout, or of a split on the Hub: of the classes of a subset, in its order.

    Strangers name and order the classes of ImageNet's subsets in their own ways.
    """
    if expanded(source).is_dir() or source.partition("@")[0].count("/") != 1:
        return load_rows(source, folder_split), None
    pinned = find_dataset(source)
    if subset is None:
        return load_pinned(pinned, split), pinned
    return cached_rows(pinned.id, split, commit=pinned.commit, subset=subset), pinned


def evaluated_on(pinned: Pinned | None, recipe: Recipe) -> EvaluatedOn:
    """Validation images as a card names them.

    Raises:
        InputError: they are not on the Hub.
    """
    if pinned is None:
        raise InputError("a card names what was tested on so that others find it: give a Hub dataset as --validation")
    split = recipe.data.validation_split
    return EvaluatedOn(id=pinned.id, name=recipe.hub.pretty_name, split=split, revision=pinned.commit)
