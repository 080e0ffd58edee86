"""The difficulties of a scored dataset, all together and class by class."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ddgs_hub.core.histogram import difficulty_histogram
from ddgs_hub.evaluation.figures import drawing
from ddgs_hub.evaluation.figures.drawing import FONT, Margins

MOST_CLASSES = 20  # with more, only all images together are drawn
PANELS = 3  # in a row
PANEL, TITLE, GAP, LABEL = 42, 32, 8, 12  # points: a panel, what stands over it, between columns, left of them
NAME_CHARACTERS = 16  # most of a class's name


@drawing.styled
def scored_figure(classes: Mapping[str, ArrayLike]) -> Figure:
    """Draws histograms of difficulty in ten bins: of all images, and, of up to twenty classes, of each class.

    Args:
        classes: name → difficulties in 0 … 1 of the class's images, `(N,)`.

    Returns:
        The figure, 8.5 cm wide, for `save_figure`.

    Raises:
        InputError: there is no class to show, or a difficulty is not in 0 … 1.
    """
    drawing.require_a_class(classes)
    shown = [("all images", np.concatenate([np.asarray(values) for values in classes.values()]))]
    if 1 < len(classes) <= MOST_CLASSES:
        shown += [(drawing.shortened(name, NAME_CHARACTERS), np.asarray(values)) for name, values in classes.items()]
    checked = [drawing.checked(values, "scored", name) for name, values in shown]
    counts = [difficulty_histogram(values) for values in checked]
    columns = min(PANELS, len(shown))
    rows = -(-len(shown) // columns)
    numbers = 6 + 0.65 * FONT * len(str(counts[0].max()))
    margins, gaps = Margins(LABEL + numbers, 3, TITLE, 28), (GAP + numbers, TITLE + 8)
    figure = drawing.new_figure(margins.top + rows * (PANEL + gaps[1]) - gaps[1] + margins.bottom)
    axes = drawing.panels(figure, rows, columns, margins, gaps).ravel()
    # The middle of a panel with the numbers at its left: names are longer than a panel is wide.
    middle_of_both = 0.5 - numbers / 2 / (72 * drawing.WIDTH * axes[0].get_position().width)
    for k, (ax, (name, _), values, of_panel) in enumerate(zip(axes, shown, checked, counts, strict=False)):
        drawing.draw_bins(ax, of_panel, drawing.ORIGINAL if k else drawing.PRESET)
        title = f"{name}\n{len(values):,} images\nmean {values.mean():.3f}"
        ax.set_title(title, pad=3, x=middle_of_both)
        ax.set_ylim(0, 1.08 * of_panel.max())
        drawing.tick_difficulties(ax, 0, 0.5, 1)
        ax.tick_params(labelbottom=k >= len(shown) - columns)  # the lowest of each column
        ax.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    middle, height = 36 * drawing.WIDTH, 72 * figure.get_figheight()
    drawing.write(figure, middle, height - 7, "difficulty (Eq. 6), easy → hard")
    drawing.write(figure, LABEL / 2, height / 2, "images", rotation=90)
    return figure
