"""The set of images that each method of a study makes, and the tasks that make it."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from datasets import Dataset

from ddgs_hub.core.processes import is_main, run_on_main
from ddgs_hub.core.rows import read_rows, read_selected
from ddgs_hub.core.text import printable
from ddgs_hub.recipe import Recipe
from ddgs_hub.recipe.ranges import Distribution
from ddgs_hub.recipe.study import Cell
from ddgs_hub.stages.compare import make_baseline
from ddgs_hub.stages.matching import make_matching
from ddgs_hub.stages.pool_stages import (
    BASE_POOL,
    ORIGINAL,
    POOL,
    SCORED_ORIGINAL,
    SCORED_POOL,
    SCORER,
    Stage,
    pool_stages,
)
from ddgs_hub.stages.sample import make_distilled
from ddgs_hub.stages.study.study_folder import Made, StudyFolder
from ddgs_hub.stages.study.tasks import Task

STAGES = {  # whose outputs a method reads; what those are made of comes along
    "random": (ORIGINAL,),
    "k-center": (ORIGINAL, SCORER),
    "herding": (ORIGINAL, SCORER),
    "dit": (BASE_POOL,),
    "dm": (ORIGINAL,),
    "idc-1": (ORIGINAL,),
    "minimax": (POOL,),
    "ours": (SCORED_ORIGINAL, SCORED_POOL),
    "full": (ORIGINAL,),
}
SELECTIONS = ("random", "k-center", "herding")  # greedy, or one permutation: a smaller one is the beginning of a larger


@dataclass(frozen=True)
class ImageSet:
    """The images of a method.

    Attributes:
        task: that makes them.
        folder: where they are.
        first: how many of each class count, from the first; None: all.
    """

    task: str
    folder: Path
    first: int | None

    def read(self) -> Dataset:
        """The rows, with their images."""
        if self.first is None:
            return read_rows(self.folder)
        labels = np.asarray(read_rows(self.folder, names=["label"])["label"])
        place = np.empty(len(labels), dtype=np.int64)  # of each image among those of its class
        for label in np.unique(labels):
            place[labels == label] = np.arange((labels == label).sum())
        return read_selected(self.folder, np.flatnonzero(place < self.first))


class Sets:
    """The sets of one dataset's cells, and the tasks that make them.

    Args:
        recipe: of the dataset.
        folder: of what its studies make.
        cells: that are wanted: only what these need is made.
        command: the command line, for cards.
    """

    def __init__(self, recipe: Recipe, folder: Path, cells: Sequence[Cell], command: str) -> None:
        self.recipe, self.command = recipe, command
        self.methods = {cell.method.method for cell in cells}
        self.largest = max((cell.ipc for cell in cells if cell.ipc), default=1)
        sizes = [self._pool_size(cell) * cell.ipc for cell in cells if cell.ipc and cell.method.method == "ours"]
        self.folders = StudyFolder(folder, self.largest)
        self.folders = replace(
            self.folders,
            per_class=self.folders.size_made(_slug(POOL), max([self.largest, *sizes])),
            base_per_class=self.folders.size_made(_slug(BASE_POOL), self.largest),
        )

    def image_set(self, cell: Cell) -> ImageSet:
        """Where the images of a cell are, or will be."""
        method, ipc, folders = cell.method.method, cell.ipc, self.folders
        if method == "full":
            return ImageSet(ORIGINAL, folders.original, None)
        if method in ("dit", "minimax"):
            stage = {"dit": BASE_POOL, "minimax": POOL}[method]
            return ImageSet(self._task_name(stage), {BASE_POOL: folders.base_pool, POOL: folders.pool}[stage], ipc)
        if method in SELECTIONS:
            name = f"{method}-{folders.size_made(method, self.largest)}"
            return ImageSet(name, folders.set(name), ipc)
        name = f"{method}-ipc{ipc}"
        if method == "ours":
            name = f"ours-{self._distribution(cell)}-n{self._pool_size(cell)}-ipc{ipc}"
        return ImageSet(name, folders.set(name), None)

    def tasks(self, cells: Iterable[Cell]) -> list[Task]:
        """What must be made for these cells, stages first."""
        wanted = list(cells)
        stages = self._stages({cell.method.method for cell in wanted})
        tasks: dict[str, Task] = {}
        for stage in stages:
            name = self._task_name(stage.name)
            tasks[name] = self._task(name, stage.work, self._needs(stage.made_of, stages, stage.name))
        for cell in wanted:
            name = self.image_set(cell).task
            if name not in tasks:
                tasks[name] = self._task(name, self._maker(cell), self._needs(STAGES[cell.method.method], stages))
        return list(tasks.values())

    def needs(self, cell: Cell) -> tuple[str, ...]:
        """The tasks before a cell can be trained: its set is made, and nobody replaces the folder meanwhile."""
        before = self._needs(STAGES[cell.method.method], self._stages(self.methods))
        return (self.image_set(cell).task, *before)

    def seconds(self, cell: Cell) -> float:
        """What making the set of a cell took, with all that it is made of."""
        names = [self._task_name(stage) for stage in self._closure(STAGES[cell.method.method])]
        names = list(dict.fromkeys([*names, self.image_set(cell).task]))
        return sum(self.folders.read_made(name).seconds for name in names if self.folders.is_made(name))

    def _stages(self, methods: Iterable[str]) -> list[Stage]:
        """The stages that these methods need, in order."""
        wanted = self._closure(stage for method in methods for stage in STAGES[method])
        return [stage for stage in self._all_stages() if stage.name in wanted]

    def _needs(self, names: Iterable[str], stages: Sequence[Stage], maker: str = "") -> tuple[str, ...]:
        """The tasks before one that reads the outputs of the stages `names`.

        Scores are written into the folder of the images, in their place: who reads the folder waits for that, too,
        but for the stages that the scores are made of.
        """
        read = self._closure(names)
        folders = [stage.output for stage in stages if stage.name in read]
        before = self._closure([*read, *(stage.name for stage in stages if stage.output in folders)])
        return tuple(
            self._task_name(stage.name)
            for stage in stages
            if stage.name in before and maker not in self._closure([stage.name])
        )

    def _all_stages(self) -> list[Stage]:
        sizes = {"per_class": self.folders.per_class, "plain_per_class": self.folders.base_per_class}
        return pool_stages(self.recipe, self.folders, **sizes, command=self.command)

    def _closure(self, names: Iterable[str]) -> set[str]:
        """These stages and all that they are made of."""
        made_of = {stage.name: stage.made_of for stage in self._all_stages()}
        closed: set[str] = set()
        waiting = [name for name in names if name in made_of]
        while waiting:
            name = waiting.pop()
            closed.add(name)
            waiting += made_of[name]
        return closed

    def _task_name(self, stage: str) -> str:
        """Pools of several sizes are several tasks."""
        size = {
            POOL: self.folders.per_class,
            SCORED_POOL: self.folders.per_class,
            BASE_POOL: self.folders.base_per_class,
        }
        return f"{_slug(stage)}-{size[stage]}" if stage in size else _slug(stage)

    def _task(self, name: str, make: Callable[[], str], needs: tuple[str, ...]) -> Task:
        def work() -> None:
            start = time.perf_counter()
            made = Made(make(), round(time.perf_counter() - start, 1))
            if is_main():
                self.folders.write_made(name, made)
                print(printable(f"{name:<24}{made.made}  ({made.seconds} s)"), flush=True)

        return Task(name, lambda: self.folders.is_made(name), work, needs)

    def _maker(self, cell: Cell) -> Callable[[], str]:
        """Makes the set of a cell, which no stage makes; called by all processes of a launch."""
        method, ipc, recipe, folders = cell.method.method, cell.ipc, self.recipe, self.folders
        output = self.image_set(cell).folder
        assert ipc is not None
        if method in ("dm", "idc-1"):
            return lambda: make_matching(recipe, method, folders.original, output, ipc=ipc, command=self.command)
        if method == "ours":
            settings = replace(
                recipe.sample, ipc=ipc, distribution=self._distribution(cell), pool_size=self._pool_size(cell)
            )
            return _on_main(
                lambda: str(make_distilled(settings, folders.pool, folders.original, output, seed=recipe.seed)["text"])
            )
        scorer = str(recipe.score.scorer or folders.scorer)
        size = int(output.name.removeprefix(f"{method}-"))
        return _on_main(
            lambda: make_baseline(method, folders.original, output, ipc=size, scorer=scorer, seed=recipe.seed)
        )

    def _distribution(self, cell: Cell) -> Distribution:
        return cell.method.distribution or self.recipe.sample.distribution

    def _pool_size(self, cell: Cell) -> int:
        return cell.method.pool_size or self.recipe.pool.size


def _on_main(make: Callable[[], str]) -> Callable[[], str]:
    return lambda: run_on_main(make)


def _slug(stage: str) -> str:
    """The name of a stage as a file name."""
    return re.sub(r"\W+", "-", stage).strip("-").lower()
