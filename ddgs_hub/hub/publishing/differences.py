"""The rows of a published version without their images: what is needed to compare two versions, of any size."""

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
from ddgs_hub.core.patience import persist
from ddgs_hub.core.rows import read_tables
from ddgs_hub.hub.publishing.remote import Remote, Snapshot

BINS = 10  # of the difficulty, over 0 … 1
IMAGE, NUMBER = "image_sha256", "source_index"  # what rows are told apart by
COMPARED = ("image", "label", "source_index", "difficulty")  # columns; no other is read


@dataclass(frozen=True)
class RowList:
    """Rows of a version.

    Attributes:
        columns: "label" (the name of the class) and what there is of "difficulty", "image_sha256" and "source_index",
            each with a value for every row.
    """

    columns: dict[str, list[Any]]

    @classmethod
    def read(cls, remote: Remote, snapshot: Snapshot) -> "RowList":
        """The rows of a commit, from the cache of huggingface_hub, a few hundred in memory at a time.

        Raises:
            InputError: it has none, or the Hub does not answer.
        """
        pattern = snapshot.provenance.row_pattern
        paths = [path for path in snapshot.hashes if fnmatchcase(path, pattern)]
        if not paths:
            raise InputError(
                f"a version of {remote.repo_id} at {snapshot.commit[:8]} has no {pattern}: "
                "it is no distilled set and no scored original"
            )
        files = [persist(remote.repo_id, partial(remote.download, path, snapshot.commit)) for path in paths]
        where = f"{remote.repo_id} at {snapshot.commit[:8]}"
        schema, tables = read_tables(where, files=files, names=COMPARED)
        label = Features.from_arrow_schema(schema).get("label")
        if not isinstance(label, ClassLabel):
            raise InputError(f"the rows of {where} have no column 'label' with named classes: they cannot be compared")
        names = label.names
        columns: dict[str, list[Any]] = {"label": []}
        columns |= {name: [] for name in ("difficulty", NUMBER) if name in schema.names}
        columns |= {IMAGE: []} if "image" in schema.names else {}
        for table in tables:
            columns["label"] += [names[label] for label in table.column("label").to_pylist()]
            for name in columns.keys() & {"difficulty", NUMBER}:
                columns[name] += table.column(name).to_pylist()
            if IMAGE in columns:
                images = table.column("image").to_pylist()
                columns[IMAGE] += [hashlib.sha256(image["bytes"]).hexdigest() for image in images]
        return cls(columns)

    def listed(self, wanted: Counter[Any], key: str) -> list[dict[str, Any]]:
        """The rows with these keys, as often as is wanted."""
        left, listed = Counter(wanted), []
        labels = self.columns["label"]
        for value, label, difficulty in zip(self.columns[key], labels, self.difficulty, strict=True):
            if left[value] > 0:
                left[value] -= 1
                listed.append({key: value, "label": label, "difficulty": difficulty})
        return listed

    @property
    def difficulty(self) -> Sequence[float | None]:
        """Of every row; None where the version has none."""
        return self.columns.get("difficulty", [None] * len(self.columns["label"]))

    def distribution(self) -> dict[str, Any]:
        """Mean, standard deviation and histogram of the difficulties; of rows without them None and zeros."""
        if not self.columns.get("difficulty"):
            return {"mean": None, "std": None, "histogram": [0] * BINS}
        difficulty = np.asarray(self.difficulty, dtype=np.float32)
        edges = np.linspace(0, 1, BINS + 1, dtype=np.float32)  # of the same type, so that 0.7 is in bin 7
        histogram, _ = np.histogram(difficulty, edges)
        return {
            "mean": float(difficulty.mean(dtype=float)),
            "std": float(difficulty.std(dtype=float)),
            "histogram": histogram.tolist(),
        }


def common_key(a: RowList, b: RowList) -> str:
    """What the rows of both are told apart by: their images, or their numbers in the source where one has no images.

    Raises:
        InputError: they have neither.
    """
    for key in (IMAGE, NUMBER):
        if key in a.columns and key in b.columns:
            return key
    raise InputError("the two versions cannot be compared: one has no images, and not both have a source_index")


def changed_difficulties(a: RowList, b: RowList, key: str) -> dict[str, Any]:
    """How many of the rows in both have another difficulty, and the average and the largest change."""
    first = dict(zip(a.columns[key], a.difficulty, strict=True))
    pairs = [(first.get(value), new) for value, new in zip(b.columns[key], b.difficulty, strict=True)]
    changes = np.array([new - old for old, new in pairs if old is not None and new is not None and new != old])
    if not len(changes):
        return {"rows": 0, "mean": 0.0, "largest": 0.0}
    return {"rows": len(changes), "mean": float(changes.mean()), "largest": float(changes[np.abs(changes).argmax()])}
