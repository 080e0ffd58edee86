"""Studies: the cells of a table of the paper, and what the paper reports in them, as YAML.

A study says methods, images per class, networks and repeats. The recipe says all else: the data, how images are made,
and the protocol. So one study serves every dataset.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe.protocol import NetworkName
from ddgs_hub.recipe.ranges import SECTION, Count, Distribution, Mixture, NonNegative
from ddgs_hub.recipe.reading import RECIPES, parse_section, read_yaml, yaml_path
from ddgs_hub.recipe.sections import FileName

STUDIES = RECIPES / "studies"
SETTINGS = ("distribution", "divergence", "mixture", "pool", "pool_size")  # of `ours` alone
ONLY_KEYS = ("dataset", "method", *SETTINGS, "ipc", "network", "repeat")

MethodName = Literal["random", "k-center", "herding", "dit", "dm", "idc-1", "minimax", "ours", "full"]
# What `ours` samples from: the pool of the fine-tuned DiT or of its base, all original images, a selection of them in
# which easy ones are frequent, and what the base generates with the guides `modes` and `difficulty`.
PoolName = Literal["minimax", "dit", "real", "easy-real", "modes", "difficulty"]
DRAWN = ("random", "dit", "minimax", "ours")  # methods of which there is more than one draw …
# … but for `ours` to these, which leave nothing to chance, of a pool that is not drawn itself.
SETTLED = ("quantile", "easy", "curriculum")
Axis = Literal["dataset", "ipc", "network", "method"]


def parse_accuracy(text: str) -> tuple[float, float]:
    """Mean and standard deviation in % of a text such as `37.4 ± 0.3`.

    Raises:
        ValueError: it is no such text.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ± (\d+(?:\.\d+)?)", text)
    if not found:
        raise ValueError(f"'{text}' is no accuracy such as 37.4 ± 0.3")
    return float(found[1]), float(found[2])


def _is_accuracy(text: str) -> str:
    parse_accuracy(text)
    return text


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Method:
    """What makes a set of images."""

    method: MethodName
    distribution: Distribution | None = None  # of `ours`; None: the recipe's, as with all that follows
    divergence: Literal["paper", "reference"] | None = None  # direction of Eq. 9's KL divergences
    mixture: Mixture | None = None  # α of the distribution `mixture`, and of no other
    pool: PoolName | None = None  # what it samples from; None: that of the fine-tuned DiT, `minimax`
    pool_size: Count | None = None  # n

    def __post_init__(self) -> None:
        given = [key for key in SETTINGS if getattr(self, key) is not None]
        if self.method != "ours" and given:
            raise ValueError(f"{', '.join(given)}: settings of ours, not of {self.method}")
        if self.mixture is not None and self.distribution != "mixture":
            raise ValueError(
                f"mixture {self.mixture:g} decides nothing here: add distribution: mixture, or leave it away"
            )

    @property
    def label(self) -> str:
        """As a table names it: the method, or what tells it from other settings of `ours`, such as `dit: scale`."""
        name = self.distribution or (f"n = {self.pool_size}" if self.pool_size else self.method)
        told = [str(value) for value in (self.divergence, self.mixture) if value is not None]
        remark = f" ({', '.join(told)})" if told else ""
        return f"{self.pool}: {name}{remark}" if self.pool else f"{name}{remark}"

    @property
    def samples_from(self) -> PoolName | None:
        """The pool of `ours`; None where no pool is sampled from."""
        return (self.pool or "minimax") if self.method == "ours" else None


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Network:
    """A network that is trained on every set."""

    network: NetworkName
    width: Count | None = None  # None: the recipe's if that is its network, or else the reference's


def _mapping(key: str) -> BeforeValidator:
    """A name alone stands for a mapping of `key` to it."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


Methods = Annotated[list[Annotated[Method, _mapping("method")]], Field(min_length=1)]
Networks = Annotated[list[Annotated[Network, _mapping("network")]], Field(min_length=1)]
Ipcs = Annotated[list[Count], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Adapted:
    """What takes the place of a study's values with one recipe: its images may be too few, or too small."""

    ipc: Ipcs | None = None
    networks: Networks | None = None


@dataclass(frozen=True)
class Cell:
    """One network that is trained on one set and tested; see `Study.cells`."""

    dataset: str  # name of the recipe
    method: Method
    ipc: int | None  # None: all images, of `full`
    network: Network
    repeat: int
    draw: int = 0  # which of the draws of its set; see `Study.draws`

    @property
    def pool(self) -> str | None:
        """The pool that its set is sampled from; each draw of `easy-real`, a draw itself, has one of its own."""
        name = self.method.samples_from
        return f"{name}-draw{self.draw}" if name == "easy-real" and self.draw else name

    @property
    def coordinates(self) -> dict[str, str]:
        """What `--only` chooses by, as text; what a cell does not have is missing."""
        values = {
            "dataset": self.dataset,
            "method": self.method.method,
            **{key: getattr(self.method, key) for key in SETTINGS},
            "pool": self.method.samples_from,
            "ipc": self.ipc,
            "network": self.network.network,
            "repeat": self.repeat,
        }
        return {key: str(value) for key, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Study:
    """A table: its cells are datasets × methods × images per class × networks × repeats."""

    name: FileName  # of the table's files
    title: str
    recipes: Annotated[list[str], Field(min_length=1)]  # of the paper's datasets; `--recipe` takes their place
    methods: Methods
    ipc: Ipcs
    networks: Networks  # `convnet` has the depth that fits the images, 6 at 224 px
    epochs: dict[Count, Count] = Field(default_factory=dict)  # by IPC; where it has none, the recipe's protocol decides
    repeats: Count = 3
    # Sets of each method that is drawn by chance: repeat r trains on draw r mod `draws`, which has the seed + r mod
    # `draws`, or of the first generated images of each class those that follow the ones of the draw before.
    draws: Count = 1
    # Whether half of the validation images of each class, by a hash of their bytes, choose the best test, and the
    # other half alone give the accuracies; else the best of all tests is the best by the images that it is told of.
    halves: bool = False
    headline: Literal["accuracy", "improvement"] = "accuracy"  # what the table begins with; over the reference
    easy_bias: NonNegative = 4.0  # k of the pool `easy-real`: images are drawn in proportion to (1 − difficulty)^k
    rows: Annotated[list[Axis], Field(min_length=1)]
    columns: Axis
    reference: str  # label of the method that the others are compared with
    adapted: dict[str, Adapted] = Field(default_factory=dict)  # by the name of a recipe
    # Top-1 accuracy, %: name of a recipe → network → IPC → label of a method → mean ± standard deviation.
    paper: dict[str, dict[str, dict[int, dict[str, Annotated[str, AfterValidator(_is_accuracy)]]]]] = Field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        if self.columns in self.rows:
            raise ValueError(f"{self.columns} is in rows and in columns")
        labels = [method.label for method in self.methods]
        if len(set(labels)) < len(labels):
            raise ValueError("two methods have the same label")
        networks = [network.network for network in self.networks]
        for what, values in (("recipes", self.recipes), ("ipc", map(str, self.ipc)), ("networks", networks)):
            if max(Counter(values).values()) > 1:
                raise ValueError(f"{what} names one of them twice")
        axes = (*self.rows, self.columns)
        needed = {"method": True, "ipc": True, "dataset": len(self.recipes) > 1, "network": len(self.networks) > 1}
        for axis in needed:
            if needed[axis] and axis not in axes:
                raise ValueError(f"{axis} must be in rows or in columns")
        if self.reference not in labels:
            raise ValueError(f"the reference {self.reference} is none of its methods: choose of {', '.join(labels)}")

    def for_recipe(self, name: str) -> "Study":
        """The study as it is carried out with the recipe of this name."""
        adapted = self.adapted.get(name, Adapted())
        return replace(self, ipc=adapted.ipc or self.ipc, networks=adapted.networks or self.networks)

    def cells(self, dataset: str) -> list[Cell]:
        """All cells of one dataset, those of one set together. The full dataset has no IPC, so its cells are few."""
        cells = []
        for method in self.methods:
            settled = method.distribution in SETTLED and method.samples_from != "easy-real"
            draws = self.draws if method.method in DRAWN and not settled else 1
            for ipc in [None] if method.method == "full" else self.ipc:
                of_set = [
                    Cell(dataset, method, ipc, network, repeat, repeat % draws)
                    for network in self.networks
                    for repeat in range(self.repeats)
                ]
                cells += sorted(of_set, key=lambda cell: cell.draw)
        return cells

    def paper_value(self, dataset: str, network: str, ipc: int, label: str) -> tuple[float, float] | None:
        """Mean and standard deviation that the paper reports, %; None where it reports nothing."""
        text = self.paper.get(dataset, {}).get(network, {}).get(ipc, {}).get(label)
        return parse_accuracy(text) if text else None


def study_names() -> list[str]:
    """Names of the studies that come with the package."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def load_study(name_or_path: str | Path) -> Study:
    """Reads a study of the package by name, or a YAML file by path.

    Raises:
        InputError: there is no such study, or a key, type or range in it is wrong; the message names it.
    """
    path = yaml_path(name_or_path, STUDIES, "study")
    return parse_section(Study, {"name": path.stem, **read_yaml(path, "study")}, f"study {name_or_path}")


def select_cells(cells: Sequence[Cell], only: Sequence[str]) -> list[Cell]:
    """The cells that `--only KEY=VALUE,VALUE` chooses; each further option chooses among them.

    A cell without the key, such as the full dataset without an IPC, is in every row, and is chosen.

    Raises:
        InputError: there is no such key, or no cell has one of the values.
    """
    chosen = list(cells)
    for text in only:
        key, _, values = text.partition("=")
        if key not in ONLY_KEYS or not values:
            raise InputError(f"--only takes KEY=VALUE,VALUE with a KEY of {', '.join(ONLY_KEYS)}, got '{text}'")
        known = {cell.coordinates[key]: None for cell in cells if key in cell.coordinates}
        for value in values.split(","):
            if value not in known:
                there = f"there are {', '.join(known)}" if known else "this study does not tell them apart"
                raise InputError(f"--only {text}: no cell has the {key} '{value}'; {there}")
        chosen = [cell for cell in chosen if cell.coordinates.get(key) in [None, *values.split(",")]]
    return chosen
