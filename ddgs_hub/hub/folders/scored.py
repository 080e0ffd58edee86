"""Writes the folder of a scored original: it holds exactly the files of its repository."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from ddgs_hub.core.rows import row_files, write_rows
from ddgs_hub.hub.cards import ScoredCard, render_card
from ddgs_hub.hub.folders.hashes import hash_scored
from ddgs_hub.hub.folders.kinds import SCORED
from ddgs_hub.hub.folders.repository_files import copy_figures, measure_files, write_provenance, write_text
from ddgs_hub.hub.layout import CARD, CONTENT, KIND


def write_scored(
    rows: Dataset, folder: Path, card: ScoredCard, *, provenance: Mapping[str, Any], figures: Mapping[str, Path]
) -> None:
    """Writes the repository of a scored original into an empty folder.

    `load_dataset(str(folder))` reads it as it will read the repository. Equal arguments give equal bytes.

    Args:
        rows: with `difficulty`, and whatever else is to be published.
        folder: where to write.
        card: without features, sizes, hash and figures, which are filled in here.
        provenance: `source`, `scorer`, `images`, `command`, `versions`, and in `content` what the rows were made of.
        figures: name → PNG file, copied to `figures/<name>.png`.
    """
    write_rows(rows, folder, card.split)
    # Hashed from the written files: the images of `rows` may still lie elsewhere, and would be read twice.
    rows_hash, info = hash_scored(folder), measure_files(row_files(folder, card.split), card.split)
    card = replace(card, info=info, rows_hash=rows_hash, figures=tuple(figures))
    content = {
        **provenance[CONTENT],
        "rows": rows_hash,
        "num_rows": len(rows),
        "mean_difficulty": round(card.mean_difficulty, 6),
    }
    write_provenance(folder, {KIND: SCORED.name, **provenance, CONTENT: content})
    copy_figures(figures, folder)
    write_text(folder / CARD, render_card(card))
