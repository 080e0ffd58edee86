"""Differentiable siamese augmentation, DSA (Zhao and Bilen, ICML 2021, arXiv 2102.08259).

*Siamese*: the real and the synthetic images of a comparison are augmented with the same parameters, so that what is
compared are the images, not the draws. *Differentiable*: each operation passes the gradient on to the images.

The parameters are drawn apart from their use: `draw_one` and `draw_chain` make `Draws`, `augment` takes them. Images
are `(N, 3, H, W)` and normalised: the zeros that crop, cutout, scale and rotate bring in are the mean colour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe import OPERATIONS

GEOMETRIC = ("crop", "scale", "rotate")  # of which a chain has one
BRIGHTNESS, SATURATION, CONTRAST = 1.0, 2.0, 0.5  # strengths of the three colour operations
CROP_SHARE = 0.125  # largest shift, as a share of the side
CUTOUT_SHARE = 0.5  # side of the hole, as a share of the image's
LARGEST_SCALE = 1.2  # the smallest is its inverse
LARGEST_ANGLE = math.radians(15)


@dataclass(frozen=True)
class Draws:
    """Parameters of one augmentation; what is None is not done.

    Each tensor has n rows: one row is shared by all images of every batch that it is used for (siamese), N rows belong
    to the N images of one batch. u is uniform in [0, 1), on the CPU as all draws.
    """

    flip: torch.Tensor | None = None  # (n,) u: mirrored left to right below 0.5
    brightness: torch.Tensor | None = None  # (n,) u
    saturation: torch.Tensor | None = None  # (n,) u
    contrast: torch.Tensor | None = None  # (n,) u
    crop: torch.Tensor | None = None  # (n, 2) int64: rows and columns to shift by, px
    scale: torch.Tensor | None = None  # (n, 2) u: along x, which is the columns, and along y
    rotate: torch.Tensor | None = None  # (n,) u
    cutout: torch.Tensor | None = None  # (n, 2) int64: row and column of the hole's centre, px


def augment(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Images with all operations of `draws`, in the order of its fields.

    Args:
        images: float `(N, 3, H, W)`, normalised.
        draws: of one row, or of N.

    Returns:
        `(N, 3, H, W)`, of the type of `images`.
    """
    for name, operation in _OPERATIONS.items():
        parameters = getattr(draws, name)
        if parameters is not None:
            images = operation(images, parameters.to(images.device))
    return images


def draw_one(strategy: Sequence[str], height: int, width: int, generator: torch.Generator) -> Draws:
    """Draws as DSA has them: one operation of the strategy, the same for all images. Colour is one operation.

    Args:
        strategy: what to choose from: any of `OPERATIONS`. Empty: nothing is done.
        height: of the images, px.
        width: of the images, px.
        generator: on the CPU.

    Raises:
        InputError: the strategy lists something else.
    """
    _check(strategy)
    if not strategy:
        return Draws()
    name = strategy[_integer(len(strategy), generator)]
    return Draws(**_drawn(name, 1, height, width, generator))


def draw_chain(strategy: Sequence[str], count: int, height: int, width: int, generator: torch.Generator) -> Draws:
    """Draws as IDC has them: flip, colour, one of crop, scale and rotate, then cutout: those that the strategy lists.

    Args:
        strategy: any of `OPERATIONS`.
        count: rows of the draws: 1 to share them, or the number of images to give each its own.
        height: see `draw_one`, as for the width and the generator.
        width: of the images, px.
        generator: on the CPU.

    Raises:
        InputError: an operation is unknown.
    """
    _check(strategy)
    geometric = [name for name in strategy if name in GEOMETRIC]
    chosen = [geometric[_integer(len(geometric), generator)]] if geometric else []
    parameters: dict[str, torch.Tensor] = {}
    for name in ("flip", "color", *chosen, "cutout"):
        if name in strategy:
            parameters |= _drawn(name, count, height, width, generator)
    return Draws(**parameters)


def brightness(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The image shifted, x + (u − 0.5), for u `(n,)`."""
    return images + BRIGHTNESS * (_per_image(u, images) - 0.5)


def saturation(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Colour stretched, (x − m) · 2u + m, where m is the mean of a pixel's channels, for u `(n,)`."""
    mean = images.mean(1, keepdim=True)
    return (images - mean) * (SATURATION * _per_image(u, images)) + mean


def contrast(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The image stretched, (x − m) · (u + 0.5) + m, where m is the mean of an image, for u `(n,)`."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (_per_image(u, images) + CONTRAST) + mean


def flip(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The image mirrored left to right where u < 0.5, for u `(n,)`."""
    return torch.where((u < 0.5)[:, None, None, None], images.flip(3), images)


def crop(images: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """The image moved, out[i, j] = x[i + r, j + c], zero outside of x, for shifts (r, c) `(n, 2)`."""
    count, _, height, width = images.shape
    rows = torch.arange(height, device=images.device) + shifts[:, :1]
    columns = torch.arange(width, device=images.device) + shifts[:, 1:]
    inside_rows, inside_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    index = torch.arange(count, device=images.device)[:, None, None]
    shifted = images[index, :, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    return shifted.permute(0, 3, 1, 2) * (inside_rows[:, None, :, None] & inside_columns[:, None, None, :])


def cutout(images: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Zero in a hole of half the height and width, for centres (row, column) `(n, 2)`.

    The rows r − ⌊h/2⌋ … r − ⌊h/2⌋ + h − 1 of a hole are brought into the image one by one, not left out: a hole whose
    centre is far outside still takes the border.
    """
    holes = []
    for centre, side in zip(centres.unbind(1), images.shape[2:], strict=True):
        first = centre[:, None] - _hole(side) // 2
        last = first + _hole(side) - 1
        pixels = torch.arange(side, device=images.device)
        holes.append((pixels >= first.clamp(0, side - 1)) & (pixels <= last.clamp(0, side - 1)))
    rows, columns = holes
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


def scale(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Sampled at (s_x · x, s_y · y), s = u · (1.2 − 1/1.2) + 1/1.2, for u `(n, 2)`; above 1 the picture shrinks."""
    s = u * (LARGEST_SCALE - 1 / LARGEST_SCALE) + 1 / LARGEST_SCALE
    zero = torch.zeros_like(s[:, 0])
    return _sampled(images, [[s[:, 0], zero], [zero, s[:, 1]]])


def rotate(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Sampled at [[cos θ, −sin θ], [sin θ, cos θ]] · (x, y), θ = (2u − 1) · 15°, for u `(n,)`."""
    theta = (u - 0.5) * 2 * LARGEST_ANGLE
    return _sampled(images, [[theta.cos(), -theta.sin()], [theta.sin(), theta.cos()]])


_OPERATIONS = {
    "flip": flip,
    "brightness": brightness,
    "saturation": saturation,
    "contrast": contrast,
    "crop": crop,
    "scale": scale,
    "rotate": rotate,
    "cutout": cutout,
}


def _sampled(images: torch.Tensor, matrix: list[list[torch.Tensor]]) -> torch.Tensor:
    """Images read bilinearly where a 2×2 matrix of `(n,)` takes the coordinates −1 … 1 of each pixel, zero outside."""
    # bfloat16 has 8 bits: coordinates would be off by a pixel, so sampling is in float32 at least.
    dtype = torch.promote_types(images.dtype, torch.float32)
    affine = torch.stack([torch.stack([*row, torch.zeros_like(row[0])], dim=1) for row in matrix], dim=1)
    affine = affine.to(dtype).expand(len(images), 2, 3)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    sampled = F.grid_sample(images.to(dtype), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled.to(images.dtype)


def _per_image(u: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return u.to(images.dtype)[:, None, None, None]


def _hole(side: int) -> int:
    return math.floor(CUTOUT_SHARE * side + 0.5)


def _drawn(name: str, count: int, height: int, width: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The fields of `Draws` that an operation of a strategy fills, each with draws of its own."""

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    def integers(ranges: list[tuple[int, int]]) -> torch.Tensor:
        return torch.stack([torch.randint(*ends, (count,), generator=generator) for ends in ranges], dim=1)

    if name == "color":
        return {part: uniform(count) for part in ("brightness", "saturation", "contrast")}
    if name == "crop":
        shifts = [math.floor(CROP_SHARE * side + 0.5) for side in (height, width)]
        return {name: integers([(-shift, shift + 1) for shift in shifts])}
    if name == "cutout":
        # A hole of even size has no middle pixel, so that one more centre is needed to cover both borders alike.
        return {name: integers([(0, side + 1 - _hole(side) % 2) for side in (height, width)])}
    return {name: uniform(count, 2) if name == "scale" else uniform(count)}


def _integer(end: int, generator: torch.Generator) -> int:
    return int(torch.randint(end, (), generator=generator))


def _check(strategy: Sequence[str]) -> None:
    for name in strategy:
        if name not in OPERATIONS:
            raise InputError(f"'{name}' is no operation of siamese augmentation: choose from {', '.join(OPERATIONS)}")
