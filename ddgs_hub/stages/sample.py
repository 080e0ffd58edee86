"""From a scored pool and a scored original to the distilled set (Eq. 7–9): the stage `sample`.

The pool of a run, a local folder and a published pool are treated alike. The rows are chosen by their labels and
difficulties. Then the pool is read once, a few hundred images at a time, for the chosen images.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, Value
from datasets.fingerprint import generate_random_fingerprint

from ddgs_hub.core.made import Made
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import read_selected, write_rows, write_split
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.hub import OpenedPool, open_pool
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling.datasets import MARKS, Distillation, distill_columns
from ddgs_hub.stages.provenance import recipe_of
from ddgs_hub.stages.repository import write_sampled_repository
from ddgs_hub.stages.run_folder import SAMPLING, SELECTIONS, write_json
from ddgs_hub.stages.usability import check_pool, with_check


def make_distilled(
    sample: SampleSettings,
    pool: str | Path,
    original: str | Path | None,
    output: Path,
    *,
    seed: int | None = None,
    mark_pool: bool = False,
) -> Made:
    """Samples a distilled dataset from a scored pool, see `open_pool`.

    If the pool is published and its `provenance.json` holds its recipe, `output` gets a repository in its `hub/`, as a
    run folder has, but without an evaluation; `publish` takes it.

    Args:
        sample: the settings.
        pool: a folder, or `owner/name[@revision]`.
        original: the scored original, likewise; None: the one that was published with the pool.
        output: where to write.
        seed: of the draw; None: the seed of the pool's recipe, or 0 if that is not known.
        mark_pool: whether the folder of the pool gains columns that say what was selected.

    Returns:
        Number of images, mean difficulty, how each class was selected, sources, the folder to publish, and what is
        found of the pool, see `check_pool`.

    Raises:
        InputError: the pool or the original cannot be read, or `distill_columns` raises it.
    """
    opened = open_pool(pool, original)
    recipe = recipe_of(opened.provenance)
    if seed is None:
        seed = recipe.seed if recipe else 0
    result = distill_columns(opened.columns, opened.original, sample, seed=seed)
    with Progress("sample", len(result.indices), unit="row") as progress:
        rows = _with_images(opened, result)
        progress.update(len(rows))
    with staged_folder(output) as folder:
        write_rows(rows, folder)
        write_json(folder / SELECTIONS, result.classes)
        write_json(folder / SAMPLING, {**opened.sources, "sample": asdict(sample), "seed": seed})
        repository = write_sampled_repository(recipe, sample, opened, rows, result.classes, folder, seed)
    if mark_pool:
        _mark_pool(opened, result)
    lines, to_publish = [_in_words(rows, result)], None
    if opened.pool_source:
        lines.append(f"pool of {opened.pool_source.id} at commit {opened.pool_source.commit}")
    if repository:
        to_publish = str(output / repository.relative_to(folder))
        lines.append(f"to publish: {to_publish}, with its card")
    values = {"output": str(output), "images": len(rows), "mean_difficulty": _mean_difficulty(rows)}
    values |= {"classes": result.classes, "sources": opened.sources, "seed": seed, "repository": to_publish}
    made = Made("\n".join(lines), values)
    # A run has judged its pool when it was scored, with its images.
    return made if mark_pool else with_check(made, check_pool(opened.columns, opened.original, sample.ipc))


def _mark_pool(opened: OpenedPool, result: Distillation) -> None:
    """Writes into the folder of the pool what was selected."""
    with staged_folder(opened.folder) as pool_folder:
        features, tables = _marked_tables(opened, result)
        write_split(tables, features, pool_folder)


def _mean_difficulty(rows: Dataset) -> float:
    return float(np.mean(rows["difficulty"]))


def _in_words(rows: Dataset, result: Distillation) -> str:
    shortfall = sum(sum(selection["shortfall"]) for selection in result.classes)
    return f"{len(rows)} images, mean difficulty {_mean_difficulty(rows):.3f}, {shortfall} filled from other bins"


def _with_images(opened: OpenedPool, result: Distillation) -> Dataset:
    """The distilled rows with their images; no other image of the pool stays in memory."""
    ascending = np.sort(result.indices)
    images = read_selected(opened.folder, ascending, files=opened.files, names=["image"])
    features = {**images.features, **result.rows.features}
    table = result.pool.with_format("arrow")[:].take(ascending)
    table = table.append_column("image", images.with_format("arrow")[:].column("image"))
    ordered = [name for name in opened.tables()[0].names if name not in MARKS]
    names = [*ordered, *(name for name in MARKS if name in features)]
    schema = Features({name: features[name] for name in names}).arrow_schema
    rows = Dataset(table.select(names).cast(schema), fingerprint=generate_random_fingerprint())
    return rows.select(np.searchsorted(ascending, result.indices))


def _marked_tables(opened: OpenedPool, result: Distillation) -> tuple[Features, Iterator[pa.Table]]:
    """Every row of the pool, a few hundred at a time, with its image and with the columns of `MARKS`."""
    schema, tables = opened.tables()
    features = Features.from_arrow_schema(schema)
    names = [name for name in schema.names if name not in MARKS]
    marked = Features({name: features[name] for name in names} | {name: Value(kind) for name, kind in MARKS.items()})
    columns = result.pool.with_format("arrow")[:]

    def joined() -> Iterator[pa.Table]:
        row = 0
        for table in tables:
            marks = columns.slice(row, len(table))
            row += len(table)
            table = table.select(names)
            for name in MARKS:
                table = table.append_column(marked.arrow_schema.field(name), marks.column(name))
            yield table

    return marked, joined()
