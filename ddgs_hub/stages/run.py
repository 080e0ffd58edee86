"""A recipe's stages in order, in one run folder; what is finished is skipped on a second call."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ddgs_hub.baselines import random_selection
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.folders import claimed
from ddgs_hub.core.processes import by_the_first, is_main, wait_for_all
from ddgs_hub.core.rows import read_rows
from ddgs_hub.core.schema import read_bytes, read_json
from ddgs_hub.core.text import one_line
from ddgs_hub.recipe import Recipe, changed_keys, recipe_to_dict
from ddgs_hub.stages import finetune as models
from ddgs_hub.stages import original as stages
from ddgs_hub.stages import repository as report
from ddgs_hub.stages.provenance import made_with

RECIPE_FILE = "recipe.yaml"
FINISHED_FILE = "stages.json"


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


class Run:
    """A run folder and the recipe that it belongs to.

    Args:
        recipe: what to make.
        folder: where; it is made if it is not there.

    Raises:
        InputError: the folder belongs to another recipe, or cannot be written.
    """

    def __init__(self, recipe: Recipe, folder: str | Path) -> None:
        self.recipe, self.folder = recipe, Path(folder)
        self.original, self.scorer, self.base = self.folder / "original", self.folder / "scorer", self.folder / "base"
        self.dit, self.pool, self.plain_pool = self.folder / "dit", self.folder / "pool", self.folder / "pool-dit"
        self.distilled = self.folder / f"distilled-ipc{recipe.sample.ipc}"
        self.evaluation, self.figures = self.folder / "evaluation", self.folder / "figures"
        self.repository = self.folder / "hub" / recipe.hub.dataset.replace("{ipc}", str(recipe.sample.ipc))
        self.main = is_main()

    def stages(self) -> list[Stage]:
        """What there is to do, in order."""
        recipe, ipc = self.recipe, self.recipe.sample.ipc
        base = recipe.model.base or self.base
        scorer = recipe.score.scorer or self.scorer
        first = [Stage("original", self.original, partial(stages.make_original, recipe, self.original))]
        if recipe.score.scorer is None:
            train = partial(stages.make_scorer, recipe, self.original, self.scorer)
            first.append(Stage("train-scorer", self.scorer, train, distributed=True))
        if recipe.model.base is None:
            train = partial(stages.make_base, recipe, self.original, self.base)
            first.append(Stage("pretrain", self.base, train, distributed=True))
        revision = recipe.model.revision
        return [
            *first,
            Stage(
                "finetune",
                self.dit,
                partial(stages.make_dit, recipe, self.original, base, self.dit, base_revision=revision),
                distributed=True,
            ),
            Stage(
                "generate",
                self.pool,
                partial(stages.make_pool, recipe, self.dit, self.pool, per_class=recipe.pool.size * ipc),
                distributed=True,
            ),
            Stage(
                "generate (plain DiT)",
                self.plain_pool,
                partial(stages.make_pool, recipe, base, self.plain_pool, per_class=ipc, revision=revision),
                distributed=True,
            ),
            Stage("score original", self.original, partial(self._score, scorer, self.original), distributed=True),
            Stage("score pool", self.pool, partial(self._score, scorer, self.pool), distributed=True),
            Stage("sample", self.distilled, self._sample),
            Stage("evaluate", self.evaluation, self._evaluate),
            Stage("figures", self.figures, self._figures),
            Stage("hub folder", self.repository, self._export),
        ]

    def __call__(self) -> None:
        """Carries out what is not finished, printing a line for each stage, and then what came of it."""
        with claimed(self.folder):
            by_the_first(self._claim)
            self._carry_out()
        if self.main:
            self._report()

    def _carry_out(self) -> None:
        finished = self._finished()
        done: dict[str, Finished] = {}
        unbroken = True  # what follows a stage that runs again was made of something else, and runs again too
        for stage in self.stages():
            if unbroken and stage.name in finished and stage.output.exists():
                done[stage.name] = finished[stage.name]
                self._say(f"{stage.name:<22}{done[stage.name].made}  (done before)")
                continue
            unbroken = False
            start = time.perf_counter()
            with claimed(stage.output):
                made = stage.work() if stage.distributed else by_the_first(stage.work)
            wait_for_all()
            done[stage.name] = Finished(made, round(time.perf_counter() - start, 1))
            self._say(f"{stage.name:<22}{made}  ({done[stage.name].seconds} s)")
            if self.main:
                stages.write_json(self.folder / FINISHED_FILE, {name: asdict(one) for name, one in done.items()})

    def _claim(self) -> None:
        """Makes the folder, or sees that it was made with this recipe."""
        path = self.folder / RECIPE_FILE
        if path.is_file() and self._finished():  # a folder in which nothing was finished is nobody's
            changed = changed_keys(self._begun_with(path), self._values())
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
            self._begun_with(path)  # says so where it is somebody else's
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".partial")  # in the place of a link, not through it
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

    def _values(self) -> dict[str, Any]:
        return recipe_to_dict(self.recipe)

    def _finished(self) -> dict[str, Finished]:
        path = self.folder / FINISHED_FILE
        if not path.is_file():
            return {}
        # Not as if there were none: the work of hours would be done again, or be replaced by that of another recipe.
        return read_json(path, dict[str, Finished], f"{path}, which says what is finished,")

    def _say(self, line: str) -> None:
        if self.main:
            print(line, flush=True)

    def _score(self, scorer: str | Path, folder: Path) -> str:
        return stages.score_folder(self.recipe, scorer, folder, revision=self.recipe.score.revision)

    def _sample(self) -> str:
        sample, seed = self.recipe.sample, self.recipe.seed
        made = stages.make_distilled(sample, self.pool, self.original, self.distilled, seed=seed, mark_pool=True)
        return str(made["text"])

    def _evaluate(self) -> str:
        original, pool, ipc = read_rows(self.original), read_rows(self.pool), self.recipe.sample.ipc
        methods = {
            "Random (real images)": original.select(random_selection(original["label"], ipc, self.recipe.seed)),
            "DiT": read_rows(self.plain_pool),
            # What Minimax Diffusion would have generated for this IPC: the first images of each class.
            "Minimax": pool.select(np.flatnonzero(np.asarray(pool["pool_index"]) < ipc)),
            "Ours": read_rows(self.distilled),
        }
        return report.evaluate_methods(self.recipe, methods, read_rows(self.original, "validation"), self.evaluation)

    def _figures(self) -> str:
        return report.make_figures(self.original, self.pool, self.distilled, self.figures)

    def _export(self) -> str:
        recipe, command = self.recipe, models.run_command(self.recipe)
        models.describe_dit(recipe, self.original, recipe.model.base or self.base, self.dit, command=command)
        if recipe.score.scorer is None:
            models.describe_scorer(recipe, self.original, self.scorer, command=command)
        return report.make_repository(
            recipe,
            self.distilled,
            self.repository,
            pool=self.pool,
            dit=self.dit,
            scorer=recipe.score.scorer or self.scorer,
            command=command,
            evaluation=self.evaluation,
            figures=self.figures,
        )

    def _report(self) -> None:
        print(f"\n{report.read_table(self.evaluation)}\n")
        print(f"figures      {self.figures / 'difficulty.png'}, {self.figures / 'sheet.png'}")
        print(f'model        DiTPipeline.from_pretrained("{self.dit}")')
        print(f'dataset      load_dataset("{self.repository}", split="train")')


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
