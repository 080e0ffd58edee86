"""The classes of ImageNet, by timm's lists: their wnids in order, and their English names with synonyms."""

import re
from collections.abc import Sequence
from functools import lru_cache

IMAGENET_SIZE = 1000
WNID = re.compile(r"n\d{8}(?!\d)")  # a class name may go on behind it, as n02085620-Chihuahua of Stanford Dogs
Candidates = list[frozenset[str]]  # for each class the wnids that it may have


def normalised_name(name: str) -> str:
    """A class name without the differences of spelling: `Golden_Retriever` is `golden retriever`."""
    return name.replace("_", " ").strip().casefold()


def synonyms(name: str) -> set[str]:
    """A class name as it is, and each of its synonyms between commas; normalised."""
    return {normalised_name(part) for part in [name, *name.split(",")]}


@lru_cache
def imagenet_names(num_classes: int) -> tuple[list[str], dict[str, str]]:
    """The ImageNet of timm with so many classes: its wnids in order, and wnid → names; both empty if there is none."""
    from timm.data import ImageNetInfo, infer_imagenet_subset  # imported here: timm loads torch

    subset = infer_imagenet_subset({"num_classes": num_classes})
    if subset is None:
        return [], {}
    info = ImageNetInfo(subset)
    return list(info.label_names()), dict(info.label_descriptions(as_dict=True))


def candidates(names: Sequence[str]) -> Candidates:
    """Which classes of ImageNet each of these classes may be, by a wnid in its name or by the name itself.

    A name is compared with those of the ImageNet with as many classes, or else of ImageNet-1k: first with the whole
    list of synonyms of a class, then with each synonym. Some names fit two classes, such as "crane".
    """
    wnids_of = _wnids_by_synonym(len(names) if imagenet_names(len(names))[0] else IMAGENET_SIZE)

    def wnids(name: str) -> frozenset[str]:
        if stated := WNID.match(name):
            return frozenset({stated[0]})
        whole = wnids_of.get(normalised_name(name), frozenset())
        return whole if len(whole) == 1 else frozenset().union(*(wnids_of.get(part, ()) for part in synonyms(name)))

    return [wnids(name) for name in names]


def in_imagenets_order(names: Sequence[str]) -> bool:
    """Whether these are the classes of the ImageNet with as many classes, in its order.

    More than half of the names must agree. Published models spell some classes in their own way, but a list in another
    order agrees hardly anywhere.
    """
    wnids, descriptions = imagenet_names(len(names))
    if not wnids:
        return False
    agree = [
        bool(synonyms(name) & (synonyms(descriptions[wnid]) | {wnid})) for name, wnid in zip(names, wnids, strict=True)
    ]
    return sum(agree) > len(names) / 2


def wnids_by_order(names: Sequence[str]) -> list[str | None] | None:
    """The wnid of each of these classes, if they are in ImageNet's order; None if they are not.

    A class may have the name of another class of ImageNet. It then gets the wnid of that name, unless the other class
    is in its own place, too. By order alone, its images would get a wrong wnid. In the list, None stands for a
    class whose name fits several others, and for the background, the first of 1,001 classes.
    """
    if len(names) == IMAGENET_SIZE + 1:
        rest = wnids_by_order(names[1:])
        return [None, *rest] if rest else None
    if not in_imagenets_order(names):
        return None
    by_order, by_name = imagenet_names(len(names))[0], candidates(names)
    in_place = {wnid for wnid, possible in zip(by_order, by_name, strict=True) if wnid in possible}

    def wnid(in_order: str, possible: frozenset[str]) -> str | None:
        others = possible - in_place
        if in_order in possible or not others:
            return in_order
        return next(iter(others)) if len(others) == 1 else None

    return [wnid(*both) for both in zip(by_order, by_name, strict=True)]


@lru_cache
def _wnids_by_synonym(num_classes: int) -> dict[str, frozenset[str]]:
    wnids_of: dict[str, set[str]] = {}
    wnids, descriptions = imagenet_names(num_classes)
    for wnid in wnids:
        for synonym in synonyms(descriptions[wnid]):
            wnids_of.setdefault(synonym, set()).add(wnid)
    return {synonym: frozenset(possible) for synonym, possible in wnids_of.items()}
