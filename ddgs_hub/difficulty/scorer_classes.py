"""The classes of a scorer, and how the classes of a dataset map to them."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import class_names
from ddgs_hub.core.text import one_line
from ddgs_hub.original import imagenet_names, normalised_name, synonyms, wnids_by_order

NAMED = 5  # classes that a message names
PLACEHOLDER = re.compile(r"LABEL_\d+")  # transformers' names of classes without names


class ScorerClasses:
    """The classes of a scorer, each with all of its names: wnid, name, synonyms.

    A scorer without class names counts as an ImageNet classifier of that number of classes, as in timm (1000, 21841 …).
    If the names are ImageNet-1k's, in its order, the classes have wnids as well.

    Args:
        num_classes: size of the scorer's softmax.
        names: one per class, in its order; synonyms are separated by commas. None, or `LABEL_0` …: unknown.
        descriptions: further names of a class, by its name.

    Several classes may share a name: two of ImageNet's are cranes. `indices` refuses a class that fits both.

    Raises:
        InputError: there are more or fewer names than classes.
    """

    def __init__(
        self, num_classes: int, names: Sequence[str] | None = None, descriptions: Mapping[str, str] | None = None
    ) -> None:
        self.num_classes = num_classes
        if names is None or all(PLACEHOLDER.fullmatch(name) for name in names):
            names, descriptions = imagenet_names(num_classes)
        elif len(names) != num_classes:
            raise InputError(f"the scorer has {num_classes} classes and {len(names)} names of classes: mend its config")
        descriptions = descriptions or {}
        self._names = list(names)
        self.aliases = [synonyms(name) | synonyms(descriptions.get(name, name)) for name in names]
        if wnids := wnids_by_order(names):
            for names_of_class, wnid in zip(self.aliases, wnids, strict=True):
                names_of_class.update([wnid] if wnid else [])
        self._by_alias: dict[str, list[int]] = {}
        for index, names_of_class in enumerate(self.aliases):
            for alias in names_of_class:
                self._by_alias.setdefault(alias, []).append(index)

    def indices(
        self, names: Sequence[str], wnids: Sequence[str | None] | None = None, *, scorer: str = "the scorer"
    ) -> NDArray[np.int64]:
        """Index in the softmax of each class of a dataset, `(len(names),)`.

        By wnid where the dataset and the scorer both have wnids, else by name, in any case, by any of its synonyms.

        Args:
            names: the dataset's class names, in label order.
            wnids: the dataset's wnids, in label order, where it has them.
            scorer: how messages name the scorer.

        Raises:
            InputError: the scorer has too few classes, or a class fits none of them, or several, or one that another
                class fits too.
        """
        if len(names) > self.num_classes:
            raise InputError(
                f"{scorer} has {self.num_classes} classes, fewer than the {len(names)} of the dataset: "
                "use a scorer that knows them all, or train one with train-scorer"
            )
        if wnids is None or any(wnid is None for wnid in wnids):
            wnids = wnids_by_order(names)
        if wnids is not None and any(wnid in self._by_alias for wnid in wnids if wnid):
            candidates = [self._by_alias.get(wnid or "", []) for wnid in wnids]
        else:
            candidates = [self._by_name(name) for name in names]
        for name, hits in zip(names, candidates, strict=True):
            if len(hits) != 1:
                how = "fits several" if hits else "is none"
                raise InputError(
                    f"class '{name}' {how} of the {self.num_classes} classes of {scorer}{self._examples()}: "
                    "call the class as the scorer does, use a scorer that knows it, or train one with train-scorer"
                )
        indices = np.array([hits[0] for hits in candidates], dtype=np.int64)
        _refuse_shared(indices, names, scorer)
        return indices

    def _examples(self) -> str:
        """The first names, for a message; empty where none are known."""
        if not self._names:
            return ""
        more = ", …" if self.num_classes > NAMED else ""
        return f" ({', '.join(one_line(name, 40) for name in self._names[:NAMED])}{more})"

    def _by_name(self, name: str) -> list[int]:
        whole = self._by_alias.get(normalised_name(name), [])
        if len(whole) == 1:
            return whole
        return sorted({index for alias in synonyms(name) for index in self._by_alias.get(alias, [])})


def class_wnids(rows: Dataset, labels: NDArray[np.int64]) -> list[str | None] | None:
    """The wnid of each class, in label order, from the column `wnid`; None for a class without rows.

    None instead of the list where the dataset has no wnids.

    Raises:
        InputError: rows of one class have different wnids.
    """
    if "wnid" not in rows.column_names:
        return None
    wnids: list[str | None] = [None] * len(class_names(rows))
    for row, (label, wnid) in enumerate(zip(labels.tolist(), rows.with_format(None)["wnid"], strict=True)):
        if wnids[label] not in (None, wnid):
            raise InputError(f"row {row} has wnid {wnid}, others of its class have {wnids[label]}: mend the column")
        wnids[label] = wnid
    return wnids if any(wnids) else None


def _refuse_shared(indices: NDArray[np.int64], names: Sequence[str], scorer: str) -> None:
    first: dict[int, str] = {}
    for index, name in zip(indices.tolist(), names, strict=True):
        if index in first:
            raise InputError(f"classes '{first[index]}' and '{name}' are the same class of {scorer}: rename one")
        first[index] = name
