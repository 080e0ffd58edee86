"""The paper's Fig. 4: how many images each sampling distribution asks of each interval of difficulty."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import BINS
from ddgs_hub.core.text import one_line
from ddgs_hub.evaluation.figures.drawing import DPI, ORIGINAL, PRESET, WIDTH, draw_bins, styled, tick_difficulties

HEIGHT = 0.72  # inches of a row


@styled
def distributions_figure(counts: Mapping[int, Mapping[str, ArrayLike]]) -> Figure:
    """Draws the counts of sampling distributions, a row an IPC, a column a distribution (Fig. 4).

    The panels of a row have the same axes.

    Args:
        counts: IPC → name of a distribution → counts per bin from easy to hard, `(10,)`, whole numbers ≥ 0. Each IPC
            has the same names, in the order of the columns. `scale`, which follows the original, has its colour.

    Returns:
        The figure, 8.5 cm wide, for `save_figure`.

    Raises:
        InputError: there is nothing to draw, or counts are not such numbers.
    """
    if not counts or not all(counts.values()):
        raise InputError("there are no distributions to draw: give at least one IPC with one distribution")
    names = list(next(iter(counts.values())))
    figure = Figure(figsize=(WIDTH, HEIGHT * len(counts) + 0.45), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.015))
    axes = figure.subplots(len(counts), len(names), squeeze=False, sharex=True, sharey="row")
    for row, (ipc, by_name) in zip(axes, counts.items(), strict=True):
        for ax, name in zip(row, names, strict=True):
            values = np.asarray(by_name.get(name))
            if values.shape != (BINS,) or values.dtype.kind not in "iu" or (values < 0).any():
                raise InputError(
                    f"the counts of '{one_line(name)}' at IPC {ipc} must be {BINS} whole numbers, at least 0: "
                    "give those of `DISTRIBUTIONS`"
                )
            draw_bins(ax, values, ORIGINAL if name == "scale" else PRESET)
        row[0].set_ylim(0, 1.08 * max(np.max(by_name[name]) for name in names))
        row[0].yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
        row[0].set_ylabel(f"IPC {ipc}")
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(one_line(name))
    for ax in axes[-1]:
        tick_difficulties(ax, 0, 1)
    figure.align_ylabels(axes[:, 0])
    figure.supxlabel("transformed difficulty, easy → hard")
    figure.supylabel("images")
    return figure
