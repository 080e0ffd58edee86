"""What ImageNet calls its classes, in its order: wnids, and English names with their synonyms."""

import re
from collections.abc import Sequence
from functools import lru_cache

IMAGENET_SIZE = 1000
WNID = re.compile(r"n\d{8}(?!\d)")  # a class name may go on behind it: Stanford Dogs' n02085620-Chihuahua
Candidates = list[frozenset[str]]  # of each class the wnids of those that it may be


def normalised_name(name: str) -> str:
    """A class name without what its writers differ in: `Golden_Retriever` is `golden retriever`."""
    return name.replace("_", " ").strip().casefold()


def synonyms(name: str) -> set[str]:
    """A name as it is, and each of its synonyms between commas."""
    return {normalised_name(part) for part in [name, *name.split(",")]}


@lru_cache
def imagenet_names(num_classes: int) -> tuple[list[str], dict[str, str]]:
    """Wnids and names of timm's ImageNet of that many classes; empty where there is none."""
    from timm.data import ImageNetInfo, infer_imagenet_subset  # imported here: timm brings torch

    subset = infer_imagenet_subset({"num_classes": num_classes})
    if subset is None:
        return [], {}
    info = ImageNetInfo(subset)
    return list(info.label_names()), dict(info.label_descriptions(as_dict=True))


def candidates(names: Sequence[str]) -> Candidates:
    """Which classes of ImageNet each of these may be, by its wnid or its name.

    A name is compared with those of the ImageNet of as many classes, else of ImageNet-1k: with its whole list of
    synonyms first, then with each of them. "crane" may be two.
    """
    known = _by_alias(len(names) if imagenet_names(len(names))[0] else IMAGENET_SIZE)

    def wnids(name: str) -> frozenset[str]:
        if stated := WNID.match(name):
            return frozenset({stated[0]})
        whole = known.get(normalised_name(name), frozenset())
        return whole if len(whole) == 1 else frozenset().union(*(known.get(alias, ()) for alias in synonyms(name)))

    return [wnids(name) for name in names]


def in_imagenets_order(names: Sequence[str]) -> bool:
    """Whether these are the classes of timm's ImageNet of as many classes, in its order.

    Half of the names must agree: published models spell some classes in their own way, but a list in another order
    agrees hardly anywhere.
    """
    known, descriptions = imagenet_names(len(names))
    if not known:
        return False
    pairs = zip(names, known, strict=True)
    return sum(bool(synonyms(name) & (synonyms(descriptions[wnid]) | {wnid})) for name, wnid in pairs) > len(names) / 2


def wnids_by_order(names: Sequence[str]) -> list[str | None] | None:
    """The wnid of each of these classes, where they are in ImageNet's order; None instead of the list where not.

    A name that is another class's is taken at its word, unless that class has its own place in the list, too: by order
    alone, images would get the wnid of what they do not show. None stands for a class whose name fits several others,
    and for the background, the first of 1,001.
    """
    if len(names) == IMAGENET_SIZE + 1:
        rest = wnids_by_order(names[1:])
        return [None, *rest] if rest else None
    if not in_imagenets_order(names):
        return None
    ordered, named = imagenet_names(len(names))[0], candidates(names)
    placed = {wnid for wnid, found in zip(ordered, named, strict=True) if wnid in found}

    def wnid(own: str, found: frozenset[str]) -> str | None:
        others = found - placed
        if own in found or not others:
            return own
        return next(iter(others)) if len(others) == 1 else None

    return [wnid(*both) for both in zip(ordered, named, strict=True)]


@lru_cache
def _by_alias(num_classes: int) -> dict[str, frozenset[str]]:
    known: dict[str, set[str]] = {}
    wnids, descriptions = imagenet_names(num_classes)
    for wnid in wnids:
        for alias in synonyms(descriptions[wnid]):
            known.setdefault(alias, set()).add(wnid)
    return {alias: frozenset(found) for alias, found in known.items()}
