"""Which classes an original dataset has, and which of a source they are: by wnid, by name, and last by position."""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from datasets import ClassLabel, Features, Image, Value

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import quoted
from ddgs_hub.original.imagenet import IMAGENET_SIZE, Candidates, candidates, imagenet_names, wnids_by_order
from ddgs_hub.original.reading import Chunk, Position, SourceRows
from ddgs_hub.original.subsets import Subset

ORIGINAL_COLUMNS = ("image", "label", "wnid", "source_index")
NUMBER = re.compile(r"(?:LABEL_)?(\d{1,5})", re.ASCII)  # folders 0 … 999, and what transformers writes without names
CONTROL = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories that no name has


def original_rows(
    source: SourceRows, subset: Subset | None, position: Position | None = None
) -> tuple[Features, Iterator[Chunk]]:
    """The features of an original dataset, and its rows out of a source: of a subset those of its classes alone.

    Raises:
        InputError: the labels have no names or unusable ones, the classes of the subset are not found, or, while rows
            are read, a label is outside the classes.
    """
    label, where = source.features["label"], source.where
    if not isinstance(label, ClassLabel):
        raise InputError(f"column 'label' of {where} is {label}, not a ClassLabel: cast it, so that classes have names")
    check_class_names(label.names, where)
    key, to_label = _class_key(source.features, subset, where)
    names = list(subset.class_names) if subset else label.names
    features = Features(image=Image(), label=ClassLabel(names=names), wnid=Value("string"), source_index=Value("int64"))

    wnid_of: dict[int, str | None] = {}

    def choose(keys: pa.Table, first_row: int) -> Sequence[int]:
        return [k for k, value in enumerate(keys.column(key).to_pylist()) if value in to_label]

    def chunks() -> Iterator[Chunk]:
        for chunk in source.read(ORIGINAL_COLUMNS, choose, position):
            known, labels = chunk.table, [to_label[value] for value in chunk.table.column(key).to_pylist()]
            columns: dict[str, Any] = {"image": known.column("image"), "label": labels}
            if subset:
                columns["wnid"] = [subset.wnids[value] for value in labels]
            elif "wnid" in known.column_names:
                columns["wnid"] = known.column("wnid")
                _check_wnids(set(zip(labels, known.column("wnid").to_pylist(), strict=True)), wnid_of, names, where)
            else:
                columns["wnid"] = pa.nulls(len(known))
            counted = "source_index" in known.column_names
            columns["source_index"] = known.column("source_index") if counted else chunk.rows
            yield Chunk(pa.table(columns), chunk.rows, chunk.position)

    return features, chunks()


def _check_wnids(
    pairs: Collection[tuple[int, str | None]], wnid_of: dict[int, str | None], names: Sequence[str], where: str
) -> None:
    """Adds labels and their wnids to those that are known; refuses a class of two, and one of two classes."""
    for label, wnid in sorted(pairs, key=str):
        if wnid_of.setdefault(label, wnid) != wnid:
            both = f"{quoted(wnid_of[label])} and {quoted(wnid)}"
            raise InputError(f"class {quoted(names[label])} of {where} has the wnids {both}: mend that column")
    classes: dict[str, int] = {}
    for label, wnid in wnid_of.items():
        if wnid is not None and classes.setdefault(wnid, label) != label:
            both = f"{quoted(names[classes[wnid]])} and {quoted(names[label])}"
            raise InputError(f"classes {both} of {where} have the same wnid {quoted(wnid)}: mend that column")


def check_every_class(present: Collection[int], names: list[str], where: str) -> None:
    """Raises an InputError that names the first class of `names` whose label is not among those present."""
    missing = [name for k, name in enumerate(names) if k not in present]
    if missing:
        raise InputError(f"class '{missing[0]}' of {where} has no image: add images or drop the class from the labels")


def check_class_names(names: Sequence[str], where: str) -> None:
    """Raises an InputError where a class has no name, one that nobody would give, or that of another class."""
    first: dict[str, int] = {}
    for k, name in enumerate(names):
        known = unicodedata.normalize("NFC", name).strip()
        if not known:
            raise InputError(f"class {k} of {where} has an empty name: name it")
        if any(unicodedata.category(c) in CONTROL for c in name):
            raise InputError(f"class {k} of {where} is called {quoted(name)}, which is no name: rename it")
        if known in first:
            raise InputError(f"classes {first[known]} and {k} of {where} are both called {quoted(name)}: rename one")
        first[known] = k


def check_same_classes(classes: Mapping[str, Sequence[str]]) -> None:
    """Raises an InputError where a split of `classes`, by its name in messages, has other ones or another order."""
    (first, names), *others = classes.items()
    for where, theirs in others:
        if list(theirs) == list(names):
            continue
        if len(theirs) != len(names):
            differ = f"{len(theirs):,} classes, not {len(names):,}"
        else:
            k = next(k for k, pair in enumerate(zip(names, theirs, strict=True)) if len(set(pair)) == 2)
            differ = f"{quoted(theirs[k])} for class {k}, not {quoted(names[k])}"
        raise InputError(f"{where} has {differ} as in {first}: give all splits the same classes in the same order")


def _class_key(features: Features, subset: Subset | None, where: str) -> tuple[str, dict[int | str, int]]:
    """The column that tells the classes apart, and the new label of each of its values that is wanted."""
    label = features["label"]
    if subset is None:
        return "label", {k: k for k in range(label.num_classes)}
    if "wnid" in features:
        return "wnid", {wnid: k for k, wnid in enumerate(subset.wnids)}
    return "label", {theirs: ours for ours, theirs in enumerate(_find(subset, label.names, where))}


def _find(subset: Subset, names: Sequence[str], where: str) -> list[int]:
    """The label in a source of each class of a subset.

    By wnid, by name, then by number; by position where the names are ImageNet's in its order, or there are none.

    Raises:
        InputError: a class is found nowhere, or in several places.
    """
    numbered = _by_number(subset, names)
    if numbered:
        return numbered
    named, ordered = candidates(names), wnids_by_order(names) or []
    found = []
    for wnid, name in zip(subset.wnids, subset.class_names, strict=True):
        hits = [k for k, possible in enumerate(named) if possible == {wnid}]
        hits = hits or [k for k, placed in enumerate(ordered) if placed == wnid]
        if len(hits) != 1:
            raise _not_found(subset, name, hits, names, named, where)
        found += hits
    return found


def _by_number(subset: Subset, names: Sequence[str]) -> list[int] | None:
    """The label of each class where classes are called by ImageNet's index: 0 … 999, in whatever order they are.

    With 1,001 classes 0 is the background, and all others are one behind; a folder of a subset alone may be called by
    its ten. Other numbers are a dataset's own: 300 classes 0 … 299 are not ImageNet's first.
    """
    matches = [NUMBER.fullmatch(name) for name in names]
    numbers = [int(match[1]) for match in matches if match]
    background = len(names) == IMAGENET_SIZE + 1
    wanted = [index + background for index in subset.imagenet_indices]
    whole = len(names) in (IMAGENET_SIZE, IMAGENET_SIZE + 1) and sorted(numbers) == list(range(len(names)))
    if len(numbers) == len(names) and (whole or sorted(numbers) == sorted(wanted)):
        return [numbers.index(index) for index in wanted]
    return None


def _not_found(
    subset: Subset, name: str, hits: Sequence[int], names: Sequence[str], named: Candidates, where: str
) -> InputError:
    """Why a subset cannot be taken out of a source, with three of its classes beside those of ImageNet."""
    known, descriptions = imagenet_names(len(names))
    if not known:
        known, descriptions = imagenet_names(IMAGENET_SIZE)
    others = [k for k, (wnid, found) in enumerate(zip(known, named, strict=False)) if wnid not in found]
    pairs = ((k, quoted(names[k]), descriptions[known[k]].split(",")[0]) for k in others[:3])
    shown = "".join(f", class {k} is {theirs} where ImageNet has '{ours}'" for k, theirs, ours in pairs)
    several = " and ".join(quoted(names[k]) for k in hits)
    reason = f"{several} are both '{name}'" if hits else f"none is clearly '{name}'"
    return InputError(
        f"cannot find {subset.pretty_name} in the {len(names):,} classes of {where}: {reason}{shown}; it needs a "
        "column 'wnid', or classes called by wnid, by ImageNet's name or index (0 … 999), or in its order"
    )
