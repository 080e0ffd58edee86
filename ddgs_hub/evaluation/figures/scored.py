"""The difficulties of a scored dataset, all together and class by class."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ddgs_hub.core.histogram import difficulty_histogram
from ddgs_hub.evaluation.figures.drawing import (
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

MOST_CLASSES = 20  # with more, only all images together are drawn
PANELS = 3  # in a row
NAME_CHARACTERS = 16  # most of a class's name


@styled
def scored_figure(classes: Mapping[str, ArrayLike]) -> Figure:
    """Draws histograms of difficulty in ten bins: of all images, and, of up to twenty classes, of each class.

    Args:
        classes: name → difficulties in 0 … 1 of the class's images, `(N,)`.

    Returns:
        The figure, 8.5 cm wide, for `save_figure`.

    Raises:
        InputError: there is no class to show, or a difficulty is not in 0 … 1.
    """
    require_a_class(classes)
    panels = [("all images", np.concatenate([np.asarray(values) for values in classes.values()]))]
    if 1 < len(classes) <= MOST_CLASSES:
        panels += [(shortened(name, NAME_CHARACTERS), np.asarray(values)) for name, values in classes.items()]
    columns = min(PANELS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH, 1.15 * rows + 0.5), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.02))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for k, (ax, (name, difficulties)) in enumerate(zip(axes, panels, strict=False)):
        values = checked(difficulties, "scored", name)
        counts = difficulty_histogram(values)
        draw_bins(ax, counts, ORIGINAL if k else POOL)
        ax.set_title(f"{name}\n{len(values):,} images\nmean {values.mean():.3f}")
        ax.set_ylim(0, 1.08 * counts.max())
        tick_difficulties(ax, 0, 0.5, 1)
        ax.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    for ax in axes[: len(panels) - columns]:  # above the lowest of each column
        ax.tick_params(labelbottom=False)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    figure.supxlabel("difficulty, easy → hard")
    figure.supylabel("images")
    return figure
