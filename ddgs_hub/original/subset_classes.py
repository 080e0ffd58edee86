"""Finds the classes of a subset among the classes of a source, by their names."""

import re
from collections.abc import Sequence

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import quoted
from ddgs_hub.original.imagenet import IMAGENET_SIZE, Candidates, candidates, imagenet_names, wnids_by_order
from ddgs_hub.original.subsets import Subset

# Classes called by their index: folders 0 … 999, and LABEL_0 …, which transformers writes where names are missing.
NUMBER = re.compile(r"(?:LABEL_)?(\d{1,5})", re.ASCII)
EXAMPLES = 3  # classes that an error message compares with ImageNet's


def find_subset_classes(subset: Subset, names: Sequence[str], where: str) -> list[int]:
    """The label in a source of each class of a subset.

    Classes that are called by ImageNet's index are found by that. Otherwise a class is found by its wnid or its name,
    or else by its position, if the names of the source are those of ImageNet in its order.

    Args:
        subset: whose classes are looked for.
        names: of the classes of the source, in label order.
        where: the source, for messages.

    Returns:
        One label for each class of the subset, in its order.

    Raises:
        InputError: a class is not found, or found more than once.
    """
    numbered = _labels_by_number(subset, names)
    if numbered:
        return numbered
    by_name, by_order = candidates(names), wnids_by_order(names) or []
    labels = []
    for wnid, name in zip(subset.wnids, subset.class_names, strict=True):
        matches = [k for k, possible in enumerate(by_name) if possible == {wnid}]
        matches = matches or [k for k, placed in enumerate(by_order) if placed == wnid]
        if len(matches) != 1:
            raise _not_found(subset, name, matches, names, by_name, where)
        labels += matches
    return labels


def _labels_by_number(subset: Subset, names: Sequence[str]) -> list[int] | None:
    """The label of each class of the subset, if all classes are called by ImageNet's index, in whatever order.

    Of 1,001 classes 0 is the background, and every other index is one higher. A source with ten classes may hold the
    subset alone. Other numbers are a dataset's own: 300 classes 0 … 299 are not the first of ImageNet.
    """
    matches = [NUMBER.fullmatch(name) for name in names]
    numbers = [int(match[1]) for match in matches if match]
    background = len(names) == IMAGENET_SIZE + 1
    indices = [index + background for index in subset.imagenet_indices]
    whole = len(names) in (IMAGENET_SIZE, IMAGENET_SIZE + 1) and sorted(numbers) == list(range(len(names)))
    if len(numbers) == len(names) and (whole or sorted(numbers) == sorted(indices)):
        return [numbers.index(index) for index in indices]
    return None


def _not_found(
    subset: Subset, name: str, matches: Sequence[int], names: Sequence[str], by_name: Candidates, where: str
) -> InputError:
    """The error for a class that is not found, with examples of how the source's classes differ from ImageNet's."""
    wnids, descriptions = imagenet_names(len(names))
    if not wnids:
        wnids, descriptions = imagenet_names(IMAGENET_SIZE)
    others = [k for k, (wnid, possible) in enumerate(zip(wnids, by_name, strict=False)) if wnid not in possible]
    examples = "".join(
        f", class {k} is {quoted(names[k])} where ImageNet has '{descriptions[wnids[k]].split(',')[0]}'"
        for k in others[:EXAMPLES]
    )
    several = " and ".join(quoted(names[k]) for k in matches)
    reason = f"{several} are both '{name}'" if matches else f"none is clearly '{name}'"
    return InputError(
        f"cannot find {subset.pretty_name} in the {len(names):,} classes of {where}: {reason}{examples}; it needs a "
        "column 'wnid', or classes called by wnid, by ImageNet's name or index (0 … 999), or in its order"
    )
