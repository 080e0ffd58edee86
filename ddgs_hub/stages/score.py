"""The stage `score` on any dataset: streamed, scored, written as it is published, and published."""

import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Value, concatenate_datasets
from numpy.typing import NDArray

from ddgs_hub.core.disks import is_full
from ddgs_hub.core.errors import ConnectionLostError, InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.folders import hidden_sibling, refuse_existing, staged_folder
from ddgs_hub.core.hub_client import Pinned
from ddgs_hub.core.memory import peak_memory
from ddgs_hub.core.places import expanded
from ddgs_hub.core.processes import by_the_first, is_main, wait_for_all
from ddgs_hub.core.rows import (
    ROWS_PER_GROUP,
    checked_labels,
    class_names,
    read_tables,
    require_columns,
)
from ddgs_hub.difficulty import Scorer, Scoring, class_wnids, with_difficulty
from ddgs_hub.evaluation import scored_figure
from ddgs_hub.hub import (
    CONTENT,
    ScoredCard,
    check_push,
    hash_weights,
    is_imagenet,
    publish,
    why_withheld,
    write_scored,
)
from ddgs_hub.hub.folders.hashes import hash_tables
from ddgs_hub.original.imagenet import wnids_by_order
from ddgs_hub.original.spool import BackgroundFetch, Spool
from ddgs_hub.original.subsets import get_subset
from ddgs_hub.sampling import difficulty_histogram
from ddgs_hub.stages.original import describe_difficulty
from ddgs_hub.stages.provenance import library_versions

LIBRARIES = ("datasets", "huggingface_hub", "timm", "torch", "transformers")
REQUEST_FILE = ".request"  # in a finished folder what was asked for, as a fingerprint; it is not published
BATCH_SIZE = 128
# What is published where the images are not.
SCORE_COLUMNS = ("label", "wnid", "source_index", "pool_index", "seed", "difficulty")


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """What is to be scored, and by what.

    Attributes:
        source: a Hub dataset id, a local folder, or `digits`.
        scorer: a Hub id or a folder; see `Scorer.from_pretrained`.
        split: of the source.
        subset: a name of `subsets.SUBSETS`: its classes alone.
        config: the configuration of a Hub dataset that has several.
        revision: the revision of a Hub dataset.
        images: whether they are written beside the scores; None: where `why_withheld` does not say no.
        batch_size: images that are scored together.
    """

    source: str
    scorer: str
    split: str = "train"
    subset: str | None = None
    config: str | None = None
    revision: str | None = None
    images: bool | None = None
    batch_size: int = BATCH_SIZE

    @property
    def key(self) -> str:
        """A fingerprint; it is another one where local files have changed since."""
        local = (expanded(name) for name in (self.source, self.scorer))
        files = [file for folder in local if folder.is_dir() for file in sorted(folder.rglob("*")) if file.is_file()]
        states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return fingerprint([asdict(self), states])

    def command(self, pinned: Pinned | None) -> str:
        """The command line that makes the same again, without folder names of this machine."""
        words = ["ddgs-hub", "score", pinned.id if pinned else _public(self.source)]
        options = {
            "--subset": self.subset,
            "--split": self.split if self.split != "train" else None,
            "--config": self.config,
            "--revision": pinned.commit if pinned else None,
            "--scorer": _public(self.scorer),
            "--batch-size": str(self.batch_size) if self.batch_size != BATCH_SIZE else None,
            "--output": "scored",
        }
        words += [word for name, value in options.items() if value for word in (name, value)]
        if self.images is not None:
            words.append("--images" if self.images else "--no-images")
        return shlex.join(words)


def score_source(request: ScoreRequest, output: Path) -> dict[str, Any]:
    """Scores a dataset and writes it as it is published; the result has counts, a histogram, speed and memory.

    Two hidden siblings of `output` are there while it works: `.<output>.rows`, see `Spool`, and
    `.<output>.scores`; by both a call that was killed, or lost its connection, goes on where it was. Where `output` is
    finished for the same request, nothing is scored.

    Raises:
        InputError: the source cannot be read, the scorer does not know its classes, an image is broken, or `output`
            holds something else.
        ConnectionLostError: the Hub no longer answers; another call goes on.
    """
    rows_folder, known = hidden_sibling(output, "rows"), hidden_sibling(output, "scores")
    key = request.key
    if is_finished(request, output):
        difficulty = read_difficulty(output, request.split)
        if is_main():
            _remove(rows_folder, known)
        return {**_counts(difficulty), "text": f"{describe_difficulty(difficulty)} (scored before)"}
    refuse_existing(output)
    spool = Spool(
        request.source,
        request.split,
        rows_folder,
        subset=request.subset,
        config=request.config,
        revision=request.revision,
    )
    with _kept_for_the_next_try(rows_folder, known):
        # Before the scorer: who may not read the source is told so before anything is downloaded.
        by_the_first(spool.open)
        scorer = Scorer.from_pretrained(request.scorer)
        start = time.perf_counter()
        difficulty = score_while_it_comes(spool, scorer, request, known)
        seconds = time.perf_counter() - start
        scored = with_difficulty(_with_origin(spool.rows()), difficulty)
        withheld = ""
        if is_main():
            with staged_folder(output) as folder:
                withheld = _write(request, scored, scorer, spool.pinned(), folder, drawings=rows_folder)
                (folder / REQUEST_FILE).write_text(key, encoding="utf-8")
            _remove(rows_folder, known)
        wait_for_all()
    memory = peak_memory()
    result = {
        **_counts(difficulty),
        "images_per_second": len(scored) / seconds,
        "peak_memory_gb": memory and memory / 2**30,
    }
    lines = [describe_difficulty(difficulty), f"images in ten bins, easy to hard: {result['histogram']}"]
    lines += [f"written without images: {withheld}; --images keeps them"] if withheld and request.images is None else []
    at_peak = f", {result['peak_memory_gb']:.1f} GB at peak" if memory else ""
    lines.append(f"{result['images_per_second']:.0f} images/s{at_peak}")
    return {**result, "text": "\n".join(lines)}


def score_and_publish(request: ScoreRequest, output: Path, repo_id: str, *, private: bool = False) -> dict[str, Any]:
    """`score_source`, and then `hub.publish`; whether that may be done is asked before anything is read.

    Raises:
        InputError: as both do.
    """
    if is_main() and not is_finished(request, output):
        check_push(repo_id, "dataset", private=private)
    result = score_source(request, output)
    if is_main():
        made = publish(output, repo_id, private=private)
        result |= {"published": made.to_dict(), "text": f"{result['text']}\n{made.text}"}
    wait_for_all()
    return result


def is_finished(request: ScoreRequest, output: Path) -> bool:
    """Whether a folder holds what is requested."""
    mark = output / REQUEST_FILE
    return mark.is_file() and mark.read_text(encoding="utf-8") == request.key


def read_difficulty(folder: Path, split: str) -> NDArray[np.float32]:
    """The column `difficulty` of a folder, `(N,)`, whatever the size of its images."""
    tables = (table.column("difficulty").to_numpy() for table in read_tables(folder, split)[1])
    return np.concatenate(list(tables))


def score_while_it_comes(spool: Spool, scorer: Scorer, request: ScoreRequest, known: Path) -> NDArray[np.float32]:
    """The difficulties of all rows, each part scored while those behind it are fetched.

    Args:
        spool: opened.
        scorer: the classifier.
        request: subset and batch size.
        known: a folder for the scores of each part, by which a killed call goes on.
    """
    values: list[NDArray[np.float32]] = []
    scoring, there, done, whole = None, 0, 0, False
    fetching = BackgroundFetch(spool)
    with fetching if is_main() else nullcontext():
        while not whole:
            there, whole = by_the_first(partial(fetching.wait, there))
            parts = spool.parts(there)
            rows, ends = concatenate_datasets(parts), np.cumsum([0, *map(len, parts)]).tolist()
            if scoring is None:
                scoring = _begin(scorer, rows, request, whole=whole)
            new = [k for k in range(done, there) if len(parts[k])]
            if scoring and new:
                spans = [range(ends[k], ends[k + 1]) for k in new]
                values += scoring.add(rows, spans, [known / f"{k:05d}" for k in new])
                done = there
    return np.concatenate(values)


def _begin(scorer: Scorer, rows: Dataset, request: ScoreRequest, *, whole: bool) -> Scoring | None:
    """Scoring, as soon as it is known which class of the scorer each label is; that may take the wnids of all rows."""
    require_columns(rows, "image", "label")
    names = class_names(rows)
    wnids: Sequence[str | None] | None = get_subset(request.subset).wnids if request.subset else None
    if wnids is None and "wnid" in rows.column_names:
        if not whole:
            return None
        wnids = class_wnids(rows, checked_labels(rows))
    if whole and not len(rows):
        checked_labels(rows)  # says so
    return Scoring(scorer, scorer.class_indices(names, wnids), batch_size=request.batch_size)


@contextmanager
def _kept_for_the_next_try(*places: Path) -> Iterator[None]:
    """What was read and scored stays where the connection was lost or the disk is full; what is wrong goes."""
    try:
        yield
    except ConnectionLostError as error:
        raise ConnectionLostError(f"{error}, it goes on where it was") from error
    except InputError as error:
        if is_main() and not is_full(error):
            _remove(*places)
        raise


def _remove(*places: Path) -> None:
    for place in places:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _with_origin(rows: Dataset) -> Dataset:
    """The rows with `wnid`, null where none is known, and with their number in the source, where they lack them."""
    if "wnid" not in rows.column_names:
        names = class_names(rows)
        known = wnids_by_order(names) or [None] * len(names)
        # A label outside the classes is for `score` to complain about.
        labels = _column(rows, "label").to_pylist()
        wnids = [known[k] if k is not None and 0 <= k < len(known) else None for k in labels]
        rows = rows.add_column("wnid", wnids, feature=Value("string"))
    if "source_index" not in rows.column_names and "pool_index" not in rows.column_names:
        rows = rows.add_column("source_index", np.arange(len(rows)), feature=Value("int64"))
    return rows


def _write(
    request: ScoreRequest, scored: Dataset, scorer: Scorer, pinned: Pinned | None, folder: Path, drawings: Path
) -> str:
    """Writes the files to publish; returns why the images are not among them, empty where they are."""
    withheld = "" if pinned is None else why_withheld(pinned.id, gated=pinned.gated)
    images = not withheld if request.images is None else request.images
    if not images:
        withheld = withheld or "only their scores are published"
    weights = None if scorer.revision else hash_weights(expanded(request.scorer))
    name = scorer.name if scorer.revision else _public(request.scorer)
    difficulty, labels = (_column(scored, name).to_numpy() for name in ("difficulty", "label"))
    chosen = {"config": request.config, "split": request.split, "subset": request.subset}
    made_of = {
        # What is not on the Hub is known by its images and their labels.
        "source": _told(pinned, *chosen.values()) if pinned else _hash_images(scored),
        "scorer": weights or f"{scorer.name}@{scorer.revision}",
    }
    provenance: dict[str, Any] = {
        "source": {"id": pinned.id if pinned else None, "commit": pinned.commit if pinned else None, **chosen},
        "scorer": {"id": name, "commit": scorer.revision} if scorer.revision else {"name": name, "weights": weights},
        "images": images,
        "command": request.command(pinned),
        "versions": library_versions(*LIBRARIES),
        CONTENT: made_of,
    }
    card = ScoredCard(
        source=pinned.id if pinned else _public(request.source),
        commit=pinned.commit if pinned else None,
        split=request.split,
        config=request.config,
        subset=request.subset,
        license=pinned.license if pinned else None,
        imagenet=request.subset is not None or (pinned is not None and is_imagenet(pinned.id)),
        withheld="" if images else withheld,
        scorer=name,
        scorer_commit=scorer.revision,
        folds=scorer.folds,
        mean_difficulty=float(difficulty.mean()),
        command=request.command(pinned),
        versions=provenance["versions"],
    )
    if not images:
        scored = scored.select_columns([name for name in SCORE_COLUMNS if name in scored.column_names])
    picture = drawings / "difficulty.png"
    named = {name: difficulty[labels == k] for k, name in enumerate(class_names(scored))}
    scored_figure({name: values for name, values in named.items() if len(values)}, picture)
    write_scored(scored, folder, card, provenance=provenance, figures={picture.stem: picture})
    return card.withheld


def _public(name: str) -> str:
    """A Hub id as it is, of a local folder the name: where files lie here concerns nobody."""
    folder = expanded(name)
    return folder.resolve().name if folder.is_dir() else name


def _hash_images(rows: Dataset) -> str:
    tables = rows.with_format("arrow").iter(ROWS_PER_GROUP)
    return hash_tables(tables, ("label",))


def _told(pinned: Pinned, *chosen: str | None) -> str:
    return f"{pinned.id}@{pinned.commit} ({', '.join(filter(None, chosen))})"


def _column(rows: Dataset, name: str) -> pa.ChunkedArray:
    """A column of rows that need not fit into memory."""
    return rows.select_columns(name).with_format("arrow")[:].column(name)


def _counts(difficulty: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "images": len(difficulty),
        "mean_difficulty": float(difficulty.mean()),
        "histogram": difficulty_histogram(difficulty, 10).tolist(),
    }
