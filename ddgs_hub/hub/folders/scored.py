"""Writes what is published of a scored original: a folder that holds exactly the files of its repository."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from ddgs_hub.core.rows import row_files, write_rows
from ddgs_hub.hub.cards import ScoredCard, render_card
from ddgs_hub.hub.folders.distilled import copy_figures, measure_files, write_provenance, write_text
from ddgs_hub.hub.folders.hashes import hash_scored
from ddgs_hub.hub.folders.kinds import SCORED
from ddgs_hub.hub.layout import CARD, CONTENT, KIND

IMAGENET = re.compile(r"imagenet(?!te)", re.IGNORECASE)  # and not ImageNette


def is_imagenet(source: str) -> bool:
    """Whether a Hub id names ImageNet or a part of it: ILSVRC/imagenet-1k, timm's WebDatasets, copies of others."""
    return IMAGENET.search(source) is not None


def why_withheld(source: str, *, gated: bool) -> str:
    """Why the images of a Hub dataset are not published again unless it is asked for; empty where they are.

    ImageNet gives its images to those who have agreed to its terms, and a gate asks the same of those who pass it:
    who published copies would let everybody in.
    """
    if is_imagenet(source):
        return "ImageNet's terms do not allow them to be passed on"
    return f"{source} is gated, and gives them to those who agree to its terms" if gated else ""


def write_scored(
    rows: Dataset, folder: Path, card: ScoredCard, *, provenance: Mapping[str, Any], figures: Mapping[str, Path]
) -> None:
    """Writes the repository of a scored original into `folder`, which is there and empty.

    `load_dataset(str(folder))` reads it as it will read the repository. Equal arguments give equal bytes.

    Args:
        rows: with `difficulty`, and whatever else is to be published.
        folder: where to write.
        card: what is known beside the rows; features, sizes, hash and figures are filled in here.
        provenance: `source`, `scorer`, `images`, `command`, `versions`, and in `content` what the rows were made of.
        figures: name → PNG file, copied to `figures/<name>.png`.
    """
    write_rows(rows, folder, card.split)
    # Of the file and not of the rows, which may name the images of a folder: and so what was written is read once.
    identity = hash_scored(folder)
    card = replace(
        card, info=measure_files(row_files(folder, card.split), card.split), rows_hash=identity, figures=tuple(figures)
    )
    content = {
        **provenance[CONTENT],
        "rows": identity,
        "num_rows": len(rows),
        "mean_difficulty": round(card.mean_difficulty, 6),
    }
    write_provenance(folder, {KIND: SCORED.name, **provenance, CONTENT: content})
    copy_figures(figures, folder)
    write_text(folder / CARD, render_card(card))
