"""Where the rows of the figures come from: a run, the folder of a repository, or a repository with its pool."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.hub_client import dataset_files
from ddgs_hub.core.revisions import split_revision
from ddgs_hub.core.rows import checked_labels, class_names, read_rows, read_selected, read_tables
from ddgs_hub.core.schema import read_json
from ddgs_hub.core.staging import refuse_existing
from ddgs_hub.hub import PROVENANCE, OpenedPool, Provenance, open_pool, read_provenance
from ddgs_hub.hub.layout import (
    DEFAULT,
    FIGURES,
    POOL,
    RUN_ORIGINAL,
    RUN_POOL,
    RUN_REPOSITORIES,
    SAMPLING,
    config_files,
    config_pattern,
)
from ddgs_hub.recipe import SampleSettings, parse_section
from ddgs_hub.stages.provenance import recipe_of
from ddgs_hub.stages.run_folder import DISTILLED_FOLDER, RunFolder


@dataclass(frozen=True, kw_only=True)
class FigureRows:
    """What the figures are drawn of.

    Attributes:
        distilled: the distilled rows, with their images.
        opened: the pool, and the difficulties of the original; no images.
        original: folder of the original images, in the order of `opened.original`; None where they are not at hand.
        sample: the settings by which the rows were sampled.
        seed: of that draw.
    """

    distilled: Dataset
    opened: OpenedPool
    original: Path | None
    sample: SampleSettings
    seed: int

    def original_images(self, indices: NDArray[np.int64]) -> Dataset:
        """These rows of the original, with their images alone."""
        assert self.original is not None
        return read_selected(self.original, indices, names=["image"])


def rows_of_run(run: RunFolder) -> FigureRows:
    """The rows of a run's distilled set.

    Raises:
        InputError: a stage of the run is missing, or a file of it is damaged.
    """
    opened = open_pool(run.pool, scored_original(run.original))
    distilled = read_rows(run.distilled)
    sample, seed = sampled_with(run.distilled)
    original = run.original if has_images(run.original) else None
    return FigureRows(distilled=distilled, opened=opened, original=original, sample=sample, seed=seed)


def sampled_with(distilled: Path) -> tuple[SampleSettings, int]:
    """The settings and the seed by which a distilled set in a folder was sampled.

    Raises:
        InputError: its `sampling.json` is missing, damaged, or of other values.
    """
    path = distilled / SAMPLING
    values = read_json(path, dict[str, Any], str(path))
    sample = parse_section(SampleSettings, values.get("sample") or {}, f"'sample' in {path}")
    seed = values.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"the seed in {path} is {seed}, not a whole number: sample again")
    return sample, seed


def find_rows(where: str, ipc: int | None = None) -> FigureRows:
    """The rows of a run, of a repository's folder, or of a repository that was published with its pool.

    Args:
        where: a run folder; a folder in its `hub/`, or any that holds a published set with its pool; or `owner/name` or
            `owner/name@revision` on the Hub.
        ipc: which distilled set of a run; None: the only one.

    Raises:
        InputError: there is no such folder or repository, or it lacks what the figures show.
        ConnectionLostError: the Hub does not answer.
    """
    folder = expanded(where)
    if _is_run(where):
        return rows_of_run(RunFolder(folder, _ipc_of(folder, ipc)))
    original = None
    if folder.is_dir():
        opened, provenance, original = _open_folder(folder)
        rows_folder = folder
    else:
        opened = open_pool(where)
        provenance, source = opened.provenance, opened.pool_source
        assert source is not None
        rows_folder = dataset_files(source.id, source.commit, [config_pattern(DEFAULT)], where)
    distilled = read_rows(rows_folder)
    found = int(np.bincount(checked_labels(distilled, where)).max())
    if ipc not in (None, found):
        raise InputError(f"{where} has {found} images a class, not {ipc}: leave out --ipc")
    sample, seed = sampled_by(provenance, where)
    sample = replace(sample, ipc=found)
    return FigureRows(distilled=distilled, opened=opened, original=original, sample=sample, seed=seed)


def sampled_by(provenance: Provenance, where: str) -> tuple[SampleSettings, int]:
    """The settings and the seed by which published rows were sampled, as far as they are known."""
    recipe, drawn = recipe_of(provenance), provenance.sampled or {}
    seed = drawn.get("seed")
    if not isinstance(seed, int) or seed < 0:
        seed = recipe.seed if recipe else 0
    if recipe:
        return recipe.sample, seed
    values = drawn.get("sample")
    where = f"'sampled.sample' in {PROVENANCE} of {where}"
    return parse_section(SampleSettings, values if isinstance(values, dict) else {}, where), seed


def figures_folder(where: str, ipc: int | None = None) -> Path:
    """Where the figures of `find_rows(where, ipc)` belong: in the run, else in a folder here that is new or empty.

    Raises:
        InputError: there are other files in that folder.
    """
    if _is_run(where):
        figures = expanded(where) / FIGURES
        apart = figures / f"ipc{ipc}"  # where the run's recipe has several IPCs
        return apart if apart.is_dir() else figures
    source = expanded(where)
    name = source.resolve().name if source.is_dir() else split_revision(where)[0].split("/")[1]
    folder = Path(f"{FIGURES}-{name}")
    refuse_existing(folder)
    return folder


def _is_run(where: str) -> bool:
    """Whether that is a folder, and not one of a repository."""
    folder = expanded(where)
    return folder.is_dir() and not (folder / PROVENANCE).is_file() and not config_files(folder, POOL)


def _open_folder(folder: Path) -> tuple[OpenedPool, Provenance, Path | None]:
    """The pool of a repository's folder: that of its run, if it lies in one, or its own."""
    provenance, run = read_provenance(folder / PROVENANCE, str(folder)), folder.resolve().parent.parent
    if folder.resolve().parent.name == RUN_REPOSITORIES and (run / RUN_POOL).is_dir():
        original = run / RUN_ORIGINAL
        return (
            open_pool(run / RUN_POOL, scored_original(original)),
            provenance,
            original if has_images(original) else None,
        )
    if not config_files(folder, POOL):
        raise InputError(f"{folder} has no pool and lies in no run folder: give its run, or OWNER/NAME with its pool")
    return open_pool(folder), provenance, None


def _ipc_of(run: Path, ipc: int | None) -> int:
    """The IPC of a run's distilled set; the one that is given must be there."""
    names = [path.name.removeprefix(DISTILLED_FOLDER) for path in run.glob(f"{DISTILLED_FOLDER}*") if path.is_dir()]
    found = sorted(int(name) for name in names if name.isdecimal())
    if not found:
        raise InputError(f"{run} has no {DISTILLED_FOLDER}N/: finish the run first, or give another folder")
    if ipc is None and len(found) == 1:
        return found[0]
    if ipc in found:
        return ipc
    one_of = " or ".join(f"--ipc {number}" for number in found)
    asked = "has several distilled sets" if ipc is None else f"has no {DISTILLED_FOLDER}{ipc}/"
    raise InputError(f"{run} {asked}: give {one_of}")


def scored_original(original: Path) -> Path:
    """The folder of the original, if it has been scored."""
    names = read_tables(original)[0].names
    if "difficulty" not in names:
        raise InputError(f"{original} has no column 'difficulty': finish the run, or score it")
    return original


def has_images(folder: Path) -> bool:
    """Whether the rows of a folder in Hub layout have images."""
    return "image" in read_tables(folder)[0].names


def chosen_classes(rows: FigureRows, names: list[str]) -> list[int]:
    """The labels of classes by their names, each once, in the order that they were given.

    Raises:
        InputError: a class is unknown, the message names all; or the pool has other classes.
    """
    known = class_names(rows.distilled)
    if known != class_names(rows.opened.columns):
        raise InputError("the distilled set and its pool have different classes: give a set with its own pool")
    for name in names:
        if name not in known:
            raise InputError(f"there is no class '{name}': choose from {', '.join(known)}")
    return [known.index(name) for name in dict.fromkeys(names)]
