"""The rows of a published version without their images, so that versions of any size can be compared."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np
from datasets import ClassLabel, Features

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import BINS, difficulty_histogram
from ddgs_hub.core.hub_client import persist
from ddgs_hub.core.rows import read_tables
from ddgs_hub.hub.publishing.remote import Remote, Snapshot

IMAGE, NUMBER = "image_sha256", "source_index"  # keys that identify a row
COMPARED = ("image", "label", "source_index", "difficulty")  # columns; no other is read


@dataclass(frozen=True)
class RowList:
    """Rows of a version.

    Attributes:
        columns: name → a value for every row. "label" is the name of the class; "difficulty", "image_sha256" and
            "source_index" are here if the version has difficulties, images and numbers in its source.
    """

    columns: dict[str, list[Any]]

    @classmethod
    def read(cls, remote: Remote, snapshot: Snapshot) -> "RowList":
        """The rows of a commit, from the cache of huggingface_hub; a few hundred are in memory at a time.

        Raises:
            InputError: the commit has none, or the Hub does not answer.
        """
        pattern = snapshot.provenance.row_pattern
        paths = [path for path in snapshot.hashes if fnmatchcase(path, pattern)]
        where = f"{remote.repo_id} at {snapshot.commit[:8]}"
        if not paths:
            raise InputError(f"a version of {where} has no {pattern}: it is no distilled set and no scored original")
        files = [persist(remote.repo_id, partial(remote.download, path, snapshot.commit)) for path in paths]
        schema, tables = read_tables(where, files=files, names=COMPARED)
        label = Features.from_arrow_schema(schema).get("label")
        if not isinstance(label, ClassLabel):
            raise InputError(f"the rows of {where} have no column 'label' with named classes: they cannot be compared")
        plain = [name for name in ("difficulty", NUMBER) if name in schema.names]
        with_images = "image" in schema.names
        columns: dict[str, list[Any]] = {name: [] for name in ("label", *plain, *((IMAGE,) if with_images else ()))}
        for table in tables:
            columns["label"] += [label.names[index] for index in table.column("label").to_pylist()]
            for name in plain:
                columns[name] += table.column(name).to_pylist()
            if with_images:
                images = table.column("image").to_pylist()
                columns[IMAGE] += [hashlib.sha256(image["bytes"]).hexdigest() for image in images]
        return cls(columns)

    def rows_of(self, wanted: Counter[Any], key: str) -> list[dict[str, Any]]:
        """The rows whose `key` is wanted, each value as often as it is wanted."""
        left, rows = Counter(wanted), []
        labels = self.columns["label"]
        for value, label, difficulty in zip(self.columns[key], labels, self.difficulty, strict=True):
            if left[value] > 0:
                left[value] -= 1
                rows.append({key: value, "label": label, "difficulty": difficulty})
        return rows

    @property
    def difficulty(self) -> Sequence[float | None]:
        """The difficulty of every row; None where the version has none."""
        return self.columns.get("difficulty", [None] * len(self.columns["label"]))

    def distribution(self) -> dict[str, Any]:
        """`mean`, `std` and `histogram` (counts in ten bins, easy to hard) of the difficulties.

        Without difficulties they are None and zeros.

        Raises:
            InputError: a difficulty is not in 0 … 1.
        """
        if not self.columns.get("difficulty"):
            return {"mean": None, "std": None, "histogram": [0] * BINS}
        difficulty = np.asarray(self.difficulty, dtype=np.float32)
        return {
            "mean": float(difficulty.mean(dtype=float)),
            "std": float(difficulty.std(dtype=float)),
            "histogram": difficulty_histogram(difficulty).tolist(),
        }


def common_key(a: RowList, b: RowList) -> str:
    """The key that identifies the rows of both: their images, or where one has no images their numbers in the source.

    Raises:
        InputError: one has no images, and one has no numbers.
    """
    for key in (IMAGE, NUMBER):
        if key in a.columns and key in b.columns:
            return key
    raise InputError("the two versions cannot be compared: one has no images, and not both have a source_index")


def changed_difficulties(a: RowList, b: RowList, key: str) -> dict[str, Any]:
    """How many of the `rows` in both have another difficulty, and the `mean` and the `largest` change."""
    before = dict(zip(a.columns[key], a.difficulty, strict=True))
    pairs = [(before.get(value), new) for value, new in zip(b.columns[key], b.difficulty, strict=True)]
    changes = np.array([new - old for old, new in pairs if old is not None and new is not None and new != old])
    if not len(changes):
        return {"rows": 0, "mean": 0.0, "largest": 0.0}
    return {"rows": len(changes), "mean": float(changes.mean()), "largest": float(changes[np.abs(changes).argmax()])}
