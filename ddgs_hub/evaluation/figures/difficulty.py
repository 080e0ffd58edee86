"""The paper's Fig. 2: difficulties of a class's images at the stages of sampling, without and with transformation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.histogram import difficulty_histogram
from ddgs_hub.core.text import one_line
from ddgs_hub.evaluation.figures.drawing import (
    DISTILLED,
    FONT,
    ORIGINAL,
    POOL,
    WIDTH,
    Margins,
    checked,
    draw_bins,
    label_counts,
    new_figure,
    panels,
    require_a_class,
    shortened,
    styled,
    tick_difficulties,
    write,
)

STAGES = {"original": ORIGINAL, "pool": POOL, "distilled": DISTILLED}
# Points: of a class, of its lines over the panels, between its two rows of panels, and under the second; of what stands
# beside the panels, and between them.
HEIGHT, HEADER, BETWEEN, FOOT = 208, 48, 42, 36
LABEL, RIGHT, GAP = 29, 3, 9
NAME_CHARACTERS, REASON_CHARACTERS = 48, 64  # most of a class's name, and of why it is shown


class RowLabels(NamedTuple):
    """What the axes of a row of panels are called."""

    images: str
    difficulty: str


LABELS = (
    RowLabels("images, without\ntransformation", "difficulty (Eq. 6), easy → hard"),
    RowLabels("images, with\ntransformation", "transformed difficulty (Eq. 8), easy → hard"),
)


@dataclass(frozen=True)
class Difficulties:
    """Difficulties in 0 … 1 of one class's images at the three stages of sampling, `(N,)` each."""

    original: ArrayLike
    pool: ArrayLike
    distilled: ArrayLike


@dataclass(frozen=True)
class ClassDifficulties:
    """The difficulties of a class without and with the logarithmic transformation.

    Attributes:
        name: of the class.
        before: 1 − p(true class) (Eq. 6). In the paper `before.distilled` is of the images that are selected without
            the transformation.
        after: their transform (Eq. 8); `after.distilled` is of the images of the dataset.
        distilled: 1 − p(true class) of the images of the dataset, `(N,)`.
        why: a few words on why this class is shown.
    """

    name: str
    before: Difficulties
    after: Difficulties
    distilled: ArrayLike
    why: str = ""


@styled
def difficulty_figure(classes: Sequence[ClassDifficulties]) -> Figure:
    """Draws histograms of difficulty in ten bins, two rows a class: without and with the transformation (Fig. 2).

    All panels have the same axes. Counts have a scale that is linear to 1 and logarithmic above: the ten images of a
    distilled class are seen beside a thousand original ones. Means are those of 1 − p(true class) alone (Eq. 6).

    Args:
        classes: the classes to show, one below the other; the paper has two.

    Returns:
        The figure, 8.5 cm wide, for `save_figure`.

    Raises:
        InputError: there is no class to show, or a difficulty is not in 0 … 1.
    """
    require_a_class(classes)
    rows = [_checked(stages, shown.name) for shown in classes for stages in (shown.before, shown.after)]
    counts = [[difficulty_histogram(values) for values in row] for row in rows]
    highest = max(1, *(int(of_stage.max()) for row in counts for of_stage in row))
    left = LABEL + 0.65 * FONT * len(f"{highest:,}")
    figure = new_figure(HEIGHT * len(classes))
    for k, shown in enumerate(classes):
        _write_header(figure, k * HEIGHT, shown, rows[2 * k])
        margins = Margins(left, RIGHT, k * HEIGHT + HEADER, (len(classes) - 1 - k) * HEIGHT + FOOT)
        axes = panels(figure, 2, len(STAGES), margins, (GAP, BETWEEN))
        for row, label, values, of_row in zip(axes, LABELS, rows[2 * k :], counts[2 * k :], strict=False):
            for ax, (stage, style), difficulties, of_stage in zip(row, STAGES.items(), values, of_row, strict=True):
                draw_bins(ax, of_stage, style)
                ax.set_title(f"{stage} ({len(difficulties):,})", pad=3)
                tick_difficulties(ax, 0, 0.5, 1)
                _scale_counts(ax, highest)
            label_counts(row, label.images, 10)
            row[1].set_xlabel(label.difficulty)
    return figure


def _checked(values: Difficulties, name: str) -> list[NDArray[Any]]:
    return [checked(getattr(values, stage), stage, one_line(name)) for stage in STAGES]


def _write_header(figure: Figure, top: float, shown: ClassDifficulties, before: Sequence[NDArray[Any]]) -> None:
    """The class, why it is shown, and the mean difficulties."""
    distilled = checked(shown.distilled, "distilled", one_line(shown.name))
    means = zip(STAGES, (before[0], before[1], distilled), strict=True)
    middle = 36 * WIDTH
    write(figure, middle, top + 8, shortened(shown.name, NAME_CHARACTERS), weight="bold", size=FONT + 1)
    write(figure, middle, top + 18, shortened(shown.why, REASON_CHARACTERS))
    words = ", ".join(f"{stage} {values.mean():.3f}" for stage, values in means)
    write(figure, middle, top + 28, f"mean difficulty: {words}")


def _scale_counts(ax: Axes, highest: int) -> None:
    ax.set_yscale("symlog", linthresh=1, linscale=0.6)
    ax.set_ylim(0, 1.3 * highest)
    ax.set_yticks([0, *(10**k for k in range(len(str(highest))))])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
