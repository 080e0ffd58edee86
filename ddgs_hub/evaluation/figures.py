"""The paper's Fig. 2, difficulty distributions, and Fig. 3, a sheet of images with their difficulty.

Drawn on `matplotlib.figure.Figure` objects of their own: nothing here touches pyplot's global state or needs a display.
"""

import textwrap
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ddgs_hub.core.decoding import to_rgb
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import BINS, difficulty_histogram
from ddgs_hub.core.text import one_line

COLORS = {"original": "#4c72b0", "pool": "#dd8452", "distilled": "#55a868"}
DPI = 150
MOST_CLASSES = 20  # with more, only all images together are drawn
PANELS = 3  # in a row
TILE = 128  # px of an image on the sheet: a multiple of 16, 32 and 64
GAP = 12  # px between images on the sheet
CAPTION = 40  # px under an image for its difficulty
HEADER, HEADER_WIDTH = 40, 420  # px at the top of the sheet for its line of explanation
NAME_CHARACTERS, CHARACTER = 16, 12  # most characters in a line of a class's name; px that a character takes at most


@dataclass(frozen=True)
class Difficulties:
    """Difficulties in 0 … 1 of one class's images at the three stages of sampling, `(N,)` each."""

    original: ArrayLike
    pool: ArrayLike
    distilled: ArrayLike


@dataclass(frozen=True)
class ClassDifficulties:
    """The difficulties of a class before and after the logarithmic transformation.

    `before` is 1 − p(true class) (Eq. 6), `after` its transform (Eq. 8). `before.distilled` may be of the same images
    as `after.distilled` or, as in the paper, of those that are selected without the transformation.
    """

    name: str
    before: Difficulties
    after: Difficulties


class SheetRow(NamedTuple):
    """Images of one class and their difficulties, in any order."""

    name: str
    images: Sequence[Image.Image]
    difficulties: Sequence[float]


def difficulty_figure(classes: Sequence[ClassDifficulties], path: str | Path) -> Path:
    """Draws histograms of difficulty in ten bins, two rows a class: before and after the transformation (Fig. 2).

    Args:
        classes: the classes to show; two as in the paper are easy to read, four still fit a page.
        path: where to write; the suffix decides the format (.png, .pdf, .svg).

    Returns:
        `path`.

    Raises:
        InputError: there is no class to show, or a difficulty is not in 0 … 1.
    """
    _require_a_class(classes)
    layout = ConstrainedLayoutEngine(h_pad=0.1)
    figure = Figure(figsize=(9.6, 4.8 * len(classes)), dpi=DPI, layout=layout)
    parts = figure.subfigures(len(classes), 1, squeeze=False, hspace=0.04)[:, 0]
    for part, shown in zip(parts, classes, strict=True):
        part.suptitle(one_line(shown.name), fontsize=14, fontweight="bold", parse_math=False)
        axes = part.subplots(2, len(COLORS), sharex=True)
        stages = (("without log transformation", shown.before), ("with log transformation", shown.after))
        for row, (title, values) in zip(axes, stages, strict=True):
            row[0].set_ylabel(f"images\n{title}", fontsize=10)
            for ax, (stage, color) in zip(row, COLORS.items(), strict=True):
                _histogram(ax, getattr(values, stage), stage, color, where=shown.name)
        for ax in axes[1]:
            ax.set_xlabel("difficulty", fontsize=10)
    return _save(figure, path)


def scored_figure(classes: Mapping[str, ArrayLike], path: str | Path) -> Path:
    """Draws histograms of difficulty in ten bins: of all images, and, of up to twenty classes, of each class.

    Args:
        classes: name → difficulties in 0 … 1 of the class's images, `(N,)`.
        path: where to write, see `difficulty_figure`; it is returned.

    Raises:
        InputError: see `difficulty_figure`.
    """
    _require_a_class(classes)
    panels = {"all images": np.concatenate([np.asarray(values) for values in classes.values()])}
    if 1 < len(classes) <= MOST_CLASSES:
        panels |= {textwrap.shorten(one_line(name), 24, placeholder=" …"): np.asarray(v) for name, v in classes.items()}
    columns = min(PANELS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(3.4 * columns, 4.8), 2.5 * rows + 0.4), dpi=DPI, layout=ConstrainedLayoutEngine())
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    colors = [COLORS["pool"]] + [COLORS["original"]] * (len(panels) - 1)
    for ax, (name, values), color in zip(axes, panels.items(), colors, strict=False):
        _histogram(ax, values, name, color, where=name)
        ax.set_title(f"{name}\n{len(values):,} images, mean {values.mean():.3f}", fontsize=10, parse_math=False)
    for ax in axes[len(panels) - columns : len(panels)]:  # the lowest of each column
        ax.tick_params(labelbottom=True)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    figure.supxlabel("difficulty, easy → hard", fontsize=10)
    figure.supylabel("images", fontsize=10)
    return _save(figure, path)


def image_sheet(rows: Sequence[SheetRow], path: str | Path, columns: int = 10) -> Path:
    """Draws a row of images for each class, from easy to hard, with the difficulty under each (Fig. 3).

    Args:
        rows: one for each class, or several; the name is printed at the left of the row.
        path: where to write; the suffix decides the format.
        columns: most images in a row. Of a class with more images, this many are shown, evenly spread over the ranks of
            its difficulties.

    Returns:
        `path`.

    Raises:
        InputError: there is no row, a row has no image, or not as many difficulties as images.
    """
    if not rows:
        raise InputError("there are no images to draw: give at least one class")
    for row in rows:
        if not row.images or len(row.images) != len(row.difficulties):
            raise InputError(
                f"the row of '{row.name}' has {len(row.images)} images and {len(row.difficulties)} difficulties: "
                "give at least one image, and one difficulty for each"
            )
    columns = min(columns, max(len(row.images) for row in rows))
    names = [textwrap.fill(one_line(row.name), NAME_CHARACTERS) for row in rows]
    margin = 2 * GAP + CHARACTER * max(len(line) for name in names for line in name.splitlines() or [name])
    width = margin + max(columns * (TILE + GAP), HEADER_WIDTH)
    height = HEADER + len(rows) * (TILE + CAPTION)
    sheet = Image.new("RGB", (width, height), "white")
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / width, 1 - y / height, text, parse_math=False, **style)

    write(margin, HEADER / 2, "difficulty under each image, easy → hard", fontsize=9, color="dimgray", va="center")
    for k, (row, name) in enumerate(zip(rows, names, strict=True)):
        top = HEADER + k * (TILE + CAPTION)
        write(GAP, top + TILE / 2, name, fontsize=10, va="center")
        for column, index in enumerate(_spread(row.difficulties, columns)):
            left = margin + column * (TILE + GAP)
            sheet.paste(_tile(row.images[index]), (left, top))
            write(left + TILE / 2, top + TILE + 4, f"{row.difficulties[index]:.3f}", fontsize=10, ha="center", va="top")
    figure.figimage(np.asarray(sheet), zorder=-1)  # pixel for pixel, so that small images stay crisp
    return _save(figure, path)


def _require_a_class(classes: Sized) -> None:
    if not classes:
        raise InputError("there are no difficulties to draw: give at least one class")


def _histogram(ax: Axes, difficulties: ArrayLike, stage: str, color: str, where: str) -> None:
    """Draws the counts of difficulties, `(N,)`, in bins [k / 10, (k + 1) / 10), the last one closed."""
    values = 1.0 * np.asarray(difficulties)
    if not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise InputError(
            f"{where}: the {stage} difficulties must be one or more numbers in 0 … 1: score the images again"
        )
    counts = difficulty_histogram(values)
    bars = ax.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.92 / BINS, color=color)
    ax.bar_label(bars, [str(count) if count else "" for count in counts], fontsize=8, padding=1)
    ax.set_title(f"{stage} ({len(values)}), mean {values.mean():.3f}", fontsize=11)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.12 * counts.max())
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    ax.tick_params(labelsize=9)
    ax.spines[["top", "right"]].set_visible(False)


def _spread(difficulties: Sequence[float], count: int) -> NDArray[np.int64]:
    """Indices of at most `count` images from the easiest to the hardest, evenly spread over their ranks."""
    order = np.argsort(np.asarray(difficulties), kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.int64)]


def _tile(image: Image.Image) -> Image.Image:
    """The image on a white square: small ones are enlarged by a whole factor without smoothing, large ones reduced."""
    tile = to_rgb(image).copy()
    factor = TILE // max(tile.size)
    if factor >= 1:
        tile = tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)
    else:
        tile.thumbnail((TILE, TILE), Image.Resampling.LANCZOS, reducing_gap=None)  # thin images keep a pixel
    square = Image.new("RGB", (TILE, TILE), "white")
    square.paste(tile, ((TILE - tile.width) // 2, (TILE - tile.height) // 2))
    return square


def _save(figure: Figure, path: str | Path) -> Path:
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    return path
