"""What the page shows: a scored pool and its original, found as `figures` and `sample` do; no image is read."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.revisions import split_revision
from ddgs_hub.hub import OpenedPool, open_pool
from ddgs_hub.hub.layout import POOL, RUN_ORIGINAL, RUN_POOL, RUN_REPOSITORIES, SAMPLING, config_files
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling.datasets import Scores, read_scores
from ddgs_hub.stages.figure_rows import has_images, sampled_by, sampled_with, scored_original
from ddgs_hub.stages.run_folder import DISTILLED_FOLDER


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A scored pool with its original.

    Attributes:
        name: for people.
        pool: as `ddgs-hub sample --pool` takes it.
        original: as its `--original` takes it; None: that which was published with the pool.
        rows: the pool, and the difficulties of the original; no images.
        scores: the same as arrays, checked; with `pool_index` where the pool has it.
        images: folder of the original images, in the order of `rows.original`; None where they are not at hand.
        sample: the settings that the controls begin with.
        seed: of the draw, likewise.
    """

    name: str
    pool: str
    original: str | None
    rows: OpenedPool
    scores: Scores
    images: Path | None
    sample: SampleSettings
    seed: int

    @cached_property
    def seeds(self) -> NDArray[np.int64] | None:
        """The seed of every image of the pool, `(N,)`, −1 where it has none; None if the pool has no such column."""
        if "seed" not in self.rows.columns.column_names:
            return None
        seeds = self.rows.columns.with_format(None)["seed"]
        return np.array([-1 if seed is None else seed for seed in seeds], dtype=np.int64)

    @cached_property
    def most_ipc(self) -> int:
        """The largest IPC that every class of the pool has images for."""
        return int(np.bincount(self.scores.labels, minlength=len(self.scores.names)).min())


def open_explored(where: str, original: str | None = None) -> Opened:
    """Opens what the page shows; no image is read.

    Args:
        where: a run folder; a folder in its `hub/`, or any that holds a published set with its pool; a folder of a
            scored pool; or `owner/name` or `owner/name@revision` on the Hub.
        original: the scored original: a folder or `owner/name[@revision]`; None: that of the run, or the difficulties
            that were published with the pool.

    Raises:
        InputError: there is no such folder or repository, it lacks what sampling needs, or a class has no image.
        ConnectionLostError: the Hub does not answer.
    """
    folder = expanded(where)
    run = _run_of(folder)
    if run is None:
        rows, pool = open_pool(where, original), where
        if rows.pool_source and split_revision(where)[1] is None:
            pool = f"{rows.pool_source.id}@{rows.pool_source.commit}"
    else:
        original, pool = original or str(run / RUN_ORIGINAL), str(run / RUN_POOL)
        if (run / RUN_ORIGINAL) == Path(original):
            scored_original(run / RUN_ORIGINAL)  # in words of a run, where it lacks them
        rows = open_pool(pool, original)
    scores = read_scores(rows.columns, rows.original)
    sample, seed = _settings(folder, run, rows)
    images = expanded(original) if original and expanded(original).is_dir() else None
    opened = Opened(
        name=where if rows.pool_source else folder.resolve().name,
        pool=pool,
        original=original,
        rows=rows,
        scores=scores,
        images=images if images and has_images(images) else None,
        sample=sample,
        seed=seed,
    )
    if not opened.most_ipc:
        empty = scores.names[int(np.bincount(scores.labels, minlength=len(scores.names)).argmin())]
        raise InputError(f"class '{empty}' has no image in {where}: enlarge the pool, or drop the class")
    shown = "scale" if sample.distribution == "auto" else sample.distribution  # the page trains nothing
    return replace(opened, sample=replace(sample, ipc=min(sample.ipc, opened.most_ipc), distribution=shown))


def _run_of(folder: Path) -> Path | None:
    """The run folder that is meant: the folder itself, or that whose repository it is; None where it is neither."""
    candidates = [folder]
    if folder.is_dir() and folder.resolve().parent.name == RUN_REPOSITORIES:
        candidates.append(folder.resolve().parent.parent)
    for run in candidates:
        # The folder of a repository has folders of these names, too.
        if (run / RUN_POOL).is_dir() and (run / RUN_ORIGINAL).is_dir() and not config_files(run, POOL):
            return run
    return None


def _settings(folder: Path, run: Path | None, rows: OpenedPool) -> tuple[SampleSettings, int]:
    """What the set at hand was sampled with: the smallest one of a run, or that which was published."""
    if run is not None:
        sets = [path for path in run.glob(f"{DISTILLED_FOLDER}*") if (path / SAMPLING).is_file()]
        if sets:
            return sampled_with(min(sets, key=lambda path: (len(path.name), path.name)))
    return sampled_by(rows.provenance, str(folder))
