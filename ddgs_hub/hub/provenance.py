"""What a `provenance.json` says, read by a schema: a stranger may have written it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from ddgs_hub.core.hub_client import is_repo_id
from ddgs_hub.core.schema import FOREIGN, Json, Line, Name, NonNegativeInt, read_bytes, read_json, read_values
from ddgs_hub.core.text import one_line
from ddgs_hub.hub.layout import CONTENT, DEFAULT, PROVENANCE, PUBLISHED, config_pattern

SECTIONS = ("recipe", CONTENT, PUBLISHED, "source")  # a file is ours if one of these is an object
MOST_OF_SETTINGS = 100_000  # characters of JSON; a recipe has two thousand
MOST_FILES = 100_000  # of a version; in files of 500 MB that is 50 TB


def _require_small(values: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(values)) > MOST_OF_SETTINGS:
        raise ValueError("it is larger than any that ddgs-hub writes")
    return values


def _require_id(name: str) -> str:
    if not is_repo_id(name):
        raise ValueError("it is no id of a repository on the Hub")
    return name


def _require_inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or "\\" in path or parts[0] == "/" or ".." in parts:
        raise ValueError("it names no file of the repository")
    return path


Settings = Annotated[Json, AfterValidator(_require_small)]  # with any keys: a recipe of this or another version
HubId = Annotated[str, AfterValidator(_require_id)]
Commit = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
SplitName = Annotated[str, Field(pattern=r"^\w[\w.-]{0,99}$")]  # it becomes part of a pattern of file names
RepoPath = Annotated[str, Field(max_length=1_000), AfterValidator(_require_inside)]
Command = Annotated[str, AfterValidator(lambda text: one_line(text, 20_000))]


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Content:
    """Hashes and numbers that tell one version from another; which of them a folder has depends on its kind.

    Attributes:
        rows: SHA-256 of the rows of a dataset, see `hashes.hash_rows`.
        weights: SHA-256 of the weights of a model, see `hashes.hash_weights`.
        num_rows: number of rows.
        mean_difficulty: of the rows, 0 … 1.
        pool: hash of the pool that the rows were selected from.
        dit: identity of the DiT that generated the pool.
        scorer: identity of the scorer.
        source: identity of what was scored.
        base: identity of the base that was fine-tuned.
        original: fingerprint of the images that a model was trained on.
    """

    rows: Sha256 | None = None
    weights: Sha256 | None = None
    num_rows: NonNegativeInt | None = None
    mean_difficulty: Annotated[float, Field(ge=0, le=1)] | None = None
    pool: Line | None = None
    dit: Line | None = None
    scorer: Line | None = None
    source: Line | None = None
    base: Line | None = None
    original: Line | None = None

    def to_dict(self) -> dict[str, Any]:
        """Those that the folder has, as JSON values."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Published:
    """What publishing adds: the version, what differs from the version before, and the files of the version."""

    version: Line | None = None
    changes: Line | None = None
    files: Annotated[tuple[RepoPath, ...], Field(max_length=MOST_FILES)] = ()


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Source:
    """Which rows were scored. The id is one of the Hub; it is never a path on the reader's machine."""

    id: HubId | None = None
    commit: Commit | None = None
    config: Name | None = None
    split: SplitName | None = None
    subset: Name | None = None


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class License:
    """The license of a model, as in the front matter of a card."""

    license: Line
    license_name: Line | None = None
    license_link: Line | None = None


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Described:
    """What somebody says of a pool that ddgs-hub did not generate; nobody has checked it.

    Attributes:
        pretty_name: of the images, for people.
        license: of the images, as the Hub names it.
        generator: what made them; None: not recorded.
    """

    pretty_name: Line
    license: Line = "other"
    generator: Line | None = None


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Provenance:
    """What a `provenance.json` says; what it does not say is None, or empty.

    Attributes:
        kind: a name of `kinds.KINDS`.
        recipe: the settings; see `recipe.parse_recipe`.
        versions: library → version.
        content: what tells this version from others.
        published: what publishing added.
        source: of scored rows: which rows of which dataset; also of a set from them, `id` and `commit`.
        scorer: of scored rows, also of such a pool: `id` and `commit`, or `name` and `weights`.
        sampled: of rows that were sampled from a pool that was there: the pool and the original, the seed, and of a
            pool that ddgs-hub did not generate the settings.
        described: of such a pool, what the person who sampled says of it.
        images: whether scored rows have their images.
        base_model: of a fine-tuned DiT.
        license: of a fine-tuned DiT.
        datasets: what a model was trained on.
        steps: of the training.
        command: the command line that makes the same again.
    """

    kind: Line | None = None
    recipe: Settings | None = None
    versions: Annotated[dict[Name, Line], Field(max_length=100)] = Field(default_factory=dict)
    content: Content | None = None
    published: Published = Field(default_factory=Published)
    source: Source | None = None
    scorer: Settings | None = None
    sampled: Settings | None = None
    described: Described | None = None
    images: bool | None = None
    base_model: HubId | None = None
    license: License | None = None
    datasets: Annotated[list[HubId], Field(max_length=1_000)] | None = None
    steps: NonNegativeInt | None = None
    command: Command | None = None

    @property
    def row_pattern(self) -> str:
        """The pattern of the files that the configuration `default` loads: a scored original keeps its split's name."""
        return config_pattern(DEFAULT, (self.source and self.source.split) or "train")


def read_provenance(path: Path, where: str) -> Provenance:
    """Reads a `provenance.json`; gives an empty one if there is no such file, or if it is not ours.

    Args:
        path: the file.
        where: the folder or repository, for messages.

    Raises:
        InputError: it cannot be read, or does not fit the schema.
    """
    return parse_provenance(provenance_values(path, where) if path.is_file() else {}, where)


def provenance_values(path: Path, where: str) -> dict[str, Any]:
    """The JSON values of a `provenance.json`; empty where the file is not ours.

    Raises:
        InputError: it cannot be read, is nested too deeply, or has numbers that are too large.
    """
    text = read_bytes(path, f"{PROVENANCE} of {where}")
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    except (ValueError, RecursionError):  # numbers of thousands of digits, and deep nesting: refused below
        pass
    else:
        if not isinstance(values, dict) or not any(isinstance(values.get(name), dict) for name in SECTIONS):
            return {}
    return read_json(text, Json, f"{PROVENANCE} of {where}")


def parse_provenance(values: Mapping[str, Any], where: str) -> Provenance:
    """What the values of a `provenance.json` say.

    Raises:
        InputError: they do not fit the schema.
    """
    return read_values(dict(values), Provenance, f"{PROVENANCE} of {where}")
