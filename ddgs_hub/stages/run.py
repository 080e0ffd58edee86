"""A recipe's stages in order, in one run folder; what is finished is skipped on a second call."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ddgs_hub.core import progress
from ddgs_hub.core.machine import Measured
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import is_main, run_on_main, wait_for_all
from ddgs_hub.core.schema import read_json
from ddgs_hub.core.staging import locked_for_launch
from ddgs_hub.core.text import printable
from ddgs_hub.core.tracking import FOLDER as TRACKING
from ddgs_hub.core.tracking import tracked
from ddgs_hub.recipe import Recipe, recipe_to_dict
from ddgs_hub.stages.commands import run_command
from ddgs_hub.stages.compare import make_evaluation, read_table
from ddgs_hub.stages.costs import costs_table
from ddgs_hub.stages.figure_rows import rows_of_run
from ddgs_hub.stages.figures import make_figures
from ddgs_hub.stages.fitting import refuse_unfit
from ddgs_hub.stages.pool_stages import SCORED_POOL, Stage, pool_stages
from ddgs_hub.stages.provenance import here_and_now, made_with
from ddgs_hub.stages.report import is_current, make_report
from ddgs_hub.stages.repository import make_repository
from ddgs_hub.stages.run_folder import (
    DIFFICULTY_FIGURE,
    DISTRIBUTIONS_FIGURE,
    FINISHED,
    REPORT,
    SHEET,
    Finished,
    RunFolder,
    write_json,
)
from ddgs_hub.stages.run_recipe import bind_folder
from ddgs_hub.stages.sample import make_distilled
from ddgs_hub.stages.usability import check_in

TELL = partial(print, flush=True)


def list_stages(recipe: Recipe, runs: Sequence[RunFolder]) -> list[Stage]:
    """The stages of a recipe, in order: Figure 1 of the paper, then for each IPC the comparison and the repository.

    Args:
        recipe: what to make.
        runs: the run folder as each set of the recipe sees it.
    """
    command, largest = run_command(recipe), recipe.sample.ipc
    # One pool for all sets: that of the largest IPC.
    per_class = recipe.pool.size * largest
    stages = pool_stages(recipe, runs[-1], per_class=per_class, plain_per_class=largest, command=command)
    sets = [(recipe.with_ipc(run.ipc), run) for run in runs]
    stages += [_of_set("sample", run.distilled, run, partial(_sample, one, run)) for one, run in sets]
    stages += [_of_set("evaluate", run.evaluation, run, partial(make_evaluation, one, run)) for one, run in sets]
    stages += [_of_set("figures", run.figures, run, partial(_draw, run)) for _, run in sets]
    publish = partial(make_repository, recipe, command=command)
    return stages + [_of_set("hub folder", run.repository, run, partial(publish, run)) for run in runs]


def _of_set(name: str, output: Path, run: RunFolder, work: Callable[[], Made]) -> Stage:
    return Stage(f"{name} (IPC {run.ipc})" if run.one_of_several else name, output, work)


def _sample(recipe: Recipe, run: RunFolder) -> Made:
    # Of several sets that share a pool, marks in it would be those of the last one.
    marked, places = not run.one_of_several, (run.pool, run.original, run.distilled)
    return make_distilled(recipe.sample, *places, seed=recipe.seed, mark_pool=marked, repository=False)


def _draw(run: RunFolder) -> Made:
    return make_figures(rows_of_run(run), run.figures)


class Run:
    """A run folder and the recipe that it belongs to.

    Args:
        recipe: what to make.
        folder: where; it is made if it is not there.
        say: prints what is done as it is done, and the results.
        report_to: trackers that follow the work, see `core.tracking`; they write into `tracking/` of the folder.
        size_is_meant: see `refuse_unfit`.

    Raises:
        InputError: the folder belongs to another recipe, or cannot be written; or a tracker is not installed.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: str | Path,
        say: Callable[[str], None] = TELL,
        *,
        report_to: Sequence[str] = (),
        size_is_meant: bool = True,
    ) -> None:
        self.recipe, self.say, self.report_to, self.size_is_meant = recipe, say, report_to, size_is_meant
        self.folder = Path(folder)
        self.sets = RunFolder.of_sets(self.folder, recipe)
        self.main = is_main()

    def __call__(self) -> Made:
        """Runs the stages that are not finished, says a line for each, and then the results, which it returns."""
        with locked_for_launch(self.folder):
            run_on_main(self._begin)
            values = recipe_to_dict(self.recipe)
            with tracked(self.report_to, self.folder / TRACKING, self.folder.resolve().name, values):
                done = self._carry_out()
            run_on_main(self._write_report)
        results = self._results()
        self._say(results)
        stages = {name: asdict(stage) for name, stage in done.items()}
        places = {"output": self.folder, "dit": self.sets[-1].dit, "report": self.folder / REPORT}
        repositories = [str(one.repository) for one in self.sets]
        made = {"repository": repositories[0]} if len(repositories) == 1 else {"repositories": repositories}
        return Made(results, {**{name: str(path) for name, path in places.items()}, **made, "stages": stages})

    def _begin(self) -> None:
        begun = bool(self._finished())
        if not begun:
            refuse_unfit(self.recipe, size_is_meant=self.size_is_meant)
        bind_folder(self.folder, made_with(self.recipe), begun=begun)

    def _carry_out(self) -> dict[str, Finished]:
        finished = self._finished()
        done: dict[str, Finished] = {}
        unbroken = True  # after a stage that runs again, all later ones run again, too
        for stage in list_stages(self.recipe, self.sets):
            if unbroken and stage.name in finished and stage.output.exists():
                done[stage.name] = finished[stage.name]
                self._say(_line(stage.name, done[stage.name], "done before"))
                continue
            unbroken = False
            with Measured() as cost, progress.stage(stage.name):
                with locked_for_launch(stage.output):
                    made = stage.work() if stage.distributed else run_on_main(stage.work)
                wait_for_all()
            measured = cost.seconds, made.values, cost.peak_memory, cost.peak_gpu_memory
            done[stage.name] = Finished(made.text, *measured, *here_and_now())
            self._say(_line(stage.name, done[stage.name], f"{done[stage.name].seconds} s"))
            if self.main:
                write_json(self.folder / FINISHED, {name: asdict(result) for name, result in done.items()})
        return done

    def _finished(self) -> dict[str, Finished]:
        path = self.folder / FINISHED
        if not path.is_file():
            return {}
        # A damaged file is an error: treated as missing, it would cost hours of work, or let another recipe replace it.
        return read_json(path, dict[str, Finished], f"{path}, which says what is finished,")

    def _say(self, line: str) -> None:
        if self.main:
            self.say(printable(line))

    def _write_report(self) -> None:
        """Writes the page of the run, unless it is there and newer than what it shows."""
        if not is_current(self.sets):
            make_report(self.recipe, self.sets)

    def _results(self) -> str:
        """The results, and where they are."""
        finished = self._finished()
        lines = [f"\n{read_table(one.evaluation)}" for one in self.sets]
        lines.append(f"\n{costs_table(finished)}\n")
        check = check_in(finished[SCORED_POOL].values)
        if check and not check.usable:
            lines.append(f"{check.text}\n")
        pictures = (DIFFICULTY_FIGURE, SHEET, DISTRIBUTIONS_FIGURE)
        lines += [f"figures      {', '.join(str(one.figures / name) for name in pictures)}" for one in self.sets]
        lines.append(f'model        DiTPipeline.from_pretrained("{self.sets[-1].dit}")')
        lines += [f'dataset      load_dataset("{one.repository}", split="train")' for one in self.sets]
        lines.append(f"report       {self.folder / REPORT}")
        return "\n".join(lines)


def _line(name: str, made: Finished, took: str) -> str:
    """What a stage has made, in a line; below it what else it says."""
    first, *more = made.made.splitlines() or [""]
    return "\n".join([f"{name:<22}{first}  ({took})", *more])


def run(
    recipe: Recipe,
    folder: str | Path,
    say: Callable[[str], None] = TELL,
    *,
    report_to: Sequence[str] = (),
    size_is_meant: bool = True,
) -> Made:
    """Carries out all stages of a recipe in one run folder; those that are finished are skipped.

    Args:
        recipe: what to make.
        folder: where; it is made if it is not there.
        say: prints what is done as it is done, and the results.
        report_to: trackers that follow the work.
        size_is_meant: see `refuse_unfit`.

    Returns:
        The results, as `say` got them last; the values have what each stage has made.

    Raises:
        InputError: the folder belongs to another recipe, cannot be written, or a stage raises it; the recipe does not
            fit its images; or a tracker is not installed.
    """
    return Run(recipe, folder, say, report_to=report_to, size_is_meant=size_is_meant)()
