"""A recipe's stages in order, in one run folder; what is finished is skipped on a second call."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import is_main, run_on_main, wait_for_all
from ddgs_hub.core.schema import read_bytes, read_json
from ddgs_hub.core.staging import locked_for_launch
from ddgs_hub.core.text import one_line, printable
from ddgs_hub.recipe import Recipe, changed_keys, recipe_to_dict
from ddgs_hub.stages.base import make_base
from ddgs_hub.stages.commands import run_command
from ddgs_hub.stages.compare import make_evaluation, read_table
from ddgs_hub.stages.figure_rows import rows_of_run
from ddgs_hub.stages.figures import make_figures
from ddgs_hub.stages.finetune import make_dit
from ddgs_hub.stages.original import make_original
from ddgs_hub.stages.pool import make_pool
from ddgs_hub.stages.provenance import made_with
from ddgs_hub.stages.repository import make_repository
from ddgs_hub.stages.run_folder import (
    DIFFICULTY_FIGURE,
    DISTRIBUTIONS_FIGURE,
    FINISHED,
    RECIPE,
    SHEET,
    RunFolder,
    write_json,
)
from ddgs_hub.stages.sample import make_distilled
from ddgs_hub.stages.score import score_in_place
from ddgs_hub.stages.scorer import make_scorer


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: as printed.
        output: the folder that must be there when it is finished.
        work: makes it and returns a line that says what it made.
        distributed: all processes of an `accelerate launch` work on it; else the first alone.
    """

    name: str
    output: Path
    work: Callable[[], str]
    distributed: bool = False


@dataclass(frozen=True)
class Finished:
    """What a stage has made, for people, and how long that took."""

    made: str
    seconds: float


def list_stages(recipe: Recipe, run: RunFolder) -> list[Stage]:
    """The stages of a recipe, in order: Figure 1 of the paper, then the comparison and the repository."""
    ipc, command = recipe.sample.ipc, run_command(recipe)
    base = recipe.model.base or run.base
    scorer, scorer_revision = recipe.score.scorer or run.scorer, recipe.score.revision
    stages = [Stage("original", run.original, partial(make_original, recipe, run.original))]

    def add(name: str, output: Path, make: Callable[..., str], *arguments: Any, **settings: Any) -> None:
        stages.append(Stage(name, output, partial(make, *arguments, **settings), distributed=True))

    if recipe.score.scorer is None:
        add("train-scorer", run.scorer, make_scorer, recipe, run.original, run.scorer, command=command)
    if recipe.model.base is None:
        add("pretrain", run.base, make_base, recipe, run.original, run.base)
    add("finetune", run.dit, make_dit, recipe, run.original, base, run.dit, command=command)
    add("generate", run.pool, make_pool, recipe, run.dit, run.pool, per_class=recipe.pool.size * ipc)
    plain = {"per_class": ipc, "revision": recipe.model.revision}
    add("generate (plain DiT)", run.base_pool, make_pool, recipe, base, run.base_pool, **plain)
    scoring = {"revision": scorer_revision, "batch_size": recipe.score.batch_size}
    add("score original", run.original, score_in_place, run.original, scorer, **scoring)
    add("score pool", run.pool, score_in_place, run.pool, scorer, **scoring)
    figures = partial(_draw, run)
    return [
        *stages,
        Stage("sample", run.distilled, partial(_sample, recipe, run)),
        Stage("evaluate", run.evaluation, partial(make_evaluation, recipe, run)),
        Stage("figures", run.figures, figures),
        Stage("hub folder", run.repository, partial(make_repository, recipe, run, command=command)),
    ]


def _sample(recipe: Recipe, run: RunFolder) -> str:
    made = make_distilled(recipe.sample, run.pool, run.original, run.distilled, seed=recipe.seed, mark_pool=True)
    return str(made["text"])


def _draw(run: RunFolder) -> str:
    return make_figures(rows_of_run(run), run.figures)


class Run:
    """A run folder and the recipe that it belongs to.

    Args:
        recipe: what to make.
        folder: where; it is made if it is not there.

    Raises:
        InputError: the folder belongs to another recipe, or cannot be written.
    """

    def __init__(self, recipe: Recipe, folder: str | Path) -> None:
        self.recipe = recipe
        self.folders = RunFolder(Path(folder), recipe.sample.ipc, recipe.hub.repository(recipe.sample.ipc))
        self.folder = self.folders.path
        self.main = is_main()

    def __call__(self) -> None:
        """Runs the stages that are not finished, prints a line for each, and then the results."""
        with locked_for_launch(self.folder):
            run_on_main(self._claim)
            self._carry_out()
        self._report()

    def _carry_out(self) -> None:
        finished = self._finished()
        done: dict[str, Finished] = {}
        unbroken = True  # after a stage that runs again, all later ones run again, too
        for stage in list_stages(self.recipe, self.folders):
            if unbroken and stage.name in finished and stage.output.exists():
                done[stage.name] = finished[stage.name]
                self._say(f"{stage.name:<22}{done[stage.name].made}  (done before)")
                continue
            unbroken = False
            start = time.perf_counter()
            with locked_for_launch(stage.output):
                made = stage.work() if stage.distributed else run_on_main(stage.work)
            wait_for_all()
            done[stage.name] = Finished(made, round(time.perf_counter() - start, 1))
            self._say(f"{stage.name:<22}{made}  ({done[stage.name].seconds} s)")
            if self.main:
                write_json(self.folder / FINISHED, {name: asdict(result) for name, result in done.items()})

    def _claim(self) -> None:
        """Makes the folder, or checks that it belongs to this recipe."""
        path = self.folder / RECIPE
        if path.is_file() and self._finished():  # a folder without a finished stage may be taken
            changed = changed_keys(self._begun_with(path), recipe_to_dict(self.recipe))
            if changed:
                key, (old, new) = next(iter(changed.items()))
                raise InputError(
                    f"{self.folder} belongs to another recipe ({key} is {old} there, {new} here): "
                    "choose another --output, or remove the folder"
                )
            return
        if not path.is_file() and any(not entry.name.startswith(".") for entry in _entries(self.folder)):
            raise InputError(f"{self.folder} holds what no run has made: choose another --output, or empty it")
        if path.is_file():
            self._begun_with(path)  # raises an error if it is not one of ours
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".partial")  # replaces a link instead of writing through it
            beside.write_text(
                yaml.safe_dump(made_with(self.recipe), sort_keys=False, allow_unicode=True), encoding="utf-8"
            )
            beside.replace(path)
        except OSError as error:
            raise InputError(f"cannot write {self.folder}: {error.strerror}; choose another --output") from error

    def _begun_with(self, path: Path) -> Any:
        """The recipe that a folder belongs to, as values."""
        try:
            return yaml.safe_load(read_bytes(path, str(path)))["recipe"]
        except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError) as error:
            raise InputError(
                f"{path} is damaged ({one_line(error, 200)}): choose another --output, or remove the folder"
            ) from error

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


def run(recipe: Recipe, folder: str | Path) -> None:
    """Carries out all stages of a recipe in one run folder; those that are finished are skipped. See `Run`."""
    Run(recipe, folder)()


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
