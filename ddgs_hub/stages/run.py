"""A recipe's stages in order, in one run folder; what is finished is skipped on a second call."""

import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import is_main, run_on_main, wait_for_all
from ddgs_hub.core.schema import read_json
from ddgs_hub.core.staging import locked_for_launch
from ddgs_hub.core.text import printable
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.commands import run_command
from ddgs_hub.stages.compare import make_evaluation, read_table
from ddgs_hub.stages.figure_rows import rows_of_run
from ddgs_hub.stages.figures import make_figures
from ddgs_hub.stages.fitting import refuse_unfit
from ddgs_hub.stages.pool_stages import SCORED_POOL, Stage, pool_stages
from ddgs_hub.stages.provenance import made_with
from ddgs_hub.stages.repository import make_repository
from ddgs_hub.stages.run_folder import (
    DIFFICULTY_FIGURE,
    DISTRIBUTIONS_FIGURE,
    FINISHED,
    SHEET,
    Finished,
    RunFolder,
    write_json,
)
from ddgs_hub.stages.run_recipe import bind_folder
from ddgs_hub.stages.sample import make_distilled
from ddgs_hub.stages.usability import warning_in


def list_stages(recipe: Recipe, run: RunFolder) -> list[Stage]:
    """The stages of a recipe, in order: Figure 1 of the paper, then the comparison and the repository."""
    ipc, command = recipe.sample.ipc, run_command(recipe)
    per_class = recipe.pool.size * ipc
    stages = pool_stages(recipe, run, per_class=per_class, plain_per_class=ipc, command=command)
    figures = partial(_draw, run)
    return [
        *stages,
        Stage("sample", run.distilled, partial(_sample, recipe, run)),
        Stage("evaluate", run.evaluation, partial(make_evaluation, recipe, run)),
        Stage("figures", run.figures, figures),
        Stage("hub folder", run.repository, partial(make_repository, recipe, run, command=command)),
    ]


def _sample(recipe: Recipe, run: RunFolder) -> Made:
    return make_distilled(recipe.sample, run.pool, run.original, run.distilled, seed=recipe.seed, mark_pool=True)


def _draw(run: RunFolder) -> Made:
    return make_figures(rows_of_run(run), run.figures)


class Run:
    """A run folder and the recipe that it belongs to.

    Args:
        recipe: what to make.
        folder: where; it is made if it is not there.
        size_is_meant: see `refuse_unfit`.

    Raises:
        InputError: the folder belongs to another recipe, or cannot be written.
    """

    def __init__(self, recipe: Recipe, folder: str | Path, *, size_is_meant: bool = True) -> None:
        self.recipe, self.size_is_meant = recipe, size_is_meant
        self.folders = RunFolder(Path(folder), recipe.sample.ipc, recipe.hub.repository(recipe.sample.ipc))
        self.folder = self.folders.path
        self.main = is_main()

    def __call__(self) -> None:
        """Runs the stages that are not finished, prints a line for each, and then the results."""
        with locked_for_launch(self.folder):
            run_on_main(self._begin)
            self._carry_out()
        self._report()

    def _begin(self) -> None:
        begun = bool(self._finished())
        if not begun:
            refuse_unfit(self.recipe, size_is_meant=self.size_is_meant)
        bind_folder(self.folder, made_with(self.recipe), begun=begun)

    def _carry_out(self) -> None:
        finished = self._finished()
        done: dict[str, Finished] = {}
        unbroken = True  # after a stage that runs again, all later ones run again, too
        for stage in list_stages(self.recipe, self.folders):
            if unbroken and stage.name in finished and stage.output.exists():
                done[stage.name] = finished[stage.name]
                self._say(_line(stage.name, done[stage.name], "done before"))
                continue
            unbroken = False
            start = time.perf_counter()
            with locked_for_launch(stage.output):
                made = stage.work() if stage.distributed else run_on_main(stage.work)
            wait_for_all()
            done[stage.name] = Finished(made.text, round(time.perf_counter() - start, 1), made.values)
            self._say(_line(stage.name, done[stage.name], f"{done[stage.name].seconds} s"))
            if self.main:
                write_json(self.folder / FINISHED, {name: asdict(result) for name, result in done.items()})

    def _finished(self) -> dict[str, Finished]:
        path = self.folder / FINISHED
        if not path.is_file():
            return {}
        # A damaged file is an error: treated as missing, it would cost hours of work, or let another recipe replace it.
        return read_json(path, dict[str, Finished], f"{path}, which says what is finished,")

    def _say(self, line: str) -> None:
        if self.main:
            print(printable(line), flush=True)

    def _report(self) -> None:
        folders = self.folders
        self._say(f"\n{read_table(folders.evaluation)}\n")
        pictures = (DIFFICULTY_FIGURE, SHEET, DISTRIBUTIONS_FIGURE)
        self._say(f"figures      {', '.join(str(folders.figures / name) for name in pictures)}")
        self._say(f'model        DiTPipeline.from_pretrained("{folders.dit}")')
        self._say(f'dataset      load_dataset("{folders.repository}", split="train")')
        finished = self._finished()
        if SCORED_POOL in finished and (warning := warning_in(finished[SCORED_POOL].values)):
            self._say(f"\n{warning}")


def _line(name: str, made: Finished, took: str) -> str:
    """What a stage has made, in a line; below it what else it says."""
    first, *more = made.made.splitlines() or [""]
    return "\n".join([f"{name:<22}{first}  ({took})", *more])


def run(recipe: Recipe, folder: str | Path, *, size_is_meant: bool = True) -> None:
    """Carries out all stages of a recipe in one run folder; those that are finished are skipped. See `Run`."""
    Run(recipe, folder, size_is_meant=size_is_meant)()
