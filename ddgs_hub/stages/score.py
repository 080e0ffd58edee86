"""From images to images with difficulties (Eq. 6): the stage `score`, alone, in a run, and with publishing behind it.

Rows are fetched into parts on the disk (`Spool`), each part is scored while those behind it are
fetched, and the rows are written from the parts, so that memory does not grow with the dataset.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray

from ddgs_hub.core.errors import ConnectionLostError, InputError
from ddgs_hub.core.histogram import difficulty_histogram
from ddgs_hub.core.machine import in_gib, is_full, peak_memory
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import is_main, run_on_main, wait_for_all
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import DATA, checked_labels, class_names, read_tables, require_columns, row_files, write_rows
from ddgs_hub.core.staging import hidden_sibling, refuse_existing, staged_folder
from ddgs_hub.difficulty import Scorer, Scores, Scoring, class_wnids, joined_scores, with_scores
from ddgs_hub.hub import check_push, publish
from ddgs_hub.original import SOURCE_FILE, BackgroundFetch, Spool, get_subset
from ddgs_hub.recipe import ScoreSettings
from ddgs_hub.stages.score_request import ScoreRequest
from ddgs_hub.stages.scored_repository import write_scored_repository

REQUEST_FILE = ".request"  # in a finished folder: the fingerprint of its request; not published


@dataclass(frozen=True)
class Scored:
    """What scoring made.

    Attributes:
        scores: of all rows of the source.
        scorer: the classifier.
        seconds: that fetching and scoring took.
    """

    scores: Scores
    scorer: Scorer
    seconds: float

    @property
    def difficulty(self) -> NDArray[np.float32]:
        """Of all rows of the source, `(N,)`, 0 … 1."""
        return self.scores.difficulty


def score_source(request: ScoreRequest, output: Path) -> Made:
    """Scores a dataset and writes it as it is published; the result has counts, a histogram, speed and memory.

    After a kill or a lost connection, the next call resumes; see `_scoring`. If `output` holds the result of the same
    request, nothing is scored.

    Raises:
        InputError: the source cannot be read, the scorer does not know its classes, an image is broken, or `output`
            holds something else.
        ConnectionLostError: the Hub no longer answers; another call goes on.
    """
    key = request.key
    if is_finished(request, output):
        difficulty = read_difficulty(output, request.split)
        if is_main():
            _remove(*_places(output))
        return Made(f"{describe_difficulty(difficulty)} (scored before)", _values(output, difficulty))
    refuse_existing(output)
    spool = request.spool(_places(output)[0])
    withheld = ""
    with _scoring(spool, request, output) as scored:
        if is_main():
            with staged_folder(output) as folder:
                withheld = write_scored_repository(request, spool, scored.scores, scored.scorer, folder)
                (folder / REQUEST_FILE).write_text(key, encoding="utf-8")
    memory = peak_memory()
    values = {
        **_values(output, scored.difficulty),
        "scorer": request.scorer,
        "images_per_second": len(scored.difficulty) / scored.seconds,
        "peak_memory": memory,
    }
    lines = [describe_difficulty(scored.difficulty), f"images in ten bins, easy to hard: {values['histogram']}"]
    if withheld and request.with_images is None:
        lines.append(f"written without images: {withheld}; --images keeps them")
    at_peak = f", {in_gib(memory)} at peak" if memory else ""
    lines.append(f"{values['images_per_second']:.0f} images/s{at_peak}")
    return Made("\n".join(lines), values)


def score_and_publish(request: ScoreRequest, output: Path, repo_id: str, *, private: bool = False) -> Made:
    """`score_source`, then `hub.publish`; the right to publish is checked before anything is read.

    Raises:
        InputError: see both.
    """
    if is_main() and not is_finished(request, output):
        check_push(repo_id, "dataset", private=private)
    scored = score_source(request, output)
    published = run_on_main(lambda: publish(output, repo_id, private=private))
    return scored.and_also(published.text, published=published.to_dict())


def score_in_place(
    folder: Path,
    scorer: str | Path,
    *,
    revision: str | None = None,
    batch_size: int = ScoreSettings().batch_size,
    soft_labels: int | None = None,
) -> Made:
    """Adds scores to the training split of a folder; its other splits and `source.json` stay as they are.

    Args:
        folder: in Hub layout. It is replaced when all is scored.
        scorer: a Hub id or a folder.
        revision: of a scorer on the Hub.
        batch_size: images that are scored together.
        soft_labels: how many of each image; None: none.

    Returns:
        How difficult the images are.

    Raises:
        InputError: as `score_source`.
    """
    source = str(folder.resolve())
    request = ScoreRequest(
        source=source, scorer=str(scorer), scorer_revision=revision, batch_size=batch_size, soft_labels=soft_labels
    )
    spool = request.spool(_places(folder)[0])
    with _scoring(spool, request, folder) as scored:
        if is_main():
            with staged_folder(folder) as partial_folder:
                write_rows(with_scores(spool.rows(), scored.scores), partial_folder)
                scored_files = set(row_files(folder))
                others = [path for path in folder.glob(f"{DATA}/*.parquet") if path not in scored_files]
                for path in (*others, folder / SOURCE_FILE):
                    if path.is_file():
                        shutil.copy(path, partial_folder / path.relative_to(folder))
    return Made(describe_difficulty(scored.difficulty), _values(folder, scored.difficulty))


@contextmanager
def _scoring(spool: Spool, request: ScoreRequest, output: Path) -> Iterator[Scored]:
    """Scores all rows. The spool keeps them until the block ends.

    Two hidden siblings of `output` are there while it works: `.<output>.rows`, see `Spool`, and `.<output>.scores`.
    Both stay after a lost connection, a full disk or a kill, and the next call resumes from them. A user's mistake
    removes them.
    """
    scores = _places(output)[1]
    try:
        # Before the scorer, so that missing access is reported before anything is downloaded.
        run_on_main(spool.open)
        scorer = Scorer.from_pretrained(request.scorer, revision=request.scorer_revision)
        start = time.perf_counter()
        made = score_while_it_comes(spool, scorer, request, scores)
        yield Scored(made, scorer, time.perf_counter() - start)
        if is_main():
            _remove(*_places(output))
        wait_for_all()
    except ConnectionLostError as error:
        raise ConnectionLostError(f"{error}, it goes on where it was") from error
    except InputError as error:
        if is_main() and not is_full(error):
            _remove(*_places(output))
        raise


def is_finished(request: ScoreRequest, output: Path) -> bool:
    """Whether a folder holds the finished result of a request."""
    mark = output / REQUEST_FILE
    return mark.is_file() and mark.read_text(encoding="utf-8") == request.key


def read_difficulty(folder: Path, split: str) -> NDArray[np.float32]:
    """The column `difficulty` of a folder, `(N,)`; its images are not read."""
    tables = (table.column("difficulty").to_numpy() for table in read_tables(folder, split, names=["difficulty"])[1])
    return np.concatenate(list(tables))


def score_while_it_comes(spool: Spool, scorer: Scorer, request: ScoreRequest, scores: Path) -> Scores:
    """The scores of all rows, each part scored while those behind it are fetched.

    Args:
        spool: opened.
        scorer: the classifier.
        request: subset, batch size and soft labels.
        scores: a folder for the scores of each part, with which a killed call goes on.
    """
    values: list[NDArray[np.float32]] = []
    scoring, fetched, done, whole = None, 0, 0, False
    fetching = BackgroundFetch(spool)
    with fetching if is_main() else nullcontext(), Progress("score", spool.expected, unit="image") as counter:
        while not whole:
            fetched, whole = run_on_main(partial(fetching.wait, fetched))
            parts = spool.parts(fetched)
            rows, ends = concatenate_datasets(parts), np.cumsum([0, *map(len, parts)]).tolist()
            if whole:
                counter.total = ends[-1]
            if scoring is None:
                scoring = _begin(scorer, rows, request, counter, whole=whole)
            new = [k for k in range(done, fetched) if len(parts[k])]
            if scoring and new:
                spans = [range(ends[k], ends[k + 1]) for k in new]
                values += scoring.add(rows, spans, [scores / f"{k:05d}" for k in new])
                done = fetched
    return joined_scores(values)


def _begin(scorer: Scorer, rows: Dataset, request: ScoreRequest, counter: Progress, *, whole: bool) -> Scoring | None:
    """The scoring, or None while the class of each label is unknown: with the column `wnid`, all rows are needed."""
    require_columns(rows, "image", "label")
    names = class_names(rows)
    wnids: Sequence[str | None] | None = get_subset(request.subset).wnids if request.subset else None
    if wnids is None and "wnid" in rows.column_names:
        if not whole:
            return None
        wnids = class_wnids(rows, checked_labels(rows))
    if whole and not len(rows):
        checked_labels(rows)  # raises an error: there are no rows
    targets = scorer.class_indices(names, wnids)
    return Scoring(scorer, targets, counter, batch_size=request.batch_size, soft_labels=request.soft_labels)


def describe_difficulty(difficulty: NDArray[np.float32]) -> str:
    """How many images there are and how difficult they are, in a line."""
    hard = 100 * (difficulty > 0.1).mean()
    return f"{len(difficulty):,} images, mean difficulty {difficulty.mean():.3f}, {hard:.0f} % above 0.1"


def _places(output: Path) -> tuple[Path, Path]:
    """The hidden folders of rows and difficulties while scoring runs."""
    return hidden_sibling(output, "rows"), hidden_sibling(output, "scores")


def _remove(*places: Path) -> None:
    for place in places:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _values(output: Path, difficulty: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "output": str(output),
        "images": len(difficulty),
        "mean_difficulty": float(difficulty.mean()),
        "histogram": difficulty_histogram(difficulty).tolist(),
    }
