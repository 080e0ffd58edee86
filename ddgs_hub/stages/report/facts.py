"""What the page of a run says, read from its folder; no image is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import difficulty_histogram
from ddgs_hub.core.rows import checked_labels, read_rows
from ddgs_hub.core.schema import read_bytes, read_json
from ddgs_hub.hub import ClassSelection, OpenedPool, open_pool
from ddgs_hub.hub.layout import RECIPE
from ddgs_hub.recipe import Recipe, SampleSettings
from ddgs_hub.sampling import log_transform
from ddgs_hub.sampling.datasets import Scores, read_scores
from ddgs_hub.stages.compare import read_results
from ddgs_hub.stages.figure_rows import has_images, sampled_with, scored_original
from ddgs_hub.stages.pool_stages import SCORED_POOL
from ddgs_hub.stages.repository import read_selections
from ddgs_hub.stages.run_folder import FINISHED, Finished, RunFolder
from ddgs_hub.stages.usability import PoolCheck, check_in

if TYPE_CHECKING:
    from ddgs_hub.evaluation.tables import AccuracyTable

Values = NDArray[np.float32]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SetFacts:
    """A distilled set.

    Attributes:
        run: the run folder, as this set sees it.
        sample: the settings by which it was sampled.
        labels: of its rows, `(N,)`.
        difficulty: of these, `(N,)`.
        transformed: of these, after the transformation (Eq. 8), `(N,)`.
        selections: how each class was selected, in label order.
        accuracies: of networks that were trained on it and on what it is compared with.
    """

    run: RunFolder
    sample: SampleSettings
    labels: NDArray[np.int64]
    difficulty: Values
    transformed: Values
    selections: Sequence[ClassSelection]
    accuracies: "AccuracyTable"

    @property
    def ipc(self) -> int:
        """Images per class."""
        return self.run.ipc

    @property
    def digits(self) -> int:
        """Of the largest count of a bin."""
        return len(str(max(max(selection.available) for selection in self.selections)))

    @property
    def shortfall(self) -> int:
        """Images that a bin lacked, so that the rest of the pool gave them."""
        return sum(sum(selection.shortfall) for selection in self.selections)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunFacts:
    """A run.

    Attributes:
        recipe: of the run.
        folder: its folder, as it was given.
        recipe_text: of its `recipe.yaml`.
        versions: of the libraries, by the names of their distributions.
        finished: the stages, in their order.
        check: whether the pool is usable; None: nobody looked.
        pool: the pool, without its images.
        originals: folder of the original images; None where they are not at hand.
        scores: labels and difficulties of original and pool.
        sets: the distilled sets, by ascending IPC.
    """

    recipe: Recipe
    folder: Path
    recipe_text: str
    versions: Mapping[str, str]
    finished: Mapping[str, Finished]
    check: PoolCheck | None
    pool: OpenedPool
    originals: Path | None
    scores: Scores
    sets: Sequence[SetFacts]

    @property
    def names(self) -> list[str]:
        """Of the classes, in label order."""
        return self.scores.names

    @property
    def original_means(self) -> list[float]:
        """The mean difficulty of the originals of each class, in label order."""
        return [float(self.original(k).mean(dtype=float)) for k in range(len(self.names))]

    def original(self, label: int) -> Values:
        """The difficulties of the original images of a class."""
        return self.scores.original_difficulty[self.scores.original_labels == label]

    def candidates(self, label: int, sample: SampleSettings) -> Values:
        """The difficulties of the images of a class of the pool that could be selected."""
        could = self.scores.labels == label
        if sample.pool_size is not None and self.scores.numbers is not None:
            could &= self.scores.numbers < sample.pool_size * sample.ipc
        return self.scores.difficulty[could]

    def transformed(self, label: int, of: SetFacts) -> tuple[Counts, Counts, Counts]:
        """Counts per bin of a class after the transformation (Eq. 8), each `(10,)`: original, pool, selection."""
        ranks = of.selections[label]
        original, pool = (
            difficulty_histogram(log_transform(values, ranks.bottom, ranks.top))
            for values in (self.original(label), self.candidates(label, of.sample))
        )
        return original, pool, difficulty_histogram(of.transformed[of.labels == label])


def read_facts(recipe: Recipe, runs: Sequence[RunFolder]) -> RunFacts:
    """Reads what the page of a run says.

    Args:
        recipe: of the run.
        runs: its folder, as each of its sets sees it.

    Raises:
        InputError: a stage of the run is missing, or a file of it is damaged.
    """
    run = runs[0]
    sets = [_read_set(one) for one in runs]
    pool = open_pool(run.pool, scored_original(run.original))
    scores = read_scores(pool.columns, pool.original, numbered=any(one.sample.pool_size for one in sets))
    for one in sets:
        if [selection.name for selection in one.selections] != scores.names:
            raise InputError(f"{one.run.distilled} and {run.pool} have different classes: remove both, and run again")
    path = run.path / RECIPE
    text = read_bytes(path, str(path)).decode("utf-8", errors="replace")
    finished = read_json(run.path / FINISHED, dict[str, Finished], str(run.path / FINISHED))
    return RunFacts(
        recipe=recipe,
        folder=run.path,
        recipe_text=text,
        versions=_versions(text),
        finished=finished,
        check=check_in(finished[SCORED_POOL].values) if SCORED_POOL in finished else None,
        pool=pool,
        originals=run.original if has_images(run.original) else None,
        scores=scores,
        sets=sets,
    )


def _read_set(run: RunFolder) -> SetFacts:
    from ddgs_hub.evaluation.tables import tabulate

    rows = read_rows(run.distilled, names=["label", "difficulty", "difficulty_log"])
    columns = rows.with_format("numpy")[:]
    return SetFacts(
        run=run,
        sample=sampled_with(run.distilled)[0],
        labels=checked_labels(rows, str(run.distilled)),
        difficulty=columns["difficulty"],
        transformed=columns["difficulty_log"],
        selections=read_selections(run.distilled),
        accuracies=tabulate(read_results(run.evaluation)),
    )


def _versions(text: str) -> dict[str, str]:
    """Those that a `recipe.yaml` names."""
    values = yaml.safe_load(text)
    versions = values.get("versions") if isinstance(values, dict) else None
    return {str(name): str(version) for name, version in versions.items()} if isinstance(versions, dict) else {}
