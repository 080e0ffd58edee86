"""What all figures share: size, colours, the histogram of ten bins, and how a figure is written.

Places are in points from the upper left corner, so that text and panels keep their distances whatever a figure shows.
"""

from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import BINS
from ddgs_hub.core.machine import AGAIN, is_full
from ddgs_hub.core.text import one_line

WIDTH = 8.5 / 2.54  # inches: a column's
DPI = 300
FONT = 7  # pt, the least that is read easily in print
# Okabe and Ito's colours, which colour-blind readers tell apart; the hatches are for grey prints.
ORIGINAL, POOL, DISTILLED, PRESET = (
    {"color": "#0072B2"},
    {"color": "#E69F00", "hatch": "//////"},
    {"color": "#009E73", "hatch": "xxxxxx"},
    {"color": "#56B4E9", "hatch": "\\\\\\\\\\\\"},
)
STYLE: Any = {  # the type that matplotlib declares lists all its settings
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "figure.labelsize": FONT,
    "figure.titlesize": FONT + 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "hatch.linewidth": 0.35,
    "text.parse_math": False,  # a class may be called $
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "ddgs-hub",  # else names in the file are random
}
styled = mpl.rc_context(STYLE)


def save_figure(figure: Figure, *paths: str | Path) -> None:
    """Writes a figure; the same figure gives the same bytes.

    Args:
        figure: what to write.
        paths: where; the suffix of each decides the format (.png, .svg, .pdf). Folders are made.

    Raises:
        InputError: a file cannot be written.
    """
    for path in map(Path, paths):
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with mpl.rc_context(STYLE):
                figure.savefig(path, metadata=dated.get(path.suffix))
            figure.set_layout_engine("none")  # laid out once, for all formats alike
        except OSError as error:
            way_out = AGAIN if is_full(error) else "choose another folder"
            raise InputError(f"cannot write {path}: {error.strerror}; {way_out}") from error


class Margins(NamedTuple):
    """Points between a grid of panels and the edges of its figure."""

    left: float
    right: float
    top: float
    bottom: float


def new_figure(height: float) -> Figure:
    """An empty figure as wide as a column, and so many points high."""
    return Figure(figsize=(WIDTH, height / 72), dpi=DPI)


def panels(figure: Figure, rows: int, columns: int, margins: Margins, gaps: tuple[float, float]) -> NDArray[Any]:
    """Adds a grid of panels.

    Args:
        figure: that gains them.
        rows: of the grid.
        columns: of the grid.
        margins: around it.
        gaps: points between columns and between rows.

    Returns:
        Axes, `(rows, columns)`.
    """
    full_width, full_height = (72 * inches for inches in figure.get_size_inches())
    width = (full_width - margins.left - margins.right - (columns - 1) * gaps[0]) / columns
    height = (full_height - margins.top - margins.bottom - (rows - 1) * gaps[1]) / rows
    axes = np.empty((rows, columns), object)
    for row, column in np.ndindex(rows, columns):
        left = margins.left + column * (width + gaps[0])
        bottom = full_height - margins.top - height - row * (height + gaps[1])
        place = (left / full_width, bottom / full_height, width / full_width, height / full_height)
        axes[row, column] = figure.add_axes(place)
    return axes


def write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Writes lines whose middle is x points from the left of a figure and y points from its top."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    figure.text(x / width, 1 - y / height, text, **{"ha": "center", "va": "center", **style})


def label_counts(row: Sequence[Axes], label: str, x: float) -> None:
    """Numbers and names the y axis of a row of panels with one scale, at its left panel alone.

    Args:
        row: the panels.
        label: of the axis, in one or two lines.
        x: middle of the label, points from the left edge of the figure.
    """
    for ax in row[1:]:
        ax.tick_params(labelleft=False)
    place = row[0].get_position()
    row[0].set_ylabel(label, va="center")
    row[0].yaxis.set_label_coords((x / (72 * WIDTH) - place.x0) / place.width, 0.5)


def shortened(name: object, most: int) -> str:
    """A name in one line, of at most so many characters."""
    text = one_line(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def require_a_class(classes: Sized) -> None:
    """Refuses a figure of nothing."""
    if not classes:
        raise InputError("there are no difficulties to draw: give at least one class")


def checked(difficulties: ArrayLike, stage: str, where: str) -> NDArray[Any]:
    """Difficulties in the type that they have, `(N,)`, N ≥ 1.

    Raises:
        InputError: there is none, or one is no number in 0 … 1.
    """
    values = 1.0 * np.asarray(difficulties)
    if not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise InputError(
            f"{where}: the {stage} difficulties must be one or more numbers in 0 … 1: score the images again"
        )
    return values


def draw_bins(ax: Axes, counts: NDArray[np.int64], style: dict[str, Any]) -> None:
    """Draws counts per bin, `(10,)`, as bars over 0 … 1: one shape, which is drawn much faster than ten."""
    left, right = (np.arange(BINS) + 0.07) / BINS, (np.arange(BINS) + 0.93) / BINS
    floor = np.zeros(BINS)
    corners = np.stack([left, floor, left, counts, right, counts, right, floor], axis=1).reshape(BINS, 4, 2)
    bars = Outline.make_compound_path_from_polys(corners)
    ax.add_patch(PathPatch(bars, facecolor=style["color"], edgecolor="black", linewidth=0.4, hatch=style.get("hatch")))
    ax.set_xlim(0, 1)


def tick_difficulties(ax: Axes, *ticks: float) -> None:
    """Ticks from 0 to 1, the labels of both ends inside: neighbours stand close together."""
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    labels = ax.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
