"""The set of images that each method of a study makes, and the tasks that make it."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ddgs_hub.core.machine import Measured
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import is_main, run_on_main
from ddgs_hub.core.rows import read_rows, read_selected
from ddgs_hub.core.staging import locked_for_launch
from ddgs_hub.recipe import Recipe, SampleSettings
from ddgs_hub.recipe.ranges import Distribution
from ddgs_hub.recipe.study import Cell
from ddgs_hub.stages.compare import make_baseline
from ddgs_hub.stages.figure_rows import sampled_with
from ddgs_hub.stages.matching import make_matching
from ddgs_hub.stages.pool_stages import BASE_POOL, ORIGINAL, POOL, SCORED_ORIGINAL, SCORER, Stage
from ddgs_hub.stages.run_folder import Finished
from ddgs_hub.stages.sample import make_distilled
from ddgs_hub.stages.study.pools import GENERATED, SCORED, scored_by, sized_by, study_stages
from ddgs_hub.stages.study.quality import measure_quality
from ddgs_hub.stages.study.study_folder import StudyFolder
from ddgs_hub.stages.study.tasks import Task
from ddgs_hub.stages.usability import check_in

STAGES = {  # whose outputs a method reads, `ours` besides its pool's; what those are made of comes along
    "random": (ORIGINAL,),
    "k-center": (ORIGINAL, SCORER),
    "herding": (ORIGINAL, SCORER),
    "dit": (BASE_POOL,),
    "dm": (ORIGINAL,),
    "idc-1": (ORIGINAL,),
    "minimax": (POOL,),
    "ours": (SCORED_ORIGINAL,),
    "full": (ORIGINAL,),
}
SELECTIONS = ("random", "k-center", "herding")  # greedy, or one permutation: a smaller one is the beginning of a larger


@dataclass(frozen=True)
class ImageSet:
    """The images of a method.

    Attributes:
        task: that makes them.
        folder: where they are.
        block: which of each class count, by their place among those of the class; None: all.
    """

    task: str
    folder: Path
    block: range | None = None

    def read(self) -> Dataset:
        """The rows, with their images."""
        if self.block is None:
            return read_rows(self.folder)
        labels = np.asarray(read_rows(self.folder, names=["label"])["label"])
        place = np.empty(len(labels), dtype=np.int64)  # of each image among those of its class
        for label in np.unique(labels):
            place[labels == label] = np.arange((labels == label).sum())
        return read_selected(self.folder, np.flatnonzero((place >= self.block.start) & (place < self.block.stop)))


class Sets:
    """The sets of one dataset's cells, and the tasks that make them.

    All processes of a launch make it together: what lies on the disk is looked at once, by the main one.

    Args:
        recipe: of the dataset.
        folder: of what its studies make.
        cells: that are wanted: only what these need is made.
        command: the command line, for cards.
        say: prints a line on what was made.
        easy_bias: of the pool `easy-real`, see `Study.easy_bias`.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        cells: Sequence[Cell],
        command: str,
        say: Callable[[str], None],
        easy_bias: float = 0.0,
    ) -> None:
        self.recipe, self.command, self.say = recipe, command, say
        self.largest = max((cell.ipc for cell in cells if cell.ipc), default=1)
        there, least = StudyFolder(folder, self.largest, easy_bias=easy_bias), self._least(cells)
        self.folders = there
        self.sizes = run_on_main(
            lambda: {name: there.size_made(self._task_of(name), size) for name, size in least.items()}
        )
        pools = dict.fromkeys([*SCORED, *(cell.pool for cell in cells if cell.pool)])
        by_pool = {name: self.sizes.get(GENERATED.get(name, scored_by(name))) for name in pools}
        self.folders = replace(there, sizes={name: size for name, size in by_pool.items() if size})

    def _least(self, cells: Iterable[Cell]) -> dict[str, int]:
        """Images a class that pools, and selections that nest, have at least, by the name of what makes them."""
        least = {POOL: self.largest, BASE_POOL: self.largest, **dict.fromkeys(SELECTIONS, self.largest)}
        for cell in cells:
            ipc, pool, count = cell.ipc or 0, cell.pool, self.pool_size(cell)
            if cell.method.method in GENERATED:
                stage, size = GENERATED[cell.method.method], (cell.draw + 1) * ipc
            elif pool and count and pool != "real":  # that is always of all images
                stage, size = GENERATED.get(pool, scored_by(pool)), count * ipc
            else:
                continue
            least[stage] = max(least.get(stage, 0), size)
        return least

    def image_set(self, cell: Cell) -> ImageSet:
        """Where the images of a cell are, or will be."""
        method, ipc, folders = cell.method.method, cell.ipc, self.folders
        if method == "full":
            return ImageSet(ORIGINAL, folders.original)
        assert ipc is not None
        if method in GENERATED:
            block = range(cell.draw * ipc, (cell.draw + 1) * ipc)
            return ImageSet(self._task_name(GENERATED[method]), folders.pool_of(method), block)
        if method in SELECTIONS:
            name = f"{method}-{self.sizes[method]}{of_draw(cell)}"
            return ImageSet(name, folders.set(name), range(ipc))
        name = self._ours(cell) if method == "ours" else f"{method}-ipc{ipc}"
        return ImageSet(name, folders.set(name))

    def _ours(self, cell: Cell) -> str:
        """The name of a set of `ours`, which tells all settings; those that are usual it leaves out."""
        method, size = cell.method, self.pool_size(cell)
        parts = ["ours", "" if method.samples_from == "minimax" else f"{method.samples_from}", self.distribution(cell)]
        if method.samples_from == "easy-real":
            parts[1] += f"{self.folders.easy_bias:g}"
        parts.append("" if method.divergence in (None, self.recipe.sample.divergence) else f"{method.divergence}")
        parts.append("" if method.mixture is None else f"m{method.mixture:g}")
        parts += ["" if size is None else f"n{size}", f"ipc{cell.ipc}"]
        return "-".join(part for part in parts if part) + of_draw(cell)

    def tasks(self, cells: Iterable[Cell]) -> list[Task]:
        """What must be made for the cells whose set is not there, stages first."""
        every = _with_first_draws(cells)
        missing = run_on_main(lambda: [k for k, cell in enumerate(every) if not self._is_there(self.image_set(cell))])
        wanted = [every[k] for k in missing]
        needed = self._closure(stage for cell in wanted for stage in _reads(cell))
        tasks: dict[str, Task] = {}
        for stage in self._stages():
            if stage.name in needed:
                name = self._task_name(stage.name)
                work = stage.work if stage.distributed else _on_main(stage.work)
                tasks[name] = self._task(name, stage.output, work, self._names(stage.made_of))
        for cell in wanted:
            images, first = self.image_set(cell), _first_draw(cell)
            if images.task not in tasks:
                needs = self._names(_reads(cell)) + (() if first is None else (self.image_set(first).task,))
                tasks[images.task] = self._task(images.task, images.folder, self._maker(cell), needs)
        return list(tasks.values())

    def quality_tasks(self, cells: Iterable[Cell], making: Sequence[Task]) -> list[Task]:
        """What measures the generated pools of the cells: those that are there, or that one of `making` makes."""
        recipe, folders, tasks = self.recipe, self.folders, []
        there = {task.name for task in making}
        for pool in _pools(cells):
            if pool in GENERATED and (self._task_name(GENERATED[pool]) in there or folders.pool_of(pool).is_dir()):
                output = folders.quality_of(pool)
                work = partial(
                    measure_quality,
                    folders.original,
                    folders.pool_of(pool),
                    output,
                    image_size=recipe.data.image_size,
                    scorer=str(recipe.score.scorer or folders.scorer),
                    revision=recipe.score.revision,
                    seed=recipe.seed,
                )
                needs = self._names((GENERATED[pool], *self._scorer()))
                tasks.append(self._task(self._quality_name(pool), output, _on_main(work), needs))
        return tasks

    def pools(self, cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
        """What is known of the originals and of the pools of the cells: for each the values of what was made."""
        names = {"original": self._task_name(SCORED_ORIGINAL)}
        names |= {
            pool: self._quality_name(pool) if pool in GENERATED else self._task_name(SCORED[pool])
            for pool in _pools(cells)
        }
        folders = self.folders
        return {pool: folders.read_made(name).values for pool, name in names.items() if folders.is_made(name)}

    def _quality_name(self, pool: str) -> str:
        return f"quality-{self._task_name(GENERATED[pool])}"

    def _scorer(self) -> tuple[str, ...]:
        return () if self.recipe.score.scorer else (SCORER,)

    def _is_there(self, images: ImageSet) -> bool:
        return self.folders.is_made(images.task) and images.folder.exists()

    def seconds(self, cell: Cell) -> float:
        """What making the set of a cell took, with all that it is made of."""
        names = [self._task_name(stage) for stage in self._closure(_reads(cell))]
        names = list(dict.fromkeys([*names, self.image_set(cell).task]))
        return sum(self.folders.read_made(name).seconds for name in names if self.folders.is_made(name))

    def _stages(self) -> list[Stage]:
        return study_stages(self.recipe, self.folders, self.command)

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
        size = self.sizes.get(sized_by(stage))
        return f"{self._task_of(stage)}-{size}" if size else self._task_of(stage)

    def _task_of(self, stage: str) -> str:
        bias = f" {self.folders.easy_bias:g}" if stage.startswith(SCORED["easy-real"]) else ""
        return re.sub(r"\W+", "-", f"{stage}{bias}").strip("-").lower()

    def _task(self, name: str, output: Path, make: Callable[[], Made], needs: tuple[str, ...]) -> Task:
        def work() -> None:
            with locked_for_launch(output, wait=True):
                made = _timed(make)
            if is_main():
                self.folders.write_made(name, made)
                self.say(f"{name:<23} {made.made.splitlines()[0]}  ({made.seconds} s)")
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
        seed = recipe.seed + cell.draw
        if pool := cell.pool:
            given = {key: getattr(cell.method, key) for key in ("divergence", "mixture")}
            settings = replace(
                recipe.sample,
                ipc=ipc,
                distribution=self.distribution(cell),
                pool_size=self.pool_size(cell),
                **{key: value for key, value in given.items() if value is not None},
            )
            first = _first_draw(cell)
            chosen = None if first is None else self.image_set(first).folder
            rows = (folders.scored_pool_of(pool), folders.scored_original, output, folders.original)
            return _on_main(partial(_sample, settings, *rows, seed=seed, chosen=chosen))
        return _on_main(
            lambda: make_baseline(
                method,
                folders.original,
                output,
                ipc=self.sizes[method],
                scorer=str(recipe.score.scorer or folders.scorer),
                seed=seed,
                revision=recipe.score.revision,
            )
        )

    def distribution(self, cell: Cell) -> Distribution:
        """What `ours` is sampled to."""
        return cell.method.distribution or self.recipe.sample.distribution

    def pool_size(self, cell: Cell) -> int | None:
        """How many times IPC the images a class are that `ours` chooses from; None: all of the pool."""
        usual = None if cell.method.samples_from == "real" else self.recipe.pool.size
        return cell.method.pool_size or usual


def of_draw(cell: Cell) -> str:
    """What the names of a further draw end with. The first has the name that it has where there is no other."""
    return f"-draw{cell.draw}" if cell.draw else ""


def first_draw(name: str) -> str:
    """The name of a set, whichever of its draws it is, without what `of_draw` gave it."""
    return re.sub(r"-draw\d+$", "", name)


def _first_draw(cell: Cell) -> Cell | None:
    """Of a further draw of `auto` the first one, whose choice it shares; else None."""
    is_further = cell.method.distribution == "auto" and cell.draw > 0
    return replace(cell, repeat=0, draw=0) if is_further else None


def _with_first_draws(cells: Iterable[Cell]) -> list[Cell]:
    """The cells, each after the one whose choice it shares."""
    pairs = ((_first_draw(cell), cell) for cell in cells)
    return list(dict.fromkeys(cell for pair in pairs for cell in pair if cell is not None))


def _sample(
    settings: SampleSettings, pool: Path, scores: Path, output: Path, originals: Path, *, seed: int, chosen: Path | None
) -> Made:
    """Samples a set; with `chosen`, the folder of another, to what `auto` has chosen there."""
    if chosen:
        settings, _ = sampled_with(chosen)
    return make_distilled(settings, pool, scores, output, seed=seed, repository=False, original_images=originals)


def _reads(cell: Cell) -> tuple[str, ...]:
    """The stages whose outputs the method of a cell reads."""
    return STAGES[cell.method.method] + ((scored_by(cell.pool),) if cell.pool else ())


def _pools(cells: Iterable[Cell]) -> list[str]:
    """The pools that the methods of the cells take images from, each once."""
    methods = [cell.method for cell in cells]
    named = [method.samples_from or (method.method if method.method in GENERATED else None) for method in methods]
    return [name for name in dict.fromkeys(named) if name]


def _timed(make: Callable[[], Made]) -> Finished:
    with Measured() as cost:
        made = make()
    return Finished(made.text, cost.seconds, made.values, cost.peak_memory, cost.peak_gpu_memory)


def _on_main(make: Callable[[], Made]) -> Callable[[], Made]:
    return lambda: run_on_main(make)
