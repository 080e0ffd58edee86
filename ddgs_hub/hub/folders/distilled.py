"""Writes the folder of a distilled dataset: it holds exactly the files of its repository."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from ddgs_hub.core.hashing import sha256_of
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import row_files, write_rows
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.hub.cards import DistilledCard, SampledCard, render_card
from ddgs_hub.hub.folders.repository_files import (
    copy_figures,
    measure_files,
    write_provenance,
    write_recipe,
    write_text,
)
from ddgs_hub.hub.layout import CARD


def export_dataset(
    rows: Dataset,
    folder: str | Path,
    card: DistilledCard | SampledCard,
    *,
    provenance: Mapping[str, Any],
    figures: Mapping[str, Path],
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the repository of a distilled dataset into `folder`, whole or not at all.

    `load_dataset(str(folder))` reads it as it will read the repository. Equal arguments give equal bytes.

    Args:
        rows: the distilled images with their columns.
        folder: where to write; what it holds is replaced.
        card: without features, sizes, checksum and figures, which are filled in here.
        provenance: what made the rows (recipe, versions, commits), as JSON values.
        figures: name → PNG file, copied to `figures/<name>.png`.
        recipe: of the run that made the rows, and the versions, for `recipe.yaml`; None: no run has made them.

    Returns:
        `folder`.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    with Progress("hub folder", len(rows), unit="row") as progress, staged_folder(folder) as partial:
        write_rows(rows, partial)
        progress.update(len(rows))
        files = row_files(partial)
        card = replace(card, info=measure_files(files), rows_sha256=sha256_of(files), figures=tuple(figures))
        write_text(partial / CARD, render_card(card))
        write_provenance(partial, provenance)
        if recipe is not None:
            write_recipe(partial, recipe)
        copy_figures(figures, partial)
    return folder
