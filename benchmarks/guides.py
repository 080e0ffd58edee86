"""What guides do to a pool, and what they cost, on real digits on a CPU: `python -m benchmarks.guides`.

Pools of the shipped base, 10 images a class, without a guide, with mode guidance and with difficulty guidance, each as
the recipe has it. Difficulties are those by the scorer that guides and by a judge, another scorer of the same kind
trained from another seed, which no guide has asked: a shift that only fools a network does not move the judge's.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr, wasserstein_distance

from benchmarks.measure import exit_after
from ddgs_hub.core.rows import read_rows, undecoded
from ddgs_hub.difficulty import BatchScorer, Scorer
from ddgs_hub.diffusion import DifficultyGuide, LatentCache, PoolClasses, find_modes, load_codec
from ddgs_hub.diffusion.bases import base_path
from ddgs_hub.recipe import Recipe, load_recipe
from ddgs_hub.stages.guides import wanted_margins
from ddgs_hub.stages.original import make_original
from ddgs_hub.stages.pool import make_pool
from ddgs_hub.stages.score import score_source
from ddgs_hub.stages.score_request import ScoreRequest
from ddgs_hub.stages.scorer import make_scorer

WAYS = ("none", "modes", "difficulty")
COLUMNS = {
    "seconds": "CPU-s/image",
    "nearest": "real → nearest",
    "recall": "modes found",
    "mean": "difficulty",
    "apart": "W1 to original",
    "follows": "follows target",
    "mean by judge": "difficulty, judge",
    "apart by judge": "W1, judge",
    "follows by judge": "follows, judge",
}


class Digits:
    """The original digits in a folder, with the scorer that guides and the judge.

    Args:
        folder: where they are, or are made.
        per_class: images a class of a pool; modes a class, too.
    """

    def __init__(self, folder: Path, per_class: int) -> None:
        self.folder, self.per_class = folder, per_class
        self.recipe = load_recipe("digits", [f"sample.ipc={per_class}"])
        original, self.scorers = folder / "original", {name: folder / name for name in ("scorer", "judge")}
        self.scored = {name: folder / f"scored-by-{name}" for name in self.scorers}
        if not original.is_dir():
            make_original(self.recipe, original)
        for seed, (name, scorer) in enumerate(self.scorers.items()):
            if not scorer.is_dir():
                make_scorer(replace(self.recipe, seed=seed), original, scorer, command="")
            if not self.scored[name].is_dir():
                score_source(ScoreRequest(source=str(original), scorer=str(scorer)), self.scored[name])
        self.rows = read_rows(original)
        self.classes = PoolClasses.of(self.rows, "dataset")
        self.codec = load_codec(self.recipe.codec, base_path("digits"))
        self.latents = self._latents(self.rows)
        labels = np.asarray(self.rows["label"])
        self.modes = [find_modes(self.latents[labels == k], per_class).flatten(1).numpy() for k in range(10)]
        self.judges = {
            name: BatchScorer(Scorer.from_pretrained(scorer), self.classes.names)
            for name, scorer in self.scorers.items()
        }

    def _latents(self, rows: Dataset) -> torch.Tensor:
        size = self.recipe.data.image_size
        encode = partial(LatentCache.encode, rows, self.codec, list(range(10)), self.folder / "latents")
        return encode(image_size=size, flip=False).mean[0]

    def measure(self, recipe: Recipe) -> dict[str, float]:
        """A pool of the recipe, measured; numbers by the names of `COLUMNS`."""
        with TemporaryDirectory(dir=self.folder) as folder:
            output = Path(folder) / "pool"
            given: dict[str, Any] = {"original": self.scored["scorer"], "guided_by": self.scorers["scorer"]}
            began = time.process_time()
            make_pool(recipe, "digits", output, per_class=self.per_class, **given)
            seconds = time.process_time() - began
            rows = read_rows(output)
            found = {"seconds": seconds / len(rows), **self._coverage(rows)}
            for name in self.judges:
                found |= self._difficulties(rows, name)
            return found

    def _coverage(self, rows: Dataset) -> dict[str, float]:
        """Mean distance of the real latents to the nearest generated one of their class, and the share of the real
        modes that are the nearest mode of a generated image."""
        latents, own = self._latents(rows).flatten(1).numpy(), np.asarray(rows["label"])
        real, labels = self.latents.flatten(1).numpy(), np.asarray(self.rows["label"])
        nearest, found = [], 0
        for k, modes in enumerate(self.modes):
            nearest.append(cdist(real[labels == k], latents[own == k]).min(axis=1))
            found += len(np.unique(cdist(latents[own == k], modes).argmin(axis=1)))
        return {"nearest": float(np.concatenate(nearest).mean()), "recall": found / sum(map(len, self.modes))}

    def _difficulties(self, rows: Dataset, name: str) -> dict[str, float]:
        """Mean difficulty by a scorer, how far the distribution is from the original's, and the rank correlation with
        the targets of difficulty guidance."""
        of_original = np.asarray(read_rows(self.scored[name])["difficulty"])
        encoded = [image["bytes"] for image in undecoded(rows)["image"]]
        difficulties = self.judges[name](encoded, rows["label"][:])
        targets = self.targets(rows["label"][:], rows["pool_index"][:])
        said = {
            "mean": float(difficulties.mean()),
            "apart": float(wasserstein_distance(difficulties, of_original)),
            "follows": float(spearmanr(targets, difficulties).statistic),
        }
        return said if name == "scorer" else {f"{key} by {name}": value for key, value in said.items()}

    def targets(self, labels: Sequence[int], numbers: Sequence[int]) -> NDArray[np.float64]:
        """The margins that difficulty guidance pulls images to."""
        rows = read_rows(self.scored["scorer"])
        where = [np.flatnonzero(np.asarray(rows["label"]) == k) for k in range(10)]
        wanted = wanted_margins(rows, where)
        settings = self.recipe.pool.difficulty
        how: dict[str, Any] = {"classifier": "", **asdict(settings)}
        guide = DifficultyGuide(self.codec, lambda images, labels: images, wanted, **how)
        return np.array([guide.target(*which) for which in zip(labels, numbers, strict=True)])


def guided(recipe: Recipe, way: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe with a guide."""
    named = load_recipe("digits", [f"pool.guide={way}", *overrides])
    return replace(recipe, pool=named.pool)


def row(name: str, found: Sequence[dict[str, float]]) -> str:
    """A line of the table: the mean over the seeds."""
    values = {key: float(np.mean([one[key] for one in found])) for key in COLUMNS}
    return f"{name:<12}" + "".join(f"{values[key]:>{len(title) + 2}.3f}" for key, title in COLUMNS.items())


@contextmanager
def working_in(folder: Path | None) -> Iterator[Path]:
    """The folder, made if it is not there; None: one that is removed afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with TemporaryDirectory() as temporary:
        yield Path(temporary)


def main() -> None:
    """Prints a line for each way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guides", description=__doc__)
    parser.add_argument("--per-class", type=int, default=10, help="images a class (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="pools of each way, which are averaged (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where originals and scorers are kept for the next call")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe digits")
    given = parser.parse_args()
    for way in WAYS:
        load_recipe("digits", [f"pool.guide={way}", *given.set])  # refused now, not when the scorers are trained
    with working_in(given.folder) as folder:
        digits = Digits(folder, given.per_class)
        print(f"{10 * given.per_class} images of real digits, mean of {given.seeds} seeds", flush=True)
        print(" " * 12 + "".join(f"  {title}" for title in COLUMNS.values()), flush=True)
        for way in WAYS:
            recipe = guided(digits.recipe, way, given.set)
            found = [digits.measure(replace(recipe, seed=seed)) for seed in range(given.seeds)]
            print(row(way, found), flush=True)


if __name__ == "__main__":
    exit_after(main)
