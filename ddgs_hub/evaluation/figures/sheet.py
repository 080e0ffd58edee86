"""The paper's Fig. 3: images of the original and of the distilled dataset, with their difficulty."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ddgs_hub.core.decoding import to_rgb
from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation.figures.drawing import DPI, shortened, styled

TILE = 96  # px of an image: a multiple of 16 and 32
GAP, MIDDLE = 2, 28  # px between images, and between original and distilled ones
COLUMNS = 5  # images of each side; of distilled images alone twice as many
WIDTH = 2 * COLUMNS * TILE + 2 * (COLUMNS - 1) * GAP + MIDDLE  # 8.5 cm at `DPI`
HEADER, NOTE = 76, 36  # px of the two lines at the top, and of a third
NAME, CAPTION = 40, 48  # px over the images of a class, and under them
NAME_CHARACTERS = 60  # most of a class's name


class ScoredImages(NamedTuple):
    """Images and their difficulties, in any order."""

    images: Sequence[Image.Image]
    difficulties: Sequence[float]


class SheetRow(NamedTuple):
    """Images of one class; `original` is None where they are not at hand."""

    name: str
    distilled: ScoredImages
    original: ScoredImages | None = None


def spread_indices(difficulties: ArrayLike, count: int = COLUMNS) -> NDArray[np.int64]:
    """Indices of at most `count` images from the easiest to the hardest, evenly spread over their ranks.

    Args:
        difficulties: `(N,)`.
        count: 1 or more.
    """
    order = np.argsort(np.asarray(difficulties), kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.int64)]


@styled
def image_sheet(rows: Sequence[SheetRow], note: str = "") -> Figure:
    """Draws original and distilled images of each class side by side, easy to hard, with their difficulty (Fig. 3).

    On each side are at most five images, evenly spread over the ranks of their difficulties. Where no row has original
    images, ten distilled ones take the whole width.

    Args:
        rows: one for each class; all or none with original images. The name stands over the images.
        note: a line at the top, such as which classes these are.

    Returns:
        The figure, 8.5 cm wide, for `save_figure`.

    Raises:
        InputError: there is no row, one has no image, not as many difficulties as images, or alone no original ones.
    """
    _check(rows)
    paired = rows[0].original is not None
    header = HEADER + (NOTE if note else 0)
    height = header + len(rows) * (NAME + TILE + CAPTION)
    sheet = Image.new("RGB", (WIDTH, height), "white")
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI)

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / WIDTH, 1 - y / height, text, va="center", **style)

    def draw(scored: ScoredImages, left: int, top: int, columns: int) -> None:
        for index in spread_indices(scored.difficulties, columns):
            sheet.paste(_tile(scored.images[index]), (left, top))
            write(left + TILE / 2, top + TILE + 18, f"{scored.difficulties[index]:.3f}", ha="center")
            left += TILE + GAP

    middle = (WIDTH + MIDDLE) // 2
    write(0, 20, "easy → hard, evenly spread by rank; difficulty under each image")
    if note:
        write(0, 56, note)
    heads = header - 20
    write(0, heads, "original" if paired else "distilled (original images are not at hand)", fontweight="bold")
    if paired:
        write(middle, heads, "distilled", fontweight="bold")
    for k, row in enumerate(rows):
        top = header + k * (NAME + TILE + CAPTION)
        write(0, top + NAME / 2, shortened(row.name, NAME_CHARACTERS))
        if row.original is None:
            draw(row.distilled, 0, top + NAME, 2 * COLUMNS)
        else:
            draw(row.original, 0, top + NAME, COLUMNS)
            draw(row.distilled, middle, top + NAME, COLUMNS)
    ax = figure.add_axes((0, 0, 1, 1), zorder=-1)
    ax.set_axis_off()
    ax.imshow(np.asarray(sheet), aspect="auto", interpolation="none")  # pixel for pixel: small images stay crisp
    return figure


def _check(rows: Sequence[SheetRow]) -> None:
    if not rows:
        raise InputError("there are no images to draw: give at least one class")
    for row in rows:
        for stage, scored in (("distilled", row.distilled), ("original", row.original)):
            if scored is not None and (not scored.images or len(scored.images) != len(scored.difficulties)):
                raise InputError(
                    f"the row of '{row.name}' has {len(scored.images)} {stage} images and {len(scored.difficulties)} "
                    "difficulties: give at least one image, and one difficulty for each"
                )
        if (row.original is None) != (rows[0].original is None):
            raise InputError(f"of '{row.name}' and '{rows[0].name}' one has no original images: give both or none")


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
