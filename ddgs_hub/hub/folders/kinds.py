"""What can be published: for each kind of folder the files that go to the Hub, and what its versions tell apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ADAPTER_FILE, CLASSES_FILE, CONFIG_FILE, FOLDS_FILE, PIPELINE_INDEX, WEIGHTS_FILE
from ddgs_hub.core.rows import read_rows
from ddgs_hub.core.text import quoted
from ddgs_hub.hub.folders.hashes import describe_rows, hash_scored, hash_weights
from ddgs_hub.hub.layout import DATA, DEFAULT, ORIGINAL, POOL, POOL_CONFIGS, figure_path, parquet_pattern
from ddgs_hub.hub.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of folder.

    Attributes:
        name: in `provenance.json`.
        called: for people.
        repo_type: of its repository on the Hub.
        made_of: key of `content` → its name; where one of these is another, the version is another MAJOR one.
        files: patterns of the files that are published beside the card and `provenance.json`.
        columns: folder → the columns that its Parquet files may have.
        identity: the key of `content` that `identify` must find again in the folder.
        identify: given the folder, the hash of what it holds.
        other_rows: what it means, in words, that `rows` of `content` alone are others: a MINOR version.
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
        """What `content` must have."""
        return {self.identity, *self.made_of}


def kind_of(provenance: Provenance, where: str) -> Kind:
    """The kind that a `provenance.json` names; the distilled sets of earlier versions named none.

    Raises:
        InputError: it names an unknown one.
    """
    name = provenance.kind or DISTILLED.name
    kind = next((kind for kind in KINDS if kind.name == name), None)
    if kind is None:
        known = ", ".join(kind.name for kind in KINDS)
        raise InputError(f"{where} names the unknown kind {quoted(name)}: this version of ddgs-hub knows {known}")
    return kind


GENERATED = ("image", "label", "wnid", "pool_index", "seed", "difficulty", "difficulty_log", "difficulty_bin")
PICTURES, ROWS = figure_path("*"), parquet_pattern(DEFAULT)
OF_A_CLASSIFIER = (CONFIG_FILE, WEIGHTS_FILE)


def _hash_train_rows(folder: Path) -> str:
    return str(describe_rows(read_rows(folder))["rows"])


DISTILLED = Kind(
    name="distilled",
    called="distilled set",
    repo_type="dataset",
    made_of={"pool": "pool", "dit": "DiT", "scorer": "scorer"},
    files=(ROWS, PICTURES, *map(parquet_pattern, POOL_CONFIGS)),
    columns={
        DATA: GENERATED,
        POOL: (*GENERATED, "selected"),
        ORIGINAL: ("label", "source_index", "difficulty"),
    },
    identity="rows",
    identify=_hash_train_rows,
    other_rows="new rows from the same pool",
)
SCORED = Kind(
    name="scored",
    called="scored original",
    repo_type="dataset",
    made_of={"source": "source", "scorer": "scorer"},
    files=(ROWS, PICTURES),
    columns={DATA: (*GENERATED, "source_index", "selected")},
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
        *(PIPELINE_INDEX, CLASSES_FILE, ADAPTER_FILE, "scheduler/*.json"),
        *(f"{part}/*.{suffix}" for part in ("transformer", "vae") for suffix in ("json", "safetensors")),
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
    files=(FOLDS_FILE, *OF_A_CLASSIFIER, *(f"fold-*/{name}" for name in OF_A_CLASSIFIER)),
    columns={},
    identity="weights",
    identify=hash_weights,
)
KINDS = (DISTILLED, SCORED, DIT, SCORER)
