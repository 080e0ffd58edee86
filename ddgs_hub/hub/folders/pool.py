"""Adds the scored pool to the folder of a distilled dataset, so that anyone can sample from it again."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from datasets import DatasetInfo, Features
from pydantic import Field
from pydantic.dataclasses import dataclass as schema

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hashing import sha256_of
from ddgs_hub.core.rows import (
    DATA,
    ROWS_PER_GROUP,
    class_names,
    parquet_path,
    read_rows,
    read_tables,
    row_files,
    write_split,
    write_tables,
)
from ddgs_hub.core.schema import FOREIGN, read_json
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.hub.cards import OWNER, ConfigFiles, render_pool_section, with_pool
from ddgs_hub.hub.folders.hashes import hash_pool, hash_pool_rows, hash_scores
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
    SAMPLING,
    config_files,
    config_pattern,
)
from ddgs_hub.hub.pools import OpenedPool, open_pool
from ddgs_hub.hub.provenance import Commit, HubId, read_provenance
from ddgs_hub.sampling.datasets import MARKS


@schema(frozen=True, config=FOREIGN)
class _AtCommit:
    """A dataset on the Hub."""

    id: HubId
    commit: Commit


@schema(frozen=True, kw_only=True, config=FOREIGN)
class Sampling:
    """What is read of the `sampling.json` beside a distilled set.

    Attributes:
        pool: on the Hub; None: it is local.
        original: on the Hub.
        folders: `pool` and `original` → where they are on this machine.
        original_scores: `hash_scores` of the original that was followed.
    """

    pool: _AtCommit | None = None
    original: _AtCommit | None = None
    folders: Annotated[dict[str, str], Field(max_length=10)] = field(default_factory=dict)
    original_scores: str = ""

    def place(self, name: Literal["pool", "original"]) -> str | None:
        """Where one of them is, as `open_pool` takes it; None: the original was published with the pool."""
        source = getattr(self, name)
        if name == "original" and source == self.pool:
            source = None
        return f"{source.id}@{source.commit}" if source else self.folders.get(name)


def add_pool(repository: Path, output: Path | None = None) -> Path:
    """Writes the folder of a distilled set with the pool of its run, or that it was sampled from, whole or not at all.

    Two configurations are added to `default`, which `load_dataset` reads from the folder as from the Hub: `pool`, the
    Parquet files of the pool, byte for byte (hard links if possible; `_Pool.write` says which are written anew), and
    `original`, the difficulties of the scored original without its images. The card names both. A pool that is already
    there is replaced.

    Args:
        repository: a folder in the `hub/` of a run folder, or of a folder that `sample` wrote.
        output: where to write; None: `repository` is replaced.

    Returns:
        `output`, or `repository`.

    Raises:
        InputError: there is no scored pool or original, or the pool is not the one that the rows were selected from.
    """
    output = output or repository
    found = _pool_of(repository)
    with staged_folder(output) as partial:
        shutil.copytree(repository, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*POOL_CONFIGS))
        found.write(partial / POOL)
        _write_scores(*found.original, partial)
        _write_card(partial, f"{OWNER}/{repository.resolve().name}")
    return output


@dataclass(frozen=True)
class _Pool:
    """A pool on this machine, and the scores that were followed when it was sampled.

    Attributes:
        opened: the pool; None: it is that of a run.
        run: that run.
    """

    opened: OpenedPool | None
    run: Path

    @property
    def files(self) -> list[Path]:
        """The Parquet files of the pool."""
        if self.opened is None:
            return sorted((self.run / RUN_POOL).glob(config_pattern(DEFAULT)))
        return self.opened.files or row_files(self.opened.folder)

    @property
    def hash(self) -> str:
        """See `hash_pool`."""
        return hash_pool_rows(self.opened.tables()[1]) if self.opened else hash_pool(self.run / RUN_POOL)

    @property
    def original(self) -> tuple[pa.Schema, Iterable[pa.Table]]:
        """The rows of the scored original."""
        if self.opened is None:
            return read_tables(self.run / RUN_ORIGINAL)
        rows = self.opened.original
        return rows.features.arrow_schema, rows.with_format("arrow").iter(ROWS_PER_GROUP)

    def write(self, folder: Path) -> None:
        """Writes the pool: its own files; or its rows, in the columns of a pool, if those of the files are others.

        So it is with a pool of another generator, and with one whose marks say what another set took from it.
        """
        folder.mkdir()
        if self.opened is None or not (self.opened.foreign or set(MARKS) & set(self.opened.columns.column_names)):
            for path in self.files:
                _link(path, folder / path.name)
            return
        schema, tables = self.opened.tables()
        features = Features.from_arrow_schema(schema)
        write_split(tables, Features({name: features[name] for name in features if name not in MARKS}), folder)
        for path in row_files(folder):
            path.rename(folder / path.name)
        (folder / DATA).rmdir()


def _pool_of(repository: Path) -> _Pool:
    """The pool that the rows of a distilled set were selected from; see `add_pool` for the errors."""
    hub = repository.resolve().parent
    in_hub, around = hub.name == RUN_REPOSITORIES, hub.parent
    provenance = read_provenance(repository / PROVENANCE, str(repository))
    kind = kind_of(provenance, f"{repository / PROVENANCE}")
    if kind != DISTILLED:
        raise InputError(f"{repository} is a {kind.called}, which has no pool: leave out --with-pool")
    if not provenance.content or not provenance.content.pool:
        raise InputError(f"no {PROVENANCE} in {repository} says from which pool its rows are: give a finished run")
    if in_hub and (around / RUN_POOL).is_dir():
        for name in (RUN_POOL, RUN_ORIGINAL):
            _require_scores(around / name)
        pool, where = _Pool(None, around), str(around / RUN_POOL)
    elif in_hub and (around / SAMPLING).is_file():
        opened, where = _sampled_from(around / SAMPLING)
        pool = _Pool(opened, around)
    else:
        raise InputError(
            f"{repository} is in no run folder with a {RUN_POOL}/: publish it from its run, or without --with-pool"
        )
    if pool.hash != provenance.content.pool:
        raise InputError(
            f"{where} is not the pool that the rows of {repository} were selected from: finish the run first, "
            "or publish without --with-pool"
        )
    return pool


def _sampled_from(path: Path) -> tuple[OpenedPool, str]:
    """The pool that `sample` has noted, and where it is."""
    noted = read_json(path, Sampling, str(path))
    pool, original = noted.place("pool"), noted.place("original")
    if pool is None:
        raise InputError(f"{path} does not say where its pool is: sample again, or publish without --with-pool")
    if noted.pool is None and not Path(pool).is_dir():
        raise InputError(f"the pool {pool} is no longer there: sample again, or publish without --with-pool")
    opened = open_pool(pool, original)
    # A stranger's file could name the scores of somebody else: it does not know what they are.
    if hash_scores(opened.original) != noted.original_scores:
        raise InputError(
            f"{original or pool} has not the scores that {path} notes: sample again, or publish without --with-pool"
        )
    return opened, pool


def _require_scores(folder: Path) -> None:
    schema, _ = read_tables(folder)
    if "difficulty" not in schema.names:
        raise InputError(f"{folder} has no column 'difficulty': finish the run, or score it")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _write_scores(schema: pa.Schema, tables: Iterable[pa.Table], folder: Path) -> None:
    """Writes the columns of the scored original that sampling needs; its images stay with their owner."""
    features = Features.from_arrow_schema(schema)
    scores = Features({name: features[name] for name in DISTILLED.columns[ORIGINAL] if name in features})
    write_tables(tables, scores, folder / ORIGINAL / parquet_path(folder).name)


def _write_card(folder: Path, repo_id: str) -> None:
    paths = {name: config_files(folder, name) for name in POOL_CONFIGS}
    files = {name: ConfigFiles(measure_files(part), sha256_of(part)) for name, part in paths.items()}
    per_class = _per_class(files[POOL].info)
    section = render_pool_section(repo_id, per_class=per_class, ipc=min(2 * ipc_of(folder), per_class))
    card = (folder / CARD).read_text(encoding="utf-8")
    write_text(folder / CARD, with_pool(card, files, section))


def ipc_of(repository: Path) -> int:
    """Images per class, on average, of the distilled set in the folder of a repository; 0 where it has no rows.

    Raises:
        InputError: its rows cannot be read.
    """
    if not row_files(repository):
        return 0
    labels = read_rows(repository, names=["label"])
    return len(labels) // max(len(class_names(labels)), 1)


def _per_class(info: DatasetInfo) -> int:
    """Rows per class, on average."""
    assert info.splits is not None
    assert info.features is not None
    return int(info.splits["train"].num_examples // info.features["label"].num_classes)
