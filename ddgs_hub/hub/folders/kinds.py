"""The kinds of folders that can be published: which files go to the Hub, and what tells two versions apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import (
    ADAPTER_FILE,
    ANY_FOLD,
    CLASSES_FILE,
    CONFIG_FILE,
    FOLDS_FILE,
    PIPELINE_INDEX,
    TRANSFORMER,
    VAE,
    WEIGHTS_FILE,
)
from ddgs_hub.core.rows import DATA
from ddgs_hub.core.soft_labels import SOFT_LABEL_COLUMNS
from ddgs_hub.core.text import quoted
from ddgs_hub.hub.folders.hashes import hash_distilled, hash_scored, hash_weights
from ddgs_hub.hub.layout import DEFAULT, ORIGINAL, POOL, POOL_CONFIGS, RECIPE, SCORED_NAME, figure_path, parquet_pattern
from ddgs_hub.hub.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of folder.

    Attributes:
        name: in `provenance.json`.
        called: the name for people.
        repo_type: of its repository on the Hub.
        made_of: key of `content` → its name for people; a change of one of these values raises MAJOR.
        files: patterns of the files that are published beside the card and `provenance.json`.
        columns: folder → the columns that its Parquet files may have.
        identity: the key of `content` that holds the hash of what is in the folder; if it alone changes, MINOR is
            raised.
        identify: computes this hash from the folder.
        other_rows: what a change of `identity` alone means, for people.
    """

    name: str
    called: str
    repo_type: Literal["dataset", "model"]
    made_of: Mapping[str, str]
    files: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    identity: str
    identify: Callable[[Path], str]
    other_rows: str = ""

    @property
    def keys(self) -> set[str]:
        """The keys that `content` must have."""
        return {self.identity, *self.made_of}


def kind_of(provenance: Provenance, where: str) -> Kind:
    """The kind that a `provenance.json` names; without a name it is a distilled set, as in early versions.

    Raises:
        InputError: it names an unknown kind.
    """
    name = provenance.kind or DISTILLED.name
    kinds = {kind.name: kind for kind in KINDS}
    if name not in kinds:
        raise InputError(
            f"{where} names the unknown kind {quoted(name)}: this version of ddgs-hub knows {', '.join(kinds)}"
        )
    return kinds[name]


# Columns of generated images; and those of any that were scored with soft labels.
GENERATED = ("image", "label", "wnid", "pool_index", "seed", "difficulty", "difficulty_log", "difficulty_bin")
SCORED_IMAGES = (*GENERATED, *SOFT_LABEL_COLUMNS)
PICTURES, ROWS = figure_path("*"), parquet_pattern(DEFAULT)
OF_A_CLASSIFIER = (CONFIG_FILE, WEIGHTS_FILE)


DISTILLED = Kind(
    name="distilled",
    called="distilled set",
    repo_type="dataset",
    made_of={"pool": "pool", "dit": "DiT", "scorer": "scorer"},
    files=(RECIPE, ROWS, PICTURES, *map(parquet_pattern, POOL_CONFIGS)),
    columns={
        DATA: SCORED_IMAGES,
        POOL: (*SCORED_IMAGES, "selected"),
        ORIGINAL: ("label", "source_index", "difficulty"),
    },
    identity="rows",
    identify=hash_distilled,
    other_rows="new rows from the same pool",
)
SCORED = Kind(
    name=SCORED_NAME,
    called="scored original",
    repo_type="dataset",
    made_of={"source": "source", "scorer": "scorer"},
    files=(ROWS, PICTURES),
    columns={DATA: (*SCORED_IMAGES, "source_index", "selected")},
    identity="rows",
    identify=hash_scored,
    other_rows="other scores of the same source",
)
DIT = Kind(
    name="dit",
    called="DiT",
    repo_type="model",
    made_of={"weights": "DiT"},
    files=(
        *(RECIPE, PIPELINE_INDEX, CLASSES_FILE, ADAPTER_FILE, "scheduler/*.json"),
        *(f"{part}/*.{suffix}" for part in (TRANSFORMER, VAE) for suffix in ("json", "safetensors")),
    ),
    columns={},
    identity="weights",
    identify=hash_weights,
)
SCORER = Kind(
    name="scorer",
    called="scorer",
    repo_type="model",
    made_of={"weights": "scorer"},
    files=(RECIPE, FOLDS_FILE, *OF_A_CLASSIFIER, *(f"{ANY_FOLD}/{name}" for name in OF_A_CLASSIFIER)),
    columns={},
    identity="weights",
    identify=hash_weights,
)
KINDS = (DISTILLED, SCORED, DIT, SCORER)
