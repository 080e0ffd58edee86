"""Published rows for a trainer: at one commit, with the images of their source, and the protocol's transforms."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetInfo, Features, Value
from datasets.fingerprint import generate_random_fingerprint
from datasets.table import InMemoryTable, concat_tables
from numpy.typing import NDArray
from PIL.Image import Image

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.hub_client import dataset_file
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.rows import class_names, require_columns, undecoded
from ddgs_hub.core.soft_labels import soft_targets
from ddgs_hub.core.text import MOST_OF_A_NAME, one_line
from ddgs_hub.evaluation import TrainTransform, ValidationTransform, mix, same_classes
from ddgs_hub.hub.joining import ScoredSource, join_scores
from ddgs_hub.hub.layout import PROVENANCE
from ddgs_hub.hub.provenance import Provenance, read_provenance
from ddgs_hub.hub.publishing import Version
from ddgs_hub.original import find_dataset, load_pinned, load_rows
from ddgs_hub.recipe import Protocol, parse_section

LOG = logging.getLogger(__name__)
LOOKED_AT = 64  # images whose size is looked at, spread over the rows
SMALLEST = 4  # px that a protocol has
NUMBER = "number"  # a column for the transforms: the number of a row, for messages


@dataclass(frozen=True, kw_only=True)
class LoadedDataset:
    """The rows of a published dataset, and how networks are trained on them.

    Attributes:
        rows: with all columns that were published, and with `image` in any case. Here datasets decodes the images;
            `training_rows` and `validation_rows` decode them as all of ddgs-hub does.
        repo_id: as the Hub spells it, or the folder.
        commit: of the revision, 40 hexadecimal digits; None for a folder.
        version: `vMAJOR.MINOR.PATCH` that this commit belongs to; None where it was not published by ddgs-hub.
        named_protocol: of the recipe that made the rows; None where no recipe is known.
    """

    rows: Dataset
    repo_id: str
    commit: str | None
    version: str | None
    named_protocol: Protocol | None

    @cached_property
    def protocol(self) -> Protocol:
        """How networks are trained on the rows: as the recipe says that made them.

        Where no recipe is known it is the paper's protocol at the images' own size, the median of their shorter sides,
        and a warning says so, once for each dataset.
        """
        return self.named_protocol or _own_size(self.rows, self.repo_id)

    def with_protocol(self, protocol: Protocol) -> "LoadedDataset":
        """The same rows with another protocol."""
        return replace(self, named_protocol=protocol)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in label order."""
        return class_names(self.rows)

    @property
    def train_transform(self) -> TrainTransform:
        """PIL image → a random view, float32 `(3, image_size, image_size)`."""
        return TrainTransform(self.protocol)

    @property
    def validation_transform(self) -> ValidationTransform:
        """PIL image → its center, float32 `(3, image_size, image_size)`."""
        return ValidationTransform(self.protocol)

    def training_rows(self) -> Dataset:
        """`image` (transformed anew at each access) and `label` of the rows, for a `torch.utils.data.DataLoader`.

        `label` is the class, or where the protocol trains on soft labels, the probability of each class, float32
        `(classes,)`; `mix` takes either. Access to a row raises an InputError if its image cannot be decoded; the
        message names the row.

        Raises:
            InputError: soft labels are wanted, and missing or wrong.
        """
        soft = soft_targets(self.rows, self.repo_id) if self.protocol.labels == "soft" else None
        return _transformed(self.rows, self.train_transform.batch, soft)

    def validation_rows(self, rows: Dataset) -> Dataset:
        """The same of other rows, such as the validation images of the original dataset, as the protocol tests on them.

        Raises:
            InputError: a column is missing, or they have other classes than these rows.
        """
        require_columns(rows, "image", "label", where="the validation set")
        same_classes(self.rows, rows)
        return _transformed(rows, self.validation_transform.batch)

    def mix(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The protocol's CutMix of a training batch.

        Args:
            images: float32 `(B, 3, image_size, image_size)`.
            labels: int64 `(B,)`, or soft ones, float32 `(B, classes)`.

        Returns:
            The images, and float32 targets `(B, classes)` for a cross entropy.
        """
        return mix(images, labels, len(self.class_names), self.protocol)


def load(
    repo_id: str | Path,
    name: str | None = None,
    *,
    split: str = "train",
    revision: str | None = None,
    source: str | Path | None = None,
) -> LoadedDataset:
    """Loads a dataset that ddgs-hub published, or any with `image` and `label`, at one commit.

    Scores that were published without images are joined with those of their source, at the commit where they were
    scored; the images are kept in the cache of datasets. The environment is that of the Hub's libraries: HF_HOME,
    HF_TOKEN, HF_ENDPOINT; with HF_HUB_OFFLINE what was loaded once is read from the caches.

    Args:
        repo_id: a Hub id or `owner/name@revision`, or a folder that holds the files of a repository.
        name: the configuration, such as `pool`; None: the default one.
        split: which split of it.
        revision: a tag, a branch or a commit; None: the newest commit.
        source: of scores without images: a folder or Hub id to read the images from instead.

    Raises:
        InputError: there is no such dataset, revision, configuration or split, it or the source of its images may not
            be read, the two do not fit together, or the published protocol cannot be used.
        ConnectionLostError: the Hub does not answer.
    """
    repository, revision = named_revision(str(repo_id), revision)
    folder = expanded(repo_id)
    if folder.is_dir():
        if revision is not None:
            raise InputError(f"{repo_id} is a folder and has no revision '{revision}': leave it out, or give a Hub id")
        where, commit, provenance = str(repo_id), None, _read(folder / PROVENANCE, str(repo_id))
        rows = load_rows(folder, split, config=name)
    else:
        pinned = find_dataset(repository, name, revision)
        where, commit = pinned.id, pinned.commit
        provenance = _read(dataset_file(pinned, PROVENANCE, revision), where)
        rows = load_pinned(pinned, split, name)
    if "image" not in rows.column_names:
        scored = ScoredSource.read(provenance, where, str(source) if source else None)
        rows = join_scores(rows, scored.images(), where, scored.id)
    return LoadedDataset(
        rows=rows,
        repo_id=where,
        commit=commit,
        version=_version(provenance),
        named_protocol=_protocol(provenance, where),
    )


def _read(file: Path | None, where: str) -> Provenance:
    return read_provenance(file, where) if file else Provenance()


def _version(provenance: Provenance) -> str | None:
    version = Version.parse(provenance.published.version)
    return str(version) if version else None


def _protocol(provenance: Provenance, where: str) -> Protocol | None:
    """The protocol of the recipe; None where no recipe is known."""
    if provenance.recipe is None:
        return None
    values: Any = provenance.recipe.get("evaluate") or {}
    return parse_section(Protocol, values, f"the protocol (recipe.evaluate) in {PROVENANCE} of {where}")


def _own_size(rows: Dataset, where: str) -> Protocol:
    """The paper's protocol at the size of the images themselves, of those that can be decoded."""
    looked_at = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)).tolist()
    cells = undecoded(rows.select_columns("image"))
    sides = []
    for row in looked_at:
        with suppress(InputError):  # a broken image is named when it is used
            sides.append(min(decode_image(cells[row]["image"], row).size))
    size = max(int(np.median(sides)), SMALLEST) if sides else Protocol().image_size
    _warn_of_size(where, size)
    return Protocol(image_size=size, crop_pct=1.0)


@cache
def _warn_of_size(where: str, size: int) -> None:
    """Once for each dataset in a process."""
    LOG.warning(
        "%s names no protocol (recipe.evaluate in its %s): its images are taken at their own %d px, and otherwise as "
        "in the paper; `with_protocol` takes another",
        one_line(where, MOST_OF_A_NAME),
        PROVENANCE,
        size,
    )


def _transformed(
    rows: Dataset, transform: Callable[[Sequence[Image]], torch.Tensor], soft: NDArray[np.float32] | None = None
) -> Dataset:
    numbered = _numbered(undecoded(rows.select_columns(["image", "label"])))
    return numbered.with_transform(partial(_apply, transform, soft))


def _numbered(rows: Dataset) -> Dataset:
    """The rows with a column of their numbers. Unlike `add_column`, this copies no image."""
    places = rows._indices  # of each row its place in the table behind them; None: they are all of the table
    numbers = np.zeros(len(rows.data), dtype=np.int64)
    numbers[slice(None) if places is None else places.column(0).to_numpy()] = np.arange(len(rows))
    table = concat_tables([rows.data, InMemoryTable.from_pydict({NUMBER: numbers})], axis=1)
    info = DatasetInfo(features=Features({**rows.features, NUMBER: Value("int64")}))
    return Dataset(table, info, indices_table=places, fingerprint=generate_random_fingerprint())


def _apply(
    transform: Callable[[Sequence[Image]], torch.Tensor], soft: NDArray[np.float32] | None, batch: dict[str, Any]
) -> dict[str, Any]:
    """At module level, so that workers of a data loader can unpickle it."""
    images = [decode_image(cell, row) for cell, row in zip(batch["image"], batch[NUMBER], strict=True)]
    labels = batch["label"] if soft is None else list(torch.from_numpy(soft[batch[NUMBER]]))
    return {"image": transform(images), "label": labels}
