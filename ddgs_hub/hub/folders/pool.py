"""Adds the scored pool to the folder of a distilled dataset, so that anyone can sample from it again."""

import os
import shutil
from pathlib import Path

from datasets import Features

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hashing import sha256_of
from ddgs_hub.core.rows import parquet_path, read_tables, row_files, write_tables
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.hub.cards import OWNER, ConfigFiles, render_pool_section, with_pool
from ddgs_hub.hub.folders.hashes import hash_pool
from ddgs_hub.hub.folders.kinds import DISTILLED, kind_of
from ddgs_hub.hub.folders.repository_files import measure_files, write_text
from ddgs_hub.hub.layout import (
    CARD,
    DEFAULT,
    ORIGINAL,
    POOL,
    POOL_CONFIGS,
    PROVENANCE,
    RUN_ORIGINAL,
    RUN_POOL,
    RUN_REPOSITORIES,
    config_files,
    config_pattern,
)
from ddgs_hub.hub.provenance import read_provenance


def add_pool(repository: Path, output: Path | None = None) -> Path:
    """Writes the folder of a distilled set with the pool of its run, whole or not at all.

    Two configurations are added to `default`, which `load_dataset` reads from the folder as from the Hub: `pool`, the
    Parquet files of the run's pool, byte for byte (hard links if possible), and `original`, the difficulties of the
    scored original without its images. The card names both. A pool that is already there is replaced.

    Args:
        repository: a folder in the `hub/` of a run folder.
        output: where to write; None: `repository` is replaced.

    Returns:
        `output`, or `repository`.

    Raises:
        InputError: the run has no scored pool or original, or its pool is not the one that the rows were selected from.
    """
    output = output or repository
    run = _run_of(repository)
    with staged_folder(output) as partial:
        shutil.copytree(repository, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*POOL_CONFIGS))
        (partial / POOL).mkdir()
        for path in sorted((run / RUN_POOL).glob(config_pattern(DEFAULT))):
            _link(path, partial / POOL / path.name)
        _write_scores(run / RUN_ORIGINAL, partial)
        _write_card(partial, f"{OWNER}/{repository.resolve().name}")
    return output


def _run_of(repository: Path) -> Path:
    """The run folder whose pool the rows of a distilled set were selected from; see `add_pool` for the errors."""
    run = repository.resolve().parents[1]
    provenance = read_provenance(repository / PROVENANCE, str(repository))
    kind = kind_of(provenance, f"{repository / PROVENANCE}")
    if kind != DISTILLED:
        raise InputError(f"{repository} is a {kind.called}, which has no pool: leave out --pool")
    if not provenance.content or not provenance.content.pool:
        raise InputError(f"no {PROVENANCE} in {repository} says from which pool its rows are: give a finished run")
    if repository.resolve().parent.name != RUN_REPOSITORIES or not (run / RUN_POOL).is_dir():
        raise InputError(
            f"{repository} is in no run folder with a {RUN_POOL}/: publish it from its run, or without --with-pool"
        )
    for name in (RUN_POOL, RUN_ORIGINAL):
        _require_scores(run / name)
    if hash_pool(run / RUN_POOL) != provenance.content.pool:
        raise InputError(
            f"{run / RUN_POOL} is not the pool that the rows of {repository} were selected from: finish the run first, "
            "or publish without --with-pool"
        )
    return run


def _require_scores(folder: Path) -> None:
    schema, _ = read_tables(folder)
    if "difficulty" not in schema.names:
        raise InputError(f"{folder} has no column 'difficulty': finish the run, or score it")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _write_scores(original: Path, folder: Path) -> None:
    """Writes the columns of the scored original that sampling needs; its images stay with their owner."""
    schema, tables = read_tables(original)
    features = Features.from_arrow_schema(schema)
    scores = Features({name: features[name] for name in DISTILLED.columns[ORIGINAL] if name in features})
    write_tables(tables, scores, folder / ORIGINAL / parquet_path(folder).name)


def _write_card(folder: Path, repo_id: str) -> None:
    paths = {name: config_files(folder, name) for name in POOL_CONFIGS}
    files = {name: ConfigFiles(measure_files(part), sha256_of(part)) for name, part in paths.items()}
    pool, rows = files[POOL].info, measure_files(row_files(folder))
    classes = pool.features["label"].num_classes
    per_class, ipc = (info.splits["train"].num_examples // classes for info in (pool, rows))
    section = render_pool_section(repo_id, per_class=per_class, ipc=min(2 * ipc, per_class))
    card = (folder / CARD).read_text(encoding="utf-8")
    write_text(folder / CARD, with_pool(card, files, section))
