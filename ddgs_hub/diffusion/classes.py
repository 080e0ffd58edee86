"""The classes of a pool: what the DiT, the dataset and WordNet call them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from datasets import Dataset
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HTTPError

from ddgs_hub.errors import InputError
from ddgs_hub.rows import class_names
from ddgs_hub.subsets import imagenet_index

CLASSES_FILE = "classes.json"


@dataclass(frozen=True)
class PoolClasses:
    """The classes of a pool, in label order.

    Attributes:
        names: for the ClassLabel.
        wnids: null where a class is no WordNet synset.
        dit_ids: the class index that the DiT knows.
    """

    names: list[str]
    wnids: list[str | None]
    dit_ids: list[int]

    @classmethod
    def of(cls, rows: Dataset, label_space: Literal["imagenet", "dataset"]) -> "PoolClasses":
        """The classes of an original dataset, for a DiT that knows ImageNet-1k's or the dataset's own.

        Raises:
            InputError: the DiT knows ImageNet-1k's classes and a class of the dataset has no wnid.
        """
        names = class_names(rows)
        wnid_of = dict(zip(rows["label"], rows["wnid"], strict=True)) if "wnid" in rows.column_names else {}
        wnids = [wnid_of.get(k) for k in range(len(names))]
        if label_space == "dataset":
            return cls(names, wnids, list(range(len(names))))
        for name, wnid in zip(names, wnids, strict=True):
            if wnid is None:
                raise InputError(f"class '{name}' has no wnid, so its ImageNet-1k index is unknown: set data.subset")
        return cls(names, wnids, [imagenet_index(str(wnid)) for wnid in wnids])

    @classmethod
    def read(cls, dit: str | Path, revision: str | None = None) -> "PoolClasses":
        """What `write` left beside a DiT, in its folder or under its Hub id.

        Raises:
            InputError: there is no `classes.json`.
        """
        path = Path(dit) / CLASSES_FILE
        try:
            if not Path(dit).exists():
                path = Path(hf_hub_download(str(dit), CLASSES_FILE, revision=revision))
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, HTTPError) as error:
            raise InputError(
                f"{dit} has no {CLASSES_FILE}: give the recipe of a subset, or a DiT that ddgs-hub made"
            ) from error

    def write(self, folder: str | Path) -> None:
        """Writes `classes.json` into the folder of a DiT."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (Path(folder) / CLASSES_FILE).write_text(text + "\n", encoding="utf-8")
