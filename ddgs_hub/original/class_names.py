"""Checks of the classes of an original dataset: usable names, the same in all splits, an image in each, one wnid."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import quoted

CONTROL = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories of control characters and line ends: no name has them


def check_class_names(names: Sequence[str], where: str) -> None:
    """Checks that every class has a name, without control characters, that no other class has.

    Raises:
        InputError: the message names the first class with an unusable name.
    """
    class_of: dict[str, int] = {}
    for k, name in enumerate(names):
        normal = unicodedata.normalize("NFC", name).strip()
        if not normal:
            raise InputError(f"class {k} of {where} has an empty name: name it")
        if any(unicodedata.category(character) in CONTROL for character in name):
            raise InputError(f"class {k} of {where} is called {quoted(name)}, which is no name: rename it")
        if normal in class_of:
            raise InputError(
                f"classes {class_of[normal]} and {k} of {where} are both called {quoted(name)}: rename one"
            )
        class_of[normal] = k


def check_same_classes(names_of: Mapping[str, Sequence[str]]) -> None:
    """Checks that all splits have the same classes in the same order.

    Args:
        names_of: split, as messages call it → names of its classes.

    Raises:
        InputError: the message names the first class that differs.
    """
    (first, names), *others = names_of.items()
    for where, other_names in others:
        if list(other_names) == list(names):
            continue
        if len(other_names) != len(names):
            differ = f"{len(other_names):,} classes, not {len(names):,}"
        else:
            k = next(k for k, pair in enumerate(zip(names, other_names, strict=True)) if len(set(pair)) == 2)
            differ = f"{quoted(other_names[k])} for class {k}, not {quoted(names[k])}"
        raise InputError(f"{where} has {differ} as in {first}: give all splits the same classes in the same order")


def check_every_class(labels: Collection[int], names: Sequence[str], where: str) -> None:
    """Checks that every class has an image.

    Args:
        labels: of the images; repetitions do not matter.
        names: of the classes.
        where: the source, for messages.

    Raises:
        InputError: the message names the first class whose label is not among `labels`.
    """
    missing = [name for k, name in enumerate(names) if k not in labels]
    if missing:
        raise InputError(f"class '{missing[0]}' of {where} has no image: add images or drop the class from the labels")


def check_wnids(
    pairs: Collection[tuple[int, str | None]], wnid_of: dict[int, str | None], names: Sequence[str], where: str
) -> None:
    """Checks that a class has one wnid in all rows, and that no two classes share one.

    Args:
        pairs: label and wnid of some rows.
        wnid_of: label → wnid of the rows checked before; those of `pairs` are added.
        names: of the classes.
        where: the source, for messages.

    Raises:
        InputError: the message names the class and both wnids, or the wnid and both classes.
    """
    for label, wnid in sorted(pairs, key=str):
        if wnid_of.setdefault(label, wnid) != wnid:
            both = f"{quoted(wnid_of[label])} and {quoted(wnid)}"
            raise InputError(f"class {quoted(names[label])} of {where} has the wnids {both}: mend that column")
    label_of: dict[str, int] = {}
    for label, wnid in wnid_of.items():
        if wnid is not None and label_of.setdefault(wnid, label) != label:
            both = f"{quoted(names[label_of[wnid]])} and {quoted(names[label])}"
            raise InputError(f"classes {both} of {where} have the same wnid {quoted(wnid)}: mend that column")
