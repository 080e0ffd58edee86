"""Writes what is published: a folder that holds exactly the files of a dataset repository, and a model's card."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, SplitDict, SplitInfo
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ddgs_hub.hub.cards import DatasetCard, ModelCard, public_name, render_card
from ddgs_hub.rows import parquet_path, staged_folder, write_rows

CARD = "README.md"
PROVENANCE = "provenance.json"


def export_dataset(
    rows: Dataset,
    folder: str | Path,
    card: DatasetCard,
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
        card = replace(
            card,
            info=_info(partial),
            rows_sha256=hashlib.sha256(parquet_path(partial).read_bytes()).hexdigest(),
            figures=tuple(figures),
        )
        write_text(partial / CARD, render_card(card))
        write_provenance(partial, provenance)
        for name, picture in figures.items():
            (partial / "figures").mkdir(exist_ok=True)
            shutil.copyfile(picture, partial / "figures" / f"{name}.png")
    return folder


def write_model_card(folder: str | Path, card: ModelCard) -> Path:
    """Writes the card of a DiT into the folder that holds it; whether as pipeline, adapter or both is seen there.

    Returns:
        The card's path.
    """
    folder = Path(folder)
    card = replace(
        card,
        pipeline=(folder / "model_index.json").is_file(),
        adapter=(folder / "adapter.safetensors").is_file(),
    )
    write_text(folder / CARD, render_card(card))
    return folder / CARD


def hub_id(name: str | None) -> str | None:
    """`name` where it can be a Hub id (`owner/name`); None where it is a local path, something built in, or nothing."""
    if name is None or "/" not in name or Path(name).expanduser().exists():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def write_provenance(folder: Path, values: Mapping[str, Any]) -> None:
    """Writes `provenance.json`, without local paths."""
    text = json.dumps(public_values(values), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(folder / PROVENANCE, text)


def public_values(values: Any) -> Any:
    """JSON values in which of each local path only the last part is left: where files lie here concerns nobody."""
    if isinstance(values, Mapping):
        return {key: public_values(value) for key, value in values.items()}
    return public_name(values) if isinstance(values, str) else values


def _info(folder: Path) -> DatasetInfo:
    """What the front matter says of the rows, measured on the file: load_dataset refuses a wrong number of rows."""
    path = parquet_path(folder)
    table = pq.read_table(path)
    split = SplitInfo("train", num_bytes=table.nbytes, num_examples=len(table))
    return DatasetInfo(
        features=Dataset(table).features,
        splits=SplitDict({"train": split}),
        download_size=path.stat().st_size,
        dataset_size=table.nbytes,
    )


def write_text(path: Path, text: str) -> None:
    """Writes a text that ends with a line's end, with the same bytes on every system."""
    path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8", newline="\n")
