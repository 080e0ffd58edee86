"""The set of images that each method of a study makes, and the tasks that make it."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset

from ddgs_hub.core.machine import Measured
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import is_main, run_on_main
from ddgs_hub.core.rows import read_rows, read_selected
from ddgs_hub.core.staging import locked_for_launch
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
from ddgs_hub.stages.run_folder import Finished
from ddgs_hub.stages.sample import make_distilled
from ddgs_hub.stages.score import score_source
from ddgs_hub.stages.score_request import ScoreRequest
from ddgs_hub.stages.study.study_folder import StudyFolder
from ddgs_hub.stages.study.tasks import Task
from ddgs_hub.stages.usability import check_in

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

    All processes of a launch make it together: what lies on the disk is looked at once, by the main one.

    Args:
        recipe: of the dataset.
        folder: of what its studies make.
        cells: that are wanted: only what these need is made.
        command: the command line, for cards.
        say: prints a line on what was made.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, cells: Sequence[Cell], command: str, say: Callable[[str], None]
    ) -> None:
        self.recipe, self.command, self.say = recipe, command, say
        self.largest = max((cell.ipc for cell in cells if cell.ipc), default=1)
        sizes = [self.pool_size(cell) * cell.ipc for cell in cells if cell.ipc and cell.method.method == "ours"]
        least = {POOL: max([self.largest, *sizes]), BASE_POOL: self.largest, **dict.fromkeys(SELECTIONS, self.largest)}
        there = StudyFolder(folder, self.largest)
        self.sizes = run_on_main(lambda: {name: there.size_made(_slug(name), size) for name, size in least.items()})
        self.folders = replace(there, per_class=self.sizes[POOL], base_per_class=self.sizes[BASE_POOL])

    def image_set(self, cell: Cell) -> ImageSet:
        """Where the images of a cell are, or will be."""
        method, ipc, folders = cell.method.method, cell.ipc, self.folders
        if method == "full":
            return ImageSet(ORIGINAL, folders.original, None)
        if method == "dit":
            return ImageSet(self._task_name(BASE_POOL), folders.base_pool, ipc)
        if method == "minimax":
            return ImageSet(self._task_name(POOL), folders.pool, ipc)
        if method in SELECTIONS:
            name = f"{method}-{self.sizes[method]}"
            return ImageSet(name, folders.set(name), ipc)
        name = f"{method}-ipc{ipc}"
        if method == "ours":
            name = f"ours-{self.distribution(cell)}-n{self.pool_size(cell)}-ipc{ipc}"
        return ImageSet(name, folders.set(name), None)

    def tasks(self, cells: Iterable[Cell]) -> list[Task]:
        """What must be made for the cells whose set is not there, stages first."""
        every = list(cells)
        missing = run_on_main(lambda: [k for k, cell in enumerate(every) if not self._is_there(self.image_set(cell))])
        wanted = [every[k] for k in missing]
        needed = self._closure(stage for cell in wanted for stage in STAGES[cell.method.method])
        tasks: dict[str, Task] = {}
        for stage in self._stages():
            if stage.name in needed:
                name = self._task_name(stage.name)
                work = stage.work if stage.distributed else _on_main(stage.work)
                tasks[name] = self._task(name, stage.output, work, self._names(stage.made_of))
        for cell in wanted:
            images = self.image_set(cell)
            if images.task not in tasks:
                needs = self._names(STAGES[cell.method.method])
                tasks[images.task] = self._task(images.task, images.folder, self._maker(cell), needs)
        return list(tasks.values())

    def _is_there(self, images: ImageSet) -> bool:
        return self.folders.is_made(images.task) and images.folder.exists()

    def seconds(self, cell: Cell) -> float:
        """What making the set of a cell took, with all that it is made of."""
        names = [self._task_name(stage) for stage in self._closure(STAGES[cell.method.method])]
        names = list(dict.fromkeys([*names, self.image_set(cell).task]))
        return sum(self.folders.read_made(name).seconds for name in names if self.folders.is_made(name))

    def _stages(self) -> list[Stage]:
        """The stages up to the scored pool. Scores go into folders of their own: other workers read the images."""
        recipe, folders, score = self.recipe, self.folders, self.recipe.score
        sizes = {"per_class": folders.per_class, "plain_per_class": folders.base_per_class}
        scorer = str(score.scorer or folders.scorer)
        stages = []
        for stage in pool_stages(recipe, folders, **sizes, command=self.command):
            if stage.name in (SCORED_ORIGINAL, SCORED_POOL):
                of_pool = stage.name == SCORED_POOL
                output = folders.scored_pool if of_pool else folders.scored_original
                source = str(stage.output.resolve())
                request = ScoreRequest(
                    source=source,
                    scorer=scorer,
                    scorer_revision=score.revision,
                    with_images=of_pool,
                    batch_size=score.batch_size,
                    soft_labels=score.soft_labels,
                )
                stage = replace(stage, output=output, work=partial(score_source, request, output))
            stages.append(stage)
        return stages

    def _names(self, stages: Iterable[str]) -> tuple[str, ...]:
        """The tasks of these stages and of all that they are made of."""
        return tuple(self._task_name(name) for name in sorted(self._closure(stages)))

    def _closure(self, names: Iterable[str]) -> set[str]:
        """These stages and all that they are made of."""
        made_of = {stage.name: stage.made_of for stage in self._stages()}
        closed: set[str] = set()
        waiting = [name for name in names if name in made_of]
        while waiting:
            name = waiting.pop()
            closed.add(name)
            waiting += made_of[name]
        return closed

    def _task_name(self, stage: str) -> str:
        """Pools of several sizes are several tasks."""
        size = self.sizes.get(POOL if stage == SCORED_POOL else stage)
        return f"{_slug(stage)}-{size}" if size else _slug(stage)

    def _task(self, name: str, output: Path, make: Callable[[], Made], needs: tuple[str, ...]) -> Task:
        def work() -> None:
            with locked_for_launch(output, wait=True):
                made = _timed(make)
            if is_main():
                self.folders.write_made(name, made)
                self.say(f"{name:<24}{made.made.splitlines()[0]}  ({made.seconds} s)")
                if (check := check_in(made.values)) and not check.usable:
                    self.say(check.text)

        return Task(name, lambda: self.folders.is_made(name) and output.exists(), work, needs)

    def _maker(self, cell: Cell) -> Callable[[], Made]:
        """Makes the set of a cell, which no stage makes; called by all processes of a launch."""
        method, ipc, recipe, folders = cell.method.method, cell.ipc, self.recipe, self.folders
        output = self.image_set(cell).folder
        assert ipc is not None
        if method in ("dm", "idc-1"):
            return lambda: make_matching(recipe, method, folders.original, output, ipc=ipc, command=self.command)
        if method == "ours":
            settings = replace(
                recipe.sample, ipc=ipc, distribution=self.distribution(cell), pool_size=self.pool_size(cell)
            )
            pool, original = folders.scored_pool, folders.scored_original
            make = partial(make_distilled, settings, pool, original, output, seed=recipe.seed, repository=False)
            return _on_main(make)
        return _on_main(
            lambda: make_baseline(
                method,
                folders.original,
                output,
                ipc=self.sizes[method],
                scorer=str(recipe.score.scorer or folders.scorer),
                seed=recipe.seed,
                revision=recipe.score.revision,
            )
        )

    def distribution(self, cell: Cell) -> Distribution:
        """What `ours` is sampled to."""
        return cell.method.distribution or self.recipe.sample.distribution

    def pool_size(self, cell: Cell) -> int:
        """How many times IPC the images a class are that `ours` chooses from."""
        return cell.method.pool_size or self.recipe.pool.size


def _timed(make: Callable[[], Made]) -> Finished:
    with Measured() as cost:
        made = make()
    return Finished(made.text, cost.seconds, made.values, cost.peak_memory, cost.peak_gpu_memory)


def _on_main(make: Callable[[], Made]) -> Callable[[], Made]:
    return lambda: run_on_main(make)


def _slug(stage: str) -> str:
    """The name of a stage as a file name."""
    return re.sub(r"\W+", "-", stage).strip("-").lower()
