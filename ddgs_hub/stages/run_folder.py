"""Names of the folders and files of a run, each in one place, and how their JSON is written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddgs_hub.core.files import put_in_place
from ddgs_hub.hub.layout import FIGURES, RUN_ORIGINAL, RUN_POOL, RUN_REPOSITORIES
from ddgs_hub.recipe import Recipe

REPORT = "report.html"  # of a run: a page with its results
FINISHED = "stages.json"  # of a run: which stages are done, what they made, and how long that took
SELECTIONS = "selections.json"  # of a distilled set: thresholds and counts of each class
LOSSES = "losses.json"  # of a trained DiT: every loss at every step
BASE_RECIPE = "recipe.json"  # of a base: how it was trained
RESULTS = "results.json"  # of an evaluation: the accuracies of every method
LATENTS = "latents"  # beside the trained model: the encoded images, which the next training reuses
NETWORKS = "early-networks"  # beside an IDC-1 set: networks that sets of the same images share
# The paper's Figures 2, 3 and 4. Beside each picture lies the same as .svg, for print.
DIFFICULTY_FIGURE, SHEET, DISTRIBUTIONS_FIGURE = "difficulty.png", "sheet.png", "distributions.png"
DISTILLED_FOLDER = "distilled-ipc"  # what the name of a distilled set's folder begins with; its IPC follows


@dataclass(frozen=True)
class Finished:
    """What a stage has made, and what that cost. Folders of before there were values or peaks have none.

    Attributes:
        made: the text of `Made`.
        seconds: that it took.
        values: those of `Made`.
        peak_memory: the most main memory that the process of the run held meanwhile, in bytes, see
            `core.machine.Measured`; None: it is not known.
        peak_gpu_memory: the same of its GPU; None: it used none, or it is not known.
        ended: when, in UTC; this, what it ran on and the code's commit are empty where they are not known.
        device: the GPU, or how many CPU cores.
        commit: of the code; its version where it is installed.
    """

    made: str
    seconds: float
    values: dict[str, Any] = field(default_factory=dict)
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None
    ended: str = ""
    device: str = ""
    commit: str = ""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what its stages make.

    Attributes:
        path: the run folder.
        ipc: images per class of its distilled set.
        repository_name: of that set; empty where it is not needed.
        one_of_several: whether the run has sets of several IPCs: then each has its evaluation and its figures apart.
    """

    path: Path
    ipc: int
    repository_name: str = ""
    one_of_several: bool = False

    @classmethod
    def of_sets(cls, path: Path, recipe: Recipe) -> "list[RunFolder]":
        """The run folder as each distilled set of a recipe sees it, by ascending IPC."""
        several = len(recipe.ipcs) > 1
        return [cls(path, ipc, recipe.hub.repository(ipc), several) for ipc in recipe.ipcs]

    @property
    def original(self) -> Path:
        """The original images; later with their difficulties."""
        return self.path / RUN_ORIGINAL

    @property
    def scored_original(self) -> Path:
        """The original with its difficulties; a run scores it in its place."""
        return self.original

    @property
    def scorer(self) -> Path:
        """The cross-fitted scorer, where the recipe has one trained."""
        return self.path / "scorer"

    @property
    def base(self) -> Path:
        """The DiT that was trained from scratch, where the recipe names no pretrained one."""
        return self.path / "base"

    @property
    def dit(self) -> Path:
        """The fine-tuned DiT."""
        return self.path / "dit"

    @property
    def pool(self) -> Path:
        """What the fine-tuned DiT generates; later with difficulties, and, for one set, with marks on what it took."""
        return self.path / RUN_POOL

    @property
    def base_pool(self) -> Path:
        """What the base generates before it is fine-tuned: IPC images a class, to compare with."""
        return self.path / "pool-dit"

    @property
    def distilled(self) -> Path:
        """The distilled set."""
        return self.path / f"{DISTILLED_FOLDER}{self.ipc}"

    @property
    def evaluation(self) -> Path:
        """Accuracies of networks that were trained on it and on what it is compared with."""
        return self._apart("evaluation")

    @property
    def figures(self) -> Path:
        """The paper's Figures 2, 3 and 4 of it."""
        return self._apart(FIGURES)

    @property
    def repository(self) -> Path:
        """The files of its repository on the Hub."""
        return self.path / RUN_REPOSITORIES / self.repository_name

    def _apart(self, name: str) -> Path:
        return self.path / name / f"ipc{self.ipc}" if self.one_of_several else self.path / name


def write_json(path: Path, values: Any) -> None:
    """Writes JSON whole or not at all."""
    put_in_place(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def write_losses(folder: Path, losses: Mapping[str, Sequence[float]]) -> None:
    """Writes `losses.json`: for each loss its value at every step."""
    write_json(folder / LOSSES, {name: [round(value, 6) for value in values] for name, values in losses.items()})
