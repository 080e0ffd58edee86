"""From a scored pool and a scored original to the distilled set (Eq. 7–9): the stage `sample`.

The pool of a run, a local folder and a published pool are treated alike. The rows are chosen by their labels and
difficulties. Then the pool is read once, a few hundred images at a time, for the chosen images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, Value
from datasets.fingerprint import generate_random_fingerprint

from ddgs_hub.core.files import expanded
from ddgs_hub.core.made import Made
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import read_selected, write_rows, write_split
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.hub import OpenedPool, hash_scores, open_pool
from ddgs_hub.hub.layout import SAMPLING
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling.datasets import MARKS, Distillation, distill_columns
from ddgs_hub.stages.auto_target import Choice, choose_target
from ddgs_hub.stages.pool_origin import PoolOrigin, find_origin
from ddgs_hub.stages.run_folder import SELECTIONS, write_json
from ddgs_hub.stages.sampled_repository import Draw, write_sampled_repository
from ddgs_hub.stages.usability import check_pool, with_check


def make_distilled(
    sample: SampleSettings,
    pool: str | Path,
    original: str | Path | None,
    output: Path,
    *,
    seed: int | None = None,
    mark_pool: bool = False,
    repository: bool = True,
    original_images: Path | None = None,
) -> Made:
    """Samples one distilled dataset from a scored pool, see `open_pool`.

    Args:
        sample: the settings.
        pool: a folder, or `owner/name[@revision]`.
        original: the scored original, likewise; None: the one that was published with the pool.
        output: where to write.
        seed: of the draw; None: the seed of the pool's recipe, or 0 if that is not known.
        mark_pool: whether the folder of the pool gains columns that say what was selected.
        repository: whether `output` gets a repository in its `hub/`, as a run folder has, but without an evaluation;
            `publish` takes it. The stage of a run leaves that to a later one.
        original_images: folder of the original images, for the distribution `auto`; None: that of `original`.

    Returns:
        Number of images, mean difficulty, how each class was selected, sources, the folder to publish, and what is
        found of the pool, see `check_pool`.

    Raises:
        InputError: the pool or the original cannot be read, or `distill_columns` or `choose_target` raises it.
    """
    opened = open_pool(pool, original)
    origin = find_origin(opened, pool) if repository else None
    seed = _seed(seed, origin)
    settled = _settle(opened, original_images or original, sample, seed)
    result = distill_columns(opened.columns, opened.original, settled.settings, seed=seed)
    with staged_folder(output) as folder:
        made = _write_set(opened, origin, original, settled, seed, result, folder, output)
    if mark_pool:
        _mark_pool(opened, result)
    return made


def sample_sets(
    samples: Sequence[SampleSettings],
    pool: str | Path,
    original: str | Path | None,
    output: Path,
    *,
    seed: int | None = None,
    generator: str | None = None,
    license: str | None = None,
    pretty_name: str | None = None,
) -> Made:
    """Samples distilled datasets of one or several IPCs from a scored pool, each with a repository to publish.

    The only one is written into `output`; several into `ipc10`, `ipc20`, … in it, all or none. Each is drawn from the
    whole pool, or with `pool_size` from the first images of each class: then the pools of the smaller ones are the
    beginnings of those of the larger.

    Args:
        samples: the settings, alike but for the IPC.
        pool: see `make_distilled`.
        original: see `make_distilled`.
        output: where to write.
        seed: see `make_distilled`.
        generator: what made the images of a pool that ddgs-hub did not generate, for the card.
        license: of these images, as the Hub names it.
        pretty_name: of these images, for people.

    Returns:
        Of one as `make_distilled`; of several `sets`, a list of these with `ipc`.

    Raises:
        InputError: as `make_distilled` and `find_origin`.
    """
    opened = open_pool(pool, original)
    origin = find_origin(opened, pool, generator=generator, license=license, pretty_name=pretty_name)
    seed, made = _seed(seed, origin), []
    choices = [_settle(opened, original, sample, seed) for sample in samples]
    results = [distill_columns(opened.columns, opened.original, one.settings, seed=seed) for one in choices]
    with staged_folder(output) as folder:
        for settled, result in zip(choices, results, strict=True):
            name = f"ipc{settled.settings.ipc}" if len(samples) > 1 else ""
            (folder / name).mkdir(exist_ok=True)
            made.append(_write_set(opened, origin, original, settled, seed, result, folder / name, output / name))
    if len(samples) == 1:
        return made[0]
    sets = [{"ipc": sample.ipc, **one.values} for sample, one in zip(samples, made, strict=True)]
    text = "\n".join(f"IPC {sample.ipc}: {one.text}" for sample, one in zip(samples, made, strict=True))
    return Made(text, {"output": str(output), "sets": sets})


def _settle(opened: OpenedPool, originals: str | Path | None, sample: SampleSettings, seed: int) -> Choice:
    """The settings to sample with; of the distribution `auto` those that proxies choose."""
    if sample.distribution != "auto":
        return Choice(sample)
    return choose_target(opened, originals, sample, seed)


def _seed(given: int | None, origin: PoolOrigin | None) -> int:
    """The seed of the draw."""
    if given is not None:
        return given
    return origin.recipe.seed if origin and origin.recipe else 0


def _write_set(
    opened: OpenedPool,
    origin: PoolOrigin | None,
    original: str | Path | None,
    settled: Choice,
    seed: int,
    result: Distillation,
    folder: Path,
    output: Path,
) -> Made:
    """Writes a distilled set into `folder`, which will be `output`; with an origin, its repository as well."""
    sample = settled.settings
    with Progress("sample", len(result.indices), unit="row") as progress:
        rows = _with_images(opened, result)
        progress.update(len(rows))
    write_rows(rows, folder)
    write_json(folder / SELECTIONS, result.classes)
    values = {**opened.sources, "sample": asdict(sample), "seed": seed}
    tried = {"auto": settled.to_dict()} if settled.tried else {}
    values |= tried
    if origin:  # for `publish --with-pool`; this file stays here
        local = {} if opened.pool_source else {"pool": opened.folder}
        if original is not None and opened.original_source is None:
            local["original"] = expanded(original)
        values["folders"] = {name: str(path.resolve()) for name, path in local.items()}
        values["original_scores"] = hash_scores(opened.original)
    write_json(folder / SAMPLING, values)
    lines, to_publish = [_in_words(rows, result), *([settled.text] if tried else [])], None
    if opened.pool_source:
        lines.append(f"pool of {opened.pool_source.id} at commit {opened.pool_source.commit}")
    if origin:
        draw = Draw(
            opened=opened,
            origin=origin,
            original=original,
            sample=sample,
            seed=seed,
            rows=rows,
            classes=result.classes,
            chosen=settled.text if tried else "",
        )
        repository = write_sampled_repository(draw, folder)
        to_publish = str(output / repository.relative_to(folder))
        lines.append(f"to publish: {to_publish}, with its card")
    made = {
        "output": str(output),
        "images": len(rows),
        "mean_difficulty": _mean_difficulty(rows),
        "classes": result.classes,
        "sources": opened.sources,
        "seed": seed,
        "repository": to_publish,
        **tried,
    }
    of_set = Made("\n".join(lines), made)
    # A run has judged its pool when it was scored, with its images.
    if origin is None:
        return of_set
    return with_check(of_set, check_pool(opened.columns, opened.original, sample.ipc, ours=opened.foreign is None))


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
