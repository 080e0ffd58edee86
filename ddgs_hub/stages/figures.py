"""From a scored original, pool and distilled set to the paper's Figures 2, 3 and 4: the stage `figures`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import class_names, require_columns, undecoded
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.sampling import DISTRIBUTIONS, PRESETS, TARGETS, ClassScores, draw_keys, log_transform
from ddgs_hub.stages.figure_rows import FigureRows, chosen_classes
from ddgs_hub.stages.run_folder import DIFFICULTY_FIGURE, DISTRIBUTIONS_FIGURE, SHEET

if TYPE_CHECKING:
    from ddgs_hub.evaluation import ClassDifficulties, ScoredImages

MOST_CLASSES = 20  # on a sheet


def make_figures(rows: FigureRows, output: Path, classes: Sequence[str] = ()) -> Made:
    """Draws difficulty distributions (Fig. 2), images (Fig. 3) and sampling distributions (Fig. 4), as PNG and SVG.

    Args:
        rows: what they show.
        output: folder of the pictures.
        classes: names of those in Figures 2 and 3. Empty: in Fig. 2 the two whose originals are easiest and hardest on
            average, in Fig. 3 all, of more than twenty those that are spread over the means of the originals.

    Returns:
        The pictures, and the classes that Figure 2 shows.

    Raises:
        InputError: a class is unknown, there are more than twenty, a column is missing, or nothing can be written.
    """
    from ddgs_hub.evaluation import difficulty_figure, distributions_figure, save_figure, spread_indices

    require_columns(rows.distilled, "image", "label", "difficulty", "difficulty_log", where="the distilled set")
    names, chosen = class_names(rows.distilled), chosen_classes(rows, list(classes))
    if len(chosen) > MOST_CLASSES:
        raise InputError(f"{len(chosen)} classes are too many for a figure: give at most {MOST_CLASSES}")
    sampled = _Sampled(rows)
    means = [one.original.mean() for one in sampled.of_class]
    by_mean = np.argsort(means, kind="stable")
    shown = chosen or sorted({int(by_mean[0]), int(by_mean[-1])})
    on_sheet = chosen or sorted(spread_indices(means, MOST_CLASSES).tolist())
    with staged_folder(output) as folder, Progress("figures", 3, unit="figure") as progress:
        panels = [sampled.difficulties(k, _why_shown(k, by_mean)) for k in shown]
        of_paper = rows.sample.distribution in DISTRIBUTIONS  # which Fig. 4 shows
        used = (rows.sample.ipc, rows.sample.distribution) if of_paper else None
        for picture, figure in (
            (DIFFICULTY_FIGURE, difficulty_figure(panels)),
            (DISTRIBUTIONS_FIGURE, distributions_figure(sampled.distributions(), used)),
        ):
            save_figure(figure, folder / picture, (folder / picture).with_suffix(".svg"))
            progress.update()
        how = "as asked for" if chosen else "evenly spread by the original's mean difficulty"
        draw_sheet(rows.distilled, folder / SHEET, rows, on_sheet, how)
        progress.update()
    drawn = [output / name for name in (DIFFICULTY_FIGURE, SHEET, DISTRIBUTIONS_FIGURE)]
    pictures = ", ".join(path.stem for path in drawn)
    of = " and ".join(names[k] for k in shown)
    line = f"{output.name}/: {pictures} (.png, .svg); " + (f"of {of}" if chosen else f"easiest and hardest class: {of}")
    if not rows.original:
        line += "; the sheet has no original images, only their scores are at hand"
    values = {"output": str(output), "pictures": [str(path) for path in drawn], "classes": [names[k] for k in shown]}
    return Made(line, {**values, "original_images": rows.original is not None})


def _why_shown(label: int, by_mean: NDArray[np.int64]) -> str:
    """The place of a class among all, from the easiest to the hardest."""
    count, rank = len(by_mean), int(np.flatnonzero(by_mean == label)[0]) + 1
    if count == 1:
        return "the only class"
    place = {1: "easiest", count: "hardest"}.get(rank, f"easy → hard: number {rank}")
    return f"{place} of {count:,} classes by the original's mean difficulty"


def draw_sheet(
    distilled: Dataset,
    path: Path,
    rows: FigureRows | None = None,
    classes: Sequence[int] | None = None,
    how: str = "evenly spread by label",
) -> None:
    """Draws images of each class, from easy to hard, with their difficulty (Fig. 3), as PNG and SVG.

    Args:
        distilled: the distilled rows.
        path: of the PNG; the SVG lies beside it.
        rows: where the original images are; None, and if they are not there: the distilled ones are drawn alone.
        classes: labels; None: all, or twenty of them.
        how: which classes these are, where they are not all; for a line at the top.
    """
    from ddgs_hub.evaluation import SheetRow, image_sheet, save_figure, spread_indices

    names, labels, difficulty = class_names(distilled), _column(distilled, "label"), _column(distilled, "difficulty")
    if classes is None:
        classes = spread_indices(range(len(names)), MOST_CLASSES).tolist()
    originals = _originals(rows, classes) if rows and rows.original else {}
    sheet = []
    for k in classes:
        of_class = np.flatnonzero(labels == k)
        shown = _scored_images(distilled.select(of_class), difficulty[of_class])
        sheet.append(SheetRow(names[k], shown, originals.get(k)))
    note = f"{len(sheet)} of {len(names):,} classes, {how}" if len(sheet) < len(names) else ""
    save_figure(image_sheet(sheet, note), path, path.with_suffix(".svg"))


def _originals(rows: FigureRows, classes: Sequence[int]) -> "dict[int, ScoredImages]":
    """A few original images of each class; the original is read once, and no other image is decoded."""
    from ddgs_hub.evaluation import spread_indices

    labels, difficulty = (_column(rows.opened.original, name) for name in ("label", "difficulty"))
    of_class = [np.flatnonzero(labels == k) for k in classes]
    shown = [indices[spread_indices(difficulty[indices])] for indices in of_class]
    images = rows.original_images(np.concatenate(shown))
    ends = np.cumsum([len(indices) for indices in shown])
    return {
        k: _scored_images(images.select(range(end - len(indices), end)), difficulty[indices])
        for k, indices, end in zip(classes, shown, ends, strict=True)
    }


def _scored_images(images: Dataset, difficulty: NDArray[np.floating]) -> "ScoredImages":
    from ddgs_hub.evaluation import ScoredImages

    cells = undecoded(images.select_columns("image"))["image"]
    return ScoredImages([decode_image(cell, row) for row, cell in enumerate(cells)], difficulty.tolist())


class _Sampled:
    """The difficulties of each class while it was sampled; the draw is made again, so that any pool serves.

    Args:
        rows: what was sampled.
    """

    def __init__(self, rows: FigureRows) -> None:
        from ddgs_hub.sampling.datasets import read_scores, select_class

        self.rows, sample = rows, rows.sample
        scores = read_scores(rows.opened.columns, rows.opened.original, numbered=sample.pool_size is not None)
        self.names, self.of_class = scores.names, []
        for k in range(len(self.names)):
            made = select_class(scores, k, sample, seed=rows.seed)
            pool, original = scores.difficulty[made.candidates], scores.original_difficulty[scores.original_labels == k]
            ranks, keys = made.selection.thresholds, draw_keys(rows.seed, k, scores.images(made.candidates))
            original_log = log_transform(original, ranks.bottom, ranks.top)
            # The bins are those of the dataset, which has single precision.
            pool_log = made.selection.transformed.astype(np.float32)
            self.of_class.append(ClassScores(pool, original, pool_log, original_log, keys, sample.ipc, sample.mixture))

    def difficulties(self, label: int, why: str = "") -> "ClassDifficulties":
        """What Fig. 2 shows of a class, and why it is shown."""
        from ddgs_hub.evaluation import ClassDifficulties, Difficulties

        one = self.of_class[label]
        untransformed = replace(one, pool_log=one.pool, original_log=one.original)
        drawn, _ = TARGETS[self.rows.sample.distribution](untransformed)
        of_class = _column(self.rows.distilled, "label") == label
        distilled, distilled_log = (
            _column(self.rows.distilled, name)[of_class] for name in ("difficulty", "difficulty_log")
        )
        return ClassDifficulties(
            self.names[label],
            before=Difficulties(one.original, one.pool, one.pool[drawn]),
            after=Difficulties(one.original_log, one.pool_log, distilled_log),
            distilled=distilled,
            why=why,
        )

    def distributions(self) -> dict[int, dict[str, NDArray[np.int64]]]:
        """What Fig. 4 shows: at the paper's IPCs and this one, of `scale` that of all classes together."""
        original = np.concatenate([one.original_log for one in self.of_class])
        ipcs = sorted({self.rows.sample.ipc, *PRESETS["hill"]})
        return {ipc: {name: counts(original, ipc) for name, counts in DISTRIBUTIONS.items()} for ipc in ipcs}


def _column(rows: Dataset, name: str) -> NDArray[Any]:
    """A column of numbers in its own type, `(N,)`: bins are those of the datasets."""
    return np.asarray(rows.select_columns(name).with_format("arrow")[:].column(name).to_numpy())
