"""What is published of a scored original: the columns, the card, and what `provenance.json` says."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Value

from ddgs_hub.core.files import expanded
from ddgs_hub.core.hub_client import Pinned
from ddgs_hub.core.rows import class_names
from ddgs_hub.core.soft_labels import SOFT_LABEL_COLUMNS
from ddgs_hub.difficulty import Scorer, Scores, with_scores
from ddgs_hub.evaluation import save_figure, scored_figure
from ddgs_hub.hub import CONTENT, ScoredCard, hash_rows, hash_weights, is_imagenet, why_withheld, write_scored
from ddgs_hub.original import Spool, wnids_by_order
from ddgs_hub.stages.commands import score_command
from ddgs_hub.stages.provenance import library_versions
from ddgs_hub.stages.run_folder import DIFFICULTY_FIGURE
from ddgs_hub.stages.score_request import ScoreRequest

LIBRARIES = ("datasets", "huggingface_hub", "timm", "torch", "transformers")
# The columns that are published if the images are not.
SCORE_COLUMNS = ("label", "wnid", "source_index", "pool_index", "seed", "difficulty", *SOFT_LABEL_COLUMNS)


def write_scored_repository(request: ScoreRequest, spool: Spool, scores: Scores, scorer: Scorer, folder: Path) -> str:
    """Writes the files to publish of scored rows.

    Args:
        request: what was scored, and by what.
        spool: the rows, which need not fit into memory; the figure is drawn in its folder first.
        scores: of every row.
        scorer: the classifier.
        folder: an empty folder to write into.

    Returns:
        Why the images are not among the files; empty where they are.
    """
    pinned, rows, difficulty = spool.pinned(), with_scores(_with_origin(spool.rows()), scores), scores.difficulty
    withheld = "" if pinned is None else why_withheld(pinned.id, gated=pinned.gated)
    with_images = not withheld if request.with_images is None else request.with_images
    withheld = "" if with_images else withheld or "only their scores are published"
    provenance = _provenance(request, rows, scorer, pinned, with_images=with_images)
    card = ScoredCard(
        source=pinned.id if pinned else request.source_name,
        commit=pinned.commit if pinned else None,
        split=request.split,
        config=request.config,
        subset=request.subset,
        license=pinned.license if pinned else None,
        imagenet=request.subset is not None or (pinned is not None and is_imagenet(pinned.id)),
        withheld=withheld,
        scorer=_scorer_name(request, scorer),
        scorer_commit=scorer.revision,
        folds=scorer.folds,
        mean_difficulty=float(difficulty.mean()),
        command=provenance["command"],
        versions=provenance["versions"],
    )
    if not with_images:
        rows = rows.select_columns([name for name in SCORE_COLUMNS if name in rows.column_names])
    picture = spool.folder / DIFFICULTY_FIGURE
    labels = _column(rows, "label").to_numpy()
    by_class = {name: difficulty[labels == k] for k, name in enumerate(class_names(rows))}
    save_figure(scored_figure({name: values for name, values in by_class.items() if len(values)}), picture)
    write_scored(rows, folder, card, provenance=provenance, figures={picture.stem: picture})
    return withheld


def _provenance(
    request: ScoreRequest, rows: Dataset, scorer: Scorer, pinned: Pinned | None, *, with_images: bool
) -> dict[str, Any]:
    """What `provenance.json` says of what was scored, by what, and how."""
    weights = None if scorer.revision else hash_weights(expanded(request.scorer))
    name = _scorer_name(request, scorer)
    part = {"config": request.config, "split": request.split, "subset": request.subset}
    return {
        "source": {"id": pinned.id if pinned else None, "commit": pinned.commit if pinned else None, **part},
        "scorer": {"id": name, "commit": scorer.revision} if scorer.revision else {"name": name, "weights": weights},
        "images": with_images,
        **({"soft_labels": request.soft_labels} if request.soft_labels else {}),
        "command": score_command(request, pinned),
        "versions": library_versions(*LIBRARIES),
        CONTENT: {
            # A source that is not on the Hub is identified by its images and labels.
            "source": _source_identity(pinned, *part.values()) if pinned else hash_rows(rows, ("label",)),
            "scorer": weights or f"{scorer.name}@{scorer.revision}",
        },
    }


def _with_origin(rows: Dataset) -> Dataset:
    """The rows with `wnid` (null if unknown) and `source_index`, each added if it is missing."""
    if "wnid" not in rows.column_names:
        names = class_names(rows)
        wnid_of = wnids_by_order(names) or [None] * len(names)
        # Scoring refuses labels outside the classes.
        labels = _column(rows, "label").to_pylist()
        wnids = [wnid_of[k] if k is not None and 0 <= k < len(wnid_of) else None for k in labels]
        rows = rows.add_column("wnid", wnids, feature=Value("string"))
    if "source_index" not in rows.column_names and "pool_index" not in rows.column_names:
        rows = rows.add_column("source_index", np.arange(len(rows)), feature=Value("int64"))
    return rows


def _scorer_name(request: ScoreRequest, scorer: Scorer) -> str:
    return scorer.name if scorer.revision else request.scorer_name


def _source_identity(pinned: Pinned, *part: str | None) -> str:
    """What identifies a source on the Hub: its commit, and the part of it that was scored."""
    return f"{pinned.id}@{pinned.commit} ({', '.join(filter(None, part))})"


def _column(rows: Dataset, name: str) -> pa.ChunkedArray:
    """A column of rows that need not fit into memory."""
    return rows.select_columns(name).with_format("arrow")[:].column(name)
