"""Improvements over a reference by method, with intervals: a panel for each cell of a study."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation.figures.drawing import (
    FONT,
    ORIGINAL,
    WIDTH,
    Margins,
    new_figure,
    panels,
    shortened,
    styled,
    write,
)
from ddgs_hub.evaluation.improvement import Improvement

LINE = 10  # points: height of a method
COLUMNS = 2  # of panels
GAPS = (7, 38)  # points between panels
TOP, BOTTOM = 26, 40  # points above the first row and below the last
NAME_CHARACTERS = 30  # most of a method's name
LETTER = 0.52  # width of a letter, of the font's size: the names' margin


@styled
def improvements_figure(cells: Mapping[str, Mapping[str, Improvement]], reference: str) -> Figure:
    """Draws improvements as points on their 95 % intervals, a row a method.

    All panels have one scale, and a line at 0, where a method is as good as the reference. An interval that does not
    touch it is drawn thick.

    Args:
        cells: title of a panel, in one line or two → method → improvement in points. A panel may lack methods.
        reference: what they are compared with.

    Returns:
        The figure, 8.5 cm wide, for `save_figure`.

    Raises:
        InputError: there is nothing to draw.
    """
    methods = list(dict.fromkeys(method for of_cell in cells.values() for method in of_cell))
    if not methods:
        raise InputError("there are no improvements to draw: give at least one cell with one method")
    names = [shortened(method, NAME_CHARACTERS) for method in methods]
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    margins = Margins(8 + LETTER * FONT * max(map(len, names)), 4, TOP, BOTTOM)
    height = LINE * (len(methods) + 1)
    figure = new_figure(margins.top + rows * (height + GAPS[1]) - GAPS[1] + margins.bottom)
    axes = panels(figure, rows, columns, margins, GAPS)
    for ax in axes.ravel()[len(cells) :]:
        ax.set_visible(False)
    for number, (ax, (title, of_cell)) in enumerate(zip(axes.ravel(), cells.items(), strict=False)):
        ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
        for place, method in enumerate(methods):
            if found := of_cell.get(method):
                low, high = (found.mean if end is None else end for end in (found.low, found.high))
                ax.plot([low, high], [place, place], color="black", linewidth=1.4 if low > 0 or high < 0 else 0.5)
                ax.plot(found.mean, place, "o", markersize=3, color=ORIGINAL["color"])
        ax.set_ylim(len(methods) - 0.3, -0.7)
        ax.set_yticks(range(len(methods)), names if number % columns == 0 else [""] * len(names))
        ax.tick_params(axis="y", length=0)
        ax.set_title("\n".join(shortened(line, NAME_CHARACTERS) for line in title.split("\n")[:2]), pad=3)
    shown = [ax for ax in axes.ravel() if ax.get_visible()]
    limits = [ax.get_xlim() for ax in shown]
    for ax in shown:
        ax.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
    for above, text in (
        (18, f"improvement over {reference} (points), 95 % interval"),
        (8, "thick: the interval does not touch 0"),
    ):
        write(figure, 36 * WIDTH, 72 * figure.get_figheight() - above, text)
    return figure
