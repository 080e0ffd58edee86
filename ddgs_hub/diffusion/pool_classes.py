"""The classes of a pool: their names, their wnids and their indices in the DiT."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from datasets import Dataset
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import CLASSES_FILE
from ddgs_hub.core.hub_client import why_no_model
from ddgs_hub.core.model_files import UNREACHABLE, ModelFiles
from ddgs_hub.core.rows import class_names
from ddgs_hub.core.schema import Index, Name, read_json
from ddgs_hub.core.text import quoted
from ddgs_hub.original import imagenet_index


@dataclass(frozen=True)
class PoolClasses:
    """The classes of a pool, in label order.

    Attributes:
        names: of the ClassLabel.
        wnids: None for a class that is not a WordNet synset.
        dit_ids: the class indices of the DiT.
    """

    names: list[Name]
    wnids: list[Name | None]
    dit_ids: list[Index]

    @classmethod
    def of(cls, rows: Dataset, label_space: Literal["imagenet", "dataset"]) -> "PoolClasses":
        """The classes of an original dataset, for a DiT that was trained on ImageNet-1k's classes or on the dataset's.

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
        """Reads the classes that `write` put beside a DiT, in its folder or its Hub repository.

        Raises:
            InputError: there is no `classes.json`, or it cannot be used.
        """
        files = ModelFiles.of(dit, revision)
        try:
            path = files.get(CLASSES_FILE)
        except UNREACHABLE as error:
            is_missing = isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)
            if files.on_hub and not is_missing:
                reason = why_no_model(files.name, revision, error)
                raise InputError(f"cannot read {CLASSES_FILE} of {dit}: {reason}") from error
            raise InputError(
                f"{dit} has no {CLASSES_FILE}: give the recipe of a subset, or a DiT that ddgs-hub made"
            ) from error
        return read_json(path, cls, f"{CLASSES_FILE} of {dit}").checked(f"{CLASSES_FILE} of {dit}")

    def checked(self, where: str) -> "PoolClasses":
        """These classes, after a check.

        Raises:
            InputError: a class lacks one of the three, or two classes share a name or an index.
        """
        if not len(self.names) == len(self.wnids) == len(self.dit_ids) > 0:
            counts = f"{len(self.names)} names, {len(self.wnids)} wnids and {len(self.dit_ids)} indices"
            raise InputError(f"{where} has {counts}: a class has one of each")
        for values in (self.names, self.dit_ids):
            if len(set(values)) < len(values):
                twice = next(value for k, value in enumerate(values) if value in values[:k])
                raise InputError(f"{where} has {quoted(twice)} twice: classes differ in name and index")
        return self

    def require_known(self, num_classes: int, where: str) -> None:
        """Checks the indices against the classes of a DiT, 0 … `num_classes` − 1.

        Raises:
            InputError: the DiT does not know a class.
        """
        if max(self.dit_ids) >= num_classes:
            known = f"the DiT knows 0 … {num_classes - 1}"
            raise InputError(f"{where} has the class index {max(self.dit_ids)}, {known}: give classes of this DiT")

    def write(self, folder: str | Path) -> None:
        """Writes `classes.json` into the folder of a DiT."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (Path(folder) / CLASSES_FILE).write_text(text + "\n", encoding="utf-8")
