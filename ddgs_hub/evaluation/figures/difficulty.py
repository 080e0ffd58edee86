"""The paper's Fig. 2: difficulties of a class's images at the stages of sampling, without and with transformation."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from ddgs_hub.core.histogram import difficulty_histogram
from ddgs_hub.core.text import one_line
from ddgs_hub.evaluation.figures.drawing import (
    DISTILLED,
    DPI,
    ORIGINAL,
    POOL,
    WIDTH,
    checked,
    draw_bins,
    require_a_class,
    shortened,
    styled,
    tick_difficulties,
)

STAGES = {"original": ORIGINAL, "pool": POOL, "distilled": DISTILLED}
HEIGHT = 2.75  # inches of a class
NAME_CHARACTERS = 48  # most of a class's name


@dataclass(frozen=True)
class Difficulties:
    """Difficulties in 0 … 1 of one class's images at the three stages of sampling, `(N,)` each."""

    original: ArrayLike
    pool: ArrayLike
    distilled: ArrayLike


@dataclass(frozen=True)
class ClassDifficulties:
    """The difficulties of a class without and with the logarithmic transformation.

    `before` is 1 − p(true class) (Eq. 6), `after` its transform (Eq. 8). In the paper `before.distilled` is of the
    images that are selected without the transformation.
    """

    name: str
    before: Difficulties
    after: Difficulties


@styled
def difficulty_figure(classes: Sequence[ClassDifficulties]) -> Figure:
    """Draws histograms of difficulty in ten bins, two rows a class: without and with the transformation (Fig. 2).

    The panels of a row have the same axes. Counts have a scale that is linear to 1 and logarithmic above: the ten
    images of a distilled class are seen beside a thousand original ones.

    Args:
        classes: the classes to show, one below the other; the paper has two.

    Returns:
        The figure, 8.5 cm wide, for `save_figure`.

    Raises:
        InputError: there is no class to show, or a difficulty is not in 0 … 1.
    """
    require_a_class(classes)
    figure = Figure(figsize=(WIDTH, HEIGHT * len(classes)), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.02))
    parts = figure.subfigures(len(classes), 1, squeeze=False)[:, 0]
    for part, shown in zip(parts, classes, strict=True):
        part.suptitle(shortened(shown.name, NAME_CHARACTERS), fontweight="bold")
        axes = part.subplots(2, len(STAGES), sharey="row")
        _draw_row(axes[0], shown.before, shown.name, "without")
        _draw_row(axes[1], shown.after, shown.name, "with")
        axes[0, 1].set_xlabel("difficulty, easy → hard")
        axes[1, 1].set_xlabel("transformed difficulty, easy → hard")
        part.align_ylabels(axes[:, 0])
    return figure


def _draw_row(row: Sequence[Axes], values: Difficulties, name: str, how: str) -> None:
    highest = 1
    for ax, (stage, style) in zip(row, STAGES.items(), strict=True):
        difficulties = checked(getattr(values, stage), stage, one_line(name))
        counts = difficulty_histogram(difficulties)
        highest = max(highest, int(counts.max()))
        draw_bins(ax, counts, style)
        ax.set_title(f"{stage} ({len(difficulties):,})\nmean {difficulties.mean():.3f}")
        tick_difficulties(ax, 0, 0.5, 1)
    first = row[0]
    first.set_yscale("symlog", linthresh=1, linscale=0.6)
    first.set_ylim(0, 1.3 * highest)
    first.set_yticks([0, *(10**k for k in range(len(str(highest))))])
    first.yaxis.set_minor_locator(NullLocator())
    first.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    first.set_ylabel(f"images, {how}\ntransformation")
