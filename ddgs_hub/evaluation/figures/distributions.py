"""The paper's Fig. 4: how many images each sampling distribution asks of each interval of difficulty."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import BINS
from ddgs_hub.core.text import one_line
from ddgs_hub.evaluation.figures.drawing import (
    ORIGINAL,
    PRESET,
    WIDTH,
    Margins,
    draw_bins,
    label_counts,
    new_figure,
    panels,
    styled,
    tick_difficulties,
    write,
)

ROW, GAPS = 42, (7, 8)  # points: height of a panel, and between panels
MARGINS = Margins(38, 3, 28, 28)
THIS = "0.88"  # grey behind the panel of the dataset


@styled
def distributions_figure(counts: Mapping[int, Mapping[str, ArrayLike]], used: tuple[int, str] | None = None) -> Figure:
    """Draws the counts of sampling distributions, a row an IPC, a column a distribution (Fig. 4).

    The panels of a row have the same axes.

    Args:
        counts: IPC → name of a distribution → counts per bin from easy to hard, `(10,)`, whole numbers ≥ 0. Each IPC
            has the same names, in the order of the columns. `scale`, which follows the original, has its colour.
        used: IPC and distribution of the dataset, whose panel is marked; None: there is none.

    Returns:
        The figure, 8.5 cm wide, for `save_figure`.

    Raises:
        InputError: there is nothing to draw, or counts are not such numbers.
    """
    if not counts or not all(counts.values()):
        raise InputError("there are no distributions to draw: give at least one IPC with one distribution")
    names = list(next(iter(counts.values())))
    figure = new_figure(MARGINS.top + len(counts) * (ROW + GAPS[1]) - GAPS[1] + MARGINS.bottom)
    axes = panels(figure, len(counts), len(names), MARGINS, GAPS)
    for row, (ipc, by_name) in zip(axes, counts.items(), strict=True):
        for ax, name in zip(row, names, strict=True):
            values = np.asarray(by_name.get(name))
            if values.shape != (BINS,) or values.dtype.kind not in "iu" or (values < 0).any():
                raise InputError(
                    f"the counts of '{one_line(name)}' at IPC {ipc} must be {BINS} whole numbers, at least 0: "
                    "give those of `DISTRIBUTIONS`"
                )
            draw_bins(ax, values, ORIGINAL if name == "scale" else PRESET)
            ax.set_ylim(0, 1.08 * max(np.max(by_name[name]) for name in names))
            ax.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
            tick_difficulties(ax, 0, 1)
            ax.tick_params(labelbottom=ipc == [*counts][-1])
            if (ipc, name) == used:
                ax.set_facecolor(THIS)
        label_counts(row, f"IPC {ipc}\nimages", 9)
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(one_line(name), pad=3)
    middle, bottom = 36 * WIDTH, 72 * figure.get_figheight()
    notes = ["scale: as all the originals together"] if "scale" in names else []
    notes += [f"grey: this dataset (IPC {used[0]}, {one_line(used[1])})"] if used else []
    write(figure, middle, 7, "; ".join(notes))
    write(figure, middle, bottom - 7, "transformed difficulty (Eq. 8), easy → hard")
    return figure
