"""What a `provenance.json` tells, read by a schema: a stranger may have written it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from ddgs_hub.core.schema import FOREIGN, Count, Json, Line, Name, read_bytes, read_json, read_values
from ddgs_hub.core.text import one_line
from ddgs_hub.hub.layout import CONTENT, DEFAULT, PROVENANCE, PUBLISHED, config_pattern

SECTIONS = ("recipe", CONTENT, PUBLISHED, "source")  # a file in which none of these is an object is not ours
MOST_OF_SETTINGS = 100_000  # characters of JSON; a recipe has two thousand
MOST_FILES = 100_000  # of a version; in files of 500 MB that is 50 TB


def _small(values: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(values)) > MOST_OF_SETTINGS:
        raise ValueError("it is larger than any that ddgs-hub writes")
    return values


def _hub_id(name: str) -> str:
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ValueError("it is no id of a repository on the Hub") from error
    return name


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or "\\" in path or parts[0] == "/" or ".." in parts:
        raise ValueError("it names no file of the repository")
    return path


Settings = Annotated[Json, AfterValidator(_small)]  # of any keys: a recipe of this or another version
HubId = Annotated[str, AfterValidator(_hub_id)]
Commit = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
SplitName = Annotated[str, Field(pattern=r"^\w[\w.-]{0,99}$")]  # it becomes part of a pattern of file names
Inside = Annotated[str, Field(max_length=1_000), AfterValidator(_inside)]
Command = Annotated[str, AfterValidator(lambda text: one_line(text, 20_000))]


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Content:
    """Hashes and numbers that tell one version from another; which of them there are depends on the kind.

    Attributes:
        rows: SHA-256 of the rows of a dataset.
        weights: SHA-256 of the weights of a model.
        num_rows: how many.
        mean_difficulty: of the rows.
        pool: what the rows were selected from, by a hash.
        dit: what generated them.
        scorer: what scored them.
        source: what was scored.
        base: what was fine-tuned.
        original: what a model was trained on.
    """

    rows: Sha256 | None = None
    weights: Sha256 | None = None
    num_rows: Count | None = None
    mean_difficulty: Annotated[float, Field(ge=0, le=1)] | None = None
    pool: Line | None = None
    dit: Line | None = None
    scorer: Line | None = None
    source: Line | None = None
    base: Line | None = None
    original: Line | None = None

    def to_dict(self) -> dict[str, Any]:
        """Those that are there, as JSON values."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Published:
    """What publishing wrote: the version, what differs from the one before, and the files that it brought."""

    version: Line | None = None
    changes: Line | None = None
    files: Annotated[tuple[Inside, ...], Field(max_length=MOST_FILES)] = ()


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Source:
    """Which rows were scored. The id is one of the Hub, never a path of who reads this."""

    id: HubId | None = None
    commit: Commit | None = None
    config: Name | None = None
    split: SplitName | None = None
    subset: Name | None = None


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class License:
    """The license of a model, as the front matter of a card has it."""

    license: Line
    license_name: Line | None = None
    license_link: Line | None = None


@dataclass(frozen=True, kw_only=True, config=FOREIGN)
class Provenance:
    """What a `provenance.json` tells; None, or empty, is what it does not.

    Attributes:
        kind: a name of `kinds.KINDS`.
        recipe: what made it; see `recipe.parse_recipe`.
        versions: library → version.
        content: what tells it from others.
        published: what publishing wrote.
        source: of scored rows.
        scorer: of scored rows: `id` and `commit`, or `name` and `weights`.
        sampled: of rows that were sampled from a published pool: from which, and with which seed.
        images: whether scored rows have theirs.
        base_model: of a fine-tuned DiT.
        license: of a fine-tuned DiT.
        datasets: what a model was trained on.
        steps: of the training.
        command: the command line that makes it again.
    """

    kind: Line | None = None
    recipe: Settings | None = None
    versions: Annotated[dict[Name, Line], Field(max_length=100)] = Field(default_factory=dict)
    content: Content | None = None
    published: Published = Field(default_factory=Published)
    source: Source | None = None
    scorer: Settings | None = None
    sampled: Settings | None = None
    images: bool | None = None
    base_model: HubId | None = None
    license: License | None = None
    datasets: Annotated[list[HubId], Field(max_length=1_000)] | None = None
    steps: Count | None = None
    command: Command | None = None

    @property
    def row_pattern(self) -> str:
        """The pattern of the files that our card's configuration `default` loads: a scored original names its split."""
        return config_pattern(DEFAULT, (self.source and self.source.split) or "train")


def read_provenance(path: Path, where: str) -> Provenance:
    """What a `provenance.json` tells; nothing where there is none, or where somebody else's file has that name.

    Args:
        path: the file.
        where: whose it is, for messages.

    Raises:
        InputError: it cannot be read, or tells what none of ours does.
    """
    return parse_provenance(provenance_values(path, where) if path.is_file() else {}, where)


def provenance_values(path: Path, where: str) -> dict[str, Any]:
    """The JSON values of a `provenance.json`, to be compared; empty where somebody else's file has that name.

    Raises:
        InputError: it cannot be read, or is nested or has numbers as none of ours.
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
    """What the values of a `provenance.json` tell.

    Raises:
        InputError: what none of ours does.
    """
    return read_values(dict(values), Provenance, f"{PROVENANCE} of {where}")
