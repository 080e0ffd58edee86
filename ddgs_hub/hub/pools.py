"""Scored pools to sample from: local folders, or pools that were published beside their distilled sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset
from datasets.fingerprint import generate_random_fingerprint
from datasets.packaged_modules.parquet.parquet import Parquet
from huggingface_hub import constants

from ddgs_hub.core.columns import COLUMNS, choose_columns
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.foreign_rows import sanitize_table
from ddgs_hub.core.hub_client import Pinned, dataset_files, patiently, pin_dataset, reading
from ddgs_hub.core.parquet import open_parquet
from ddgs_hub.core.revisions import split_revision
from ddgs_hub.core.rows import class_names, read_rows, read_tables, row_files
from ddgs_hub.hub.foreign_pools import PoolColumns, is_foreign
from ddgs_hub.hub.layout import (
    DEFAULT,
    ORIGINAL,
    POOL,
    PROVENANCE,
    SCORED_NAME,
    config_files,
    config_pattern,
    parquet_pattern,
)
from ddgs_hub.hub.provenance import Provenance, read_provenance
from ddgs_hub.original import open_source, resolve_split

SCORES = ["label", "difficulty"]  # of the original, all that sampling needs


@dataclass(frozen=True, kw_only=True)
class OpenedPool:
    """What is sampled from. No image is in memory.

    Attributes:
        folder: where the pool lies.
        files: its Parquet files; None: those of the split `train` of the folder.
        columns: `label`, `difficulty`, and every other column of the pool but `image`.
        original: `label`, `difficulty` of the scored original; no images.
        pool_source: the dataset on the Hub where the pool is; None: it is local.
        original_source: the same of the original.
        provenance: of the published set or of the scored rows that the pool is; empty where there is none.
        foreign: brings the rows of a pool that ddgs-hub did not generate into the columns of one; None: it is of ours.
    """

    folder: Path
    files: list[Path] | None
    columns: Dataset
    original: Dataset
    pool_source: Pinned | None
    original_source: Pinned | None
    provenance: Provenance
    foreign: PoolColumns | None = None

    def tables(self) -> tuple[pa.Schema, Iterator[pa.Table]]:
        """The columns of the pool, and its rows, a few hundred at a time, with their images; see `read_tables`."""
        schema, tables = read_tables(self.folder, files=self.files)
        return (self.foreign.schema(schema), self.foreign.of(tables)) if self.foreign else (schema, tables)

    @property
    def sources(self) -> dict[str, Any]:
        """Where on the Hub both are, as JSON values."""
        sources = {"pool": self.pool_source, "original": self.original_source}
        return {
            name: {"id": source.id, "commit": source.commit} if source else None for name, source in sources.items()
        }


def open_pool(pool: str | Path, original: str | Path | None = None) -> OpenedPool:
    """Opens a scored pool, and the difficulties of the original that its own are to match.

    Of a pool that ddgs-hub did not generate, such as a folder that `score` wrote, the columns become those of a pool,
    see `PoolColumns`; its classes may be in another order than the original's.

    The files of a published set are fetched at one commit, into the cache of huggingface_hub; with HF_HUB_OFFLINE they
    are read from there.

    Args:
        pool: a folder: of a scored pool, or of a set with its pool; or `owner/name` or `owner/name@revision` of a set
            that was published with its pool, or of scored images. Without a revision it is the newest commit.
        original: a folder of the scored original, or `owner/name[@revision]` of a scored dataset, of which no image is
            fetched. None: the difficulties that were published with the pool.

    Raises:
        InputError: there is no such folder, dataset or revision, it may not be read, it was published without its pool,
            or no original is given for a pool without one.
        ConnectionLostError: the Hub does not answer.
    """
    folder, pool_source = expanded(pool), None
    if not folder.is_dir():
        folder, pool_source = _fetch_set(str(pool))
    else:
        _refuse_unscored_images(folder, str(pool), "scored-pool")
    provenance = read_provenance(folder / PROVENANCE, pool_source.id if pool_source else str(pool))
    beside = config_files(folder, ORIGINAL)
    if original is not None:
        scores, original_source = _open_original(str(original))
    elif beside:
        scores, original_source = _read_columns(folder, beside), pool_source
    elif pool_source is None and not any(folder.rglob("*.parquet")):
        raise InputError(f"{pool} holds no scored pool: give a folder that `ddgs-hub score` wrote, or one of a run")
    else:
        lacks = "was published without the difficulties of its" if pool_source else "is a pool without its scored"
        what = "scored images whose difficulties the distilled ones are to follow"
        raise InputError(f"{pool} {lacks} original: give --original, {what}")
    files = _files_of(folder, provenance)
    schema, _ = read_tables(folder, files=files)
    _require_pool(schema)
    columns, foreign = _read_columns(folder, files), None
    if is_foreign(schema):
        foreign = PoolColumns(class_names(columns), class_names(scores))
        columns = _dataset(list(foreign.of(iter([columns.with_format("arrow")[:]]))))
    return OpenedPool(
        folder=folder,
        files=files,
        columns=columns,
        original=scores,
        pool_source=pool_source,
        original_source=original_source,
        provenance=provenance,
        foreign=foreign,
    )


def _require_pool(schema: pa.Schema) -> None:
    for name in ("image", "label", "difficulty"):
        if name not in schema.names:
            raise InputError(f"the pool has no column '{name}': it has {', '.join(schema.names)}")


def _files_of(folder: Path, provenance: Provenance) -> list[Path] | None:
    """The Parquet files of the pool in a folder; None: those of the split `train`."""
    split = provenance.source.split if provenance.source else None
    return config_files(folder, POOL) or (row_files(folder, split) if split not in (None, "train") else None) or None


def _refuse_unscored_images(folder: Path, named: str, scored: str) -> None:
    """Refuses a folder that is a source of images, and no folder of ours, whose rows have difficulties."""
    if config_files(folder, POOL) or any(folder.glob(parquet_pattern(DEFAULT))):
        return
    try:
        open_source(str(folder), "train")
    except InputError:
        return
    scoring = f"ddgs-hub score {named} --scorer SCORER --output {scored}"
    raise InputError(f"{named} holds images without difficulties: score them, `{scoring}`, and give that folder")


def _fetch_set(spec: str) -> tuple[Path, Pinned]:
    """The published pool, its original's difficulties and what made it, in the cache of huggingface_hub."""
    name, revision = split_revision(spec)
    patterns = [config_pattern(POOL), config_pattern(ORIGINAL), PROVENANCE]
    if not constants.HF_HUB_OFFLINE:
        name = pin_dataset(name, revision).id  # raises an InputError if it cannot be read
    folder = dataset_files(name, revision, patterns, spec)
    if not config_files(folder, POOL) and read_provenance(folder / PROVENANCE, name).kind == SCORED_NAME:
        # Scored images: the pool of another generator, published by itself.
        folder = dataset_files(name, revision, [*patterns, parquet_pattern(DEFAULT)], spec)
    elif not config_files(folder, POOL):
        raise InputError(
            f"{spec} was published without its pool: give a revision that has it, or ask its owner for "
            f"`ddgs-hub publish RUN --repo {name} --with-pool`"
        )
    return folder, Pinned(name, folder.name)


def _open_original(spec: str) -> tuple[Dataset, Pinned | None]:
    folder = expanded(spec)
    if folder.is_dir():
        _refuse_unscored_images(folder, spec, "scored-original")
        return _read_columns(folder, config_files(folder, ORIGINAL) or None), None
    name, revision = split_revision(spec)
    if constants.HF_HUB_OFFLINE:
        patterns = [config_pattern(ORIGINAL), config_pattern(DEFAULT)]
        folder = dataset_files(name, revision, patterns, spec)
        return _read_columns(folder, config_files(folder, ORIGINAL) or None), Pinned(name, folder.name)
    pinned = pin_dataset(name, revision)
    try:
        with reading(spec):
            return patiently(lambda: _fetch_scores(pinned)), pinned
    except ValueError as error:  # datasets' own, too: its message lists the configurations
        reason = " ".join(str(error).split())
        raise InputError(f"cannot read the difficulties of {spec}: {reason}; give a scored dataset") from error


def _fetch_scores(pinned: Pinned) -> Dataset:
    """Reads only the two columns of a scored dataset in Parquet files; its images are not fetched."""
    split = resolve_split(None, pinned, "train")
    if ORIGINAL in split.builder.builder_configs:
        split = resolve_split(None, pinned, "train", ORIGINAL)
    if not isinstance(split.builder, Parquet):
        raise InputError(f"the difficulties of {pinned.id} are in no Parquet files: give a scored dataset")
    where, tables, columns, row = f"{pinned.id} (train)", [], None, 0
    for path in split.files:
        with open_parquet(path, where) as file:
            columns = columns or choose_columns(file.schema_arrow, where).restricted_to(SCORES)
            table = file.read(columns=list(columns.our_names))
        tables.append(sanitize_table(table, columns, first_row=row, where=where))
        row += len(table)
    return _dataset(tables)


def _read_columns(folder: Path, files: Sequence[Path] | None) -> Dataset:
    """Every column but the images."""
    return read_rows(folder, files=files, names=[name for name in COLUMNS if name != "image"])


def _dataset(tables: list[pa.Table]) -> Dataset:
    return Dataset(pa.concat_tables(tables), fingerprint=generate_random_fingerprint())
