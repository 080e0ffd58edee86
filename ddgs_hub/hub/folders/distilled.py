"""Writes what is published: a folder that holds exactly the files of a dataset repository, and a model's card."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, Features, SplitDict, SplitInfo

from ddgs_hub.core.file_names import ADAPTER_FILE, PIPELINE_INDEX
from ddgs_hub.core.folders import staged_folder
from ddgs_hub.core.rows import row_files, write_rows
from ddgs_hub.hub.cards import DistilledCard, DiTCard, ScorerCard, render_card
from ddgs_hub.hub.layout import CARD, PROVENANCE, figure_path, public_values


def export_dataset(
    rows: Dataset,
    folder: str | Path,
    card: DistilledCard,
    *,
    provenance: Mapping[str, Any],
    figures: Mapping[str, Path],
) -> Path:
    """Writes the repository of a distilled dataset into `folder`, whole or not at all.

    `load_dataset(str(folder))` reads it as it will read the repository. Equal arguments give equal bytes.

    Args:
        rows: the distilled images with their columns.
        folder: what is there is replaced.
        card: what is known beside the rows; features, sizes, checksum and figures are filled in here.
        provenance: what made the rows (resolved recipe, versions, commits): plain JSON values.
        figures: name → PNG file, copied to `figures/<name>.png`.

    Returns:
        `folder`.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    with staged_folder(folder) as partial:
        write_rows(rows, partial)
        files = row_files(partial)
        card = replace(
            card,
            info=measure_files(files),
            rows_sha256=sha256_of(files),
            figures=tuple(figures),
        )
        write_text(partial / CARD, render_card(card))
        write_provenance(partial, provenance)
        copy_figures(figures, partial)
    return folder


def copy_figures(figures: Mapping[str, Path], folder: Path) -> None:
    """Copies pictures, by the names that a card calls them by, into the folder of a repository."""
    for name, picture in figures.items():
        path = folder / figure_path(name)
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(picture, path)


def write_provenance(folder: Path, provenance: Mapping[str, Any]) -> None:
    """Writes `provenance.json`, without the folder names of this machine."""
    text = json.dumps(public_values(provenance), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(folder / PROVENANCE, text)


def write_model_card(folder: str | Path, card: DiTCard | ScorerCard) -> Path:
    """Writes the card of a model into the folder that holds it; a DiT's as pipeline, adapter or both is seen there.

    Returns:
        The card's path.
    """
    folder = Path(folder)
    if isinstance(card, DiTCard):
        pipeline, adapter = ((folder / name).is_file() for name in (PIPELINE_INDEX, ADAPTER_FILE))
        card = replace(card, pipeline=pipeline, adapter=adapter)
    write_text(folder / CARD, render_card(card))
    return folder / CARD


def measure_files(paths: Sequence[Path], split: str = "train") -> DatasetInfo:
    """What the front matter says of Parquet files, by their footers: load_dataset refuses a wrong number of rows."""
    footers = [pq.read_metadata(path) for path in paths]
    size = sum(footer.row_group(k).total_byte_size for footer in footers for k in range(footer.num_row_groups))
    count = sum(footer.num_rows for footer in footers)
    return DatasetInfo(
        features=Features.from_arrow_schema(pq.read_schema(paths[0])),
        splits=SplitDict({split: SplitInfo(split, num_bytes=size, num_examples=count)}),
        download_size=sum(path.stat().st_size for path in paths),
        dataset_size=size,
    )


def sha256_of(paths: Sequence[Path]) -> str:
    """SHA-256 of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a text that ends with a line's end, with the same bytes on every system."""
    path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8", newline="\n")
