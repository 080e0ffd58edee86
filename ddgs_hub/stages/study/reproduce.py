"""A study from nothing to its table, by one worker or by several that share a folder: `ddgs-hub reproduce`."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from ddgs_hub.core.claims import Claims
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import is_distributed, is_main, run_on_main, wait_for_all
from ddgs_hub.core.progress import in_words
from ddgs_hub.core.staging import refuse_unwritable
from ddgs_hub.core.text import printable
from ddgs_hub.hub.layout import RECIPE
from ddgs_hub.recipe import Recipe, recipe_to_dict
from ddgs_hub.recipe.study import Cell, Study, select_cells
from ddgs_hub.stages.commands import study_command
from ddgs_hub.stages.fitting import refuse_unfit
from ddgs_hub.stages.provenance import made_with
from ddgs_hub.stages.run_recipe import bind_folder, refuse_other_recipe
from ddgs_hub.stages.study.cells import Cells
from ddgs_hub.stages.study.effort import Effort
from ddgs_hub.stages.study.report import DatasetCells, write_report
from ddgs_hub.stages.study.sets import Sets, first_draw
from ddgs_hub.stages.study.tasks import Task, carry_out

CLAIMS = ".claims"  # of all workers, in the folder that studies share


@dataclass(frozen=True)
class Dataset:
    """What a study does with one recipe.

    Attributes:
        all: every cell of the table.
        chosen: those that are to be done.
        cells: their results.
        makers: the tasks that make what the chosen cells need.
        ipcs: of the study.
    """

    all: Sequence[Cell]
    chosen: Sequence[Cell]
    cells: Cells
    makers: Sequence[Task]
    ipcs: Sequence[int]

    @cached_property
    def effort(self) -> Effort | None:
        """How much work its cells are; None: it is not known before the original is there."""
        return Effort.of_study(self.cells)


def reproduce(
    study: Study,
    recipes: Sequence[Recipe],
    output: Path,
    *,
    only: Sequence[str] = (),
    dry_run: bool = False,
    size_is_meant: bool = True,
    say: Callable[[str], None] = print,
) -> Made:
    """Makes what is missing, trains a network for every cell that is missing, and writes the table.

    Any number of workers can call this at once with the same folder, on any machines that see it: processes of a
    launch, jobs of an array. They share out sets and cells, and each ends when all is done.

    Args:
        study: the cells.
        recipes: of the datasets.
        output: folder that studies share: a folder for each dataset, and the tables.
        only: `KEY=VALUE,VALUE`: which cells to do, see `select_cells`. The table shows all that there are.
        dry_run: only say what there is to do.
        size_is_meant: see `refuse_unfit`, which every recipe is asked that nothing is made of yet.
        say: prints a line on what is being done.

    Returns:
        The table (its values are those of `PaperTable.to_dict`) or the plan.

    Raises:
        InputError: a folder belongs to another recipe or cannot be written, a recipe trains on soft labels, `only`
            chooses what there is not, or a method cannot be carried out on the dataset.
    """
    every = [cell for recipe in recipes for cell in study.for_recipe(recipe.name).cells(recipe.name)]
    chosen = select_cells(every, only)
    run_on_main(lambda: _begin(recipes, output, dry_run=dry_run, size_is_meant=size_is_meant))
    datasets = [
        _dataset(
            study,
            recipe,
            output,
            [cell for cell in every if cell.dataset == recipe.name],
            [cell for cell in chosen if cell.dataset == recipe.name],
            lambda line: say(printable(line)),
        )
        for recipe in recipes
    ]
    plan = run_on_main(lambda: _plan(study, datasets, predict=dry_run))
    if dry_run:
        return plan
    if is_main():
        say(printable(f"{plan.text}\n"))
    _make_and_train(datasets, output / CLAIMS)
    name = "-".join([study.name, *(recipe.name for recipe in recipes)])
    wanted = [DatasetCells(dataset.cells, dataset.all, dataset.ipcs) for dataset in datasets]
    table, written = run_on_main(lambda: write_report(study, wanted, output / name))
    files = [str(file) for file in written]
    return Made(f"\n{table.text}\n\nwritten: {', '.join(files)}", {**table.values, "files": files})


def _dataset(
    study: Study,
    recipe: Recipe,
    output: Path,
    every: Sequence[Cell],
    chosen: Sequence[Cell],
    say: Callable[[str], None],
) -> Dataset:
    sets = Sets(recipe, output / recipe.name, chosen, study_command(study.name, recipe), say, study.easy_bias)
    cells = Cells(recipe, sets, study)
    left = run_on_main(partial(_undone, cells, chosen))
    makers = sets.tasks(chosen[number] for number in left)
    if study.headline == "improvement":
        makers += sets.quality_tasks(chosen, makers)
    return Dataset(every, chosen, cells, makers, study.for_recipe(recipe.name).ipc)


def _undone(cells: Cells, wanted: Sequence[Cell]) -> list[int]:
    """The numbers of the cells that have no result."""
    return [number for number, cell in enumerate(wanted) if not cells.is_done(cell)]


def _begin(recipes: Sequence[Recipe], output: Path, *, dry_run: bool, size_is_meant: bool) -> None:
    """Makes the folders of the recipes, or checks that they are theirs."""
    refuse_unwritable(output)
    for recipe in recipes:
        if recipe.evaluate.labels == "soft":
            raise InputError(
                f"evaluate.labels of recipe {recipe.name} is soft, and a study trains on classes: set it to hard, or "
                "give the sets to `ddgs-hub evaluate --labels soft`"
            )
        if not (dry_run or (output / recipe.name / RECIPE).is_file()):
            refuse_unfit(recipe, size_is_meant=size_is_meant)
        made = {**made_with(recipe), "recipe": recipe_to_dict(recipe)}
        if dry_run:
            refuse_other_recipe(output / recipe.name, made)
        else:
            bind_folder(output / recipe.name, made, begun=True)  # perhaps by another worker, a moment ago


def _make_and_train(datasets: Sequence[Dataset], folder: Path) -> None:
    """Sets first, by all processes of a launch together; then each trains networks of its own."""
    makers = [_within(dataset, task) for dataset in datasets for task in dataset.makers]
    trainers = [
        _within(dataset, replace(task, work=partial(_train, dataset, cell, task)))
        for dataset in datasets
        for cell, task in zip(dataset.chosen, dataset.cells.tasks(dataset.chosen), strict=True)
    ]
    phases = [(makers, True), (trainers, False)] if is_distributed() else [([*makers, *trainers], False)]
    for tasks, together in phases:
        with Claims(folder) if is_main() or not together else nullcontext() as claims:
            carry_out(tasks, claims, together=together)
        wait_for_all()


def _within(dataset: Dataset, task: Task) -> Task:
    """The task under a name that no other dataset's has."""
    name = dataset.cells.recipe.name
    return replace(task, name=f"{name}.{task.name}", needs=tuple(f"{name}.{need}" for need in task.needs))


def _train(dataset: Dataset, cell: Cell, task: Task) -> None:
    """Trains the network of a cell, and says how far all are."""
    task.work()
    cells, say = dataset.cells, dataset.cells.sets.say
    done = [other for other in dataset.chosen if cells.is_done(other)]
    left = [other for other in dataset.chosen if not cells.is_done(other)]
    result, effort = cells.read(cell), dataset.effort
    seconds = effort.seconds_left(done, left) if effort else None
    rest = f"; {in_words(seconds)} left for one worker" if left and seconds else ""
    text = f"{task.name:<44} best {result.best:.1f}, last {result.last:.1f} %  ({result.seconds:.1f} s)"
    say(f"{len(done)}/{len(dataset.chosen)} {text}{rest}")


def _plan(study: Study, datasets: Sequence[Dataset], *, predict: bool) -> Made:
    """How many cells there are, what must be made for them, and how long they take as far as it is known.

    Args:
        study: the cells.
        datasets: what to do with each.
        predict: whether to time some steps where no cell is done that would tell.
    """
    plans, lines = [], [study.title]
    for dataset in datasets:
        cells, name = dataset.cells, dataset.cells.recipe.name
        done = [cell for cell in dataset.chosen if cells.is_done(cell)]
        left = [cell for cell in dataset.chosen if not cells.is_done(cell)]
        to_make = [task.name for task in dataset.makers if not task.is_done()]
        by_method: dict[str, int] = {}
        for cell in left:
            by_method[cell.method.label] = by_method.get(cell.method.label, 0) + 1
        effort, seconds = dataset.effort if left and (done or predict) else None, None
        if effort:
            seconds = effort.seconds_left(done, left) if done else effort.predicted(left)
        plan = {"dataset": name, "cells": len(dataset.chosen), "done": len(done), "to_do": by_method}
        plans.append({**plan, "to_make": to_make, "seconds_left": seconds})
        lines.append(f"{name}: {len(dataset.chosen)} networks, {len(done)} done before, {len(left)} to do")
        if len(dataset.all) > len(dataset.chosen):
            lines.append(f"  left out by --only: {len(dataset.all) - len(dataset.chosen)}")
        if left:
            lines.append(f"  by method: {', '.join(f'{label} {count}' for label, count in by_method.items())}")
            known = f"about {in_words(seconds)} on one worker" if seconds else "known after the first network"
            lines.append(f"  training: {known}")
        if to_make:
            draws = Counter(first_draw(task) for task in to_make)
            told = (f"{task} ({count} draws)" if count > 1 else task for task, count in draws.items())
            lines.append(f"  to make first: {', '.join(told)}")
    return Made("\n".join(lines), {"title": study.title, "datasets": plans})
