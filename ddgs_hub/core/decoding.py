"""Encoded images become pixels here and nowhere else, so that all commands see the same pixels.

docs/inputs.md says what becomes of each kind of file, and what is refused.
"""

import warnings
from functools import cache
from io import BytesIO
from threading import Lock
from typing import Any

import numpy as np
from PIL import ExifTags, ImageFile, TiffImagePlugin, UnidentifiedImageError
from PIL import Image as PILImage

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import LFS_POINTER

# Formats whose readers start no program and open no other file. MPO is read as JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF", "TGA")
BACKGROUND = (255, 255, 255)  # behind transparent pixels
MOST_PIXELS = 178_956_970  # from here on Pillow, too, takes an image for a decompression bomb; 0.7 GB in its memory
MOST_TIMES_AS_LONG = 300  # the longer side, of the shorter: at 512 px that is 79 million pixels
MOST_TILES = 2**18  # of a TIFF: each takes microseconds, whatever is in it

TURNS = {  # EXIF orientation → what makes the image upright, as in `ImageOps.exif_transpose`
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}
WHITE_IS_ZERO = 0  # photometric interpretation of a TIFF
INSPECTED = 1_024  # first bytes, in which text shows what it is

# Pillow warns of what is refused here, or decoded as documented. Ignored for good: threads cannot catch warnings.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_image(cell: Any, row: int | str) -> PILImage.Image:
    """The image of a cell in the column `image`: upright, opaque and RGB; see `to_rgb`.

    Args:
        cell: `{bytes, path}`; the path is never opened.
        row: number of the row, for messages; may also say of what the row is.

    Raises:
        InputError: there are no bytes, or they are not an image of `FORMATS`; the message names `row`.
    """
    encoded = encoded_bytes(cell, row)
    try:
        with _PILLOW:
            return to_rgb(_open(encoded))
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, MemoryError …
        if encoded.startswith(LFS_POINTER):
            raise _refusal(row, "it is a Git LFS pointer", "run `git lfs pull` where it was cloned") from error
        # For an unknown format Pillow's message names a Python object, and not what is wrong.
        unknown = isinstance(error, UnidentifiedImageError)
        raise _refusal(row, _described(encoded) if unknown else str(error) or type(error).__name__) from error


def encoded_bytes(cell: Any, row: int | str) -> bytes:
    """The bytes of a cell in the column `image`.

    Raises:
        InputError: it has no bytes; the message names `row`.
    """
    cell = cell or {}
    if cell.get("bytes"):
        return cell["bytes"]
    if cell.get("bytes") is None and cell.get("path"):
        raise _refusal(row, "it has no bytes, and no file that a row names is opened", "put them into that row")
    raise _refusal(row, "it is empty" if cell else "there is none")


def to_rgb(image: PILImage.Image) -> PILImage.Image:
    """An image that Pillow has opened as 8-bit RGB: turned upright, and `BACKGROUND` behind transparent pixels.

    Raises:
        InputError: its pixels are numbers of an unknown range.
    """
    image.load()
    turn = TURNS.get(_orientation(image))
    image = _opaque(image)
    if turn is None:
        return image
    image = image.transpose(turn)
    image.info.clear()  # with its EXIF orientation, a caller could turn it again
    return image


def _opaque(image: PILImage.Image) -> PILImage.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return _upper_bits(image)
    if image.mode in ("I", "F"):
        raise InputError(
            f"its pixels, of mode {image.mode}, are numbers of an unknown range: scale them to 8 or 16 bits"
        )
    if image.mode == "La":
        image = image.convert("LA")  # converted straight to RGB, it would lose its transparency
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = PILImage.new("RGB", layer.size, BACKGROUND)
        image.paste(layer, mask=layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_bits(image: PILImage.Image) -> PILImage.Image:
    """16-bit grey as its upper 8 bits, which Pillow takes of 16-bit colours, too."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF, whose grey levels may have 12 bits, or be inverted
    numbers = np.asarray(image)
    grey = (numbers >> (tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0] - 8)).astype(np.uint8)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO:
        grey = 255 - grey
    opaque = PILImage.fromarray(grey).convert("RGB")
    if "transparency" in image.info:  # of a PNG: the grey level that is transparent
        opaque.paste(BACKGROUND, mask=PILImage.fromarray(numbers == image.info["transparency"]))
    return opaque


def _orientation(image: PILImage.Image) -> Any:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF, for which Pillow raises SyntaxError, struct.error …, counts as none
        return None


def _open(encoded: bytes) -> PILImage.Image:
    """The first frame of an image, not yet decoded."""
    image = PILImage.open(BytesIO(encoded), formats=_formats())
    short, long = sorted(image.size)
    if long > MOST_TIMES_AS_LONG * short:
        raise InputError(f"one side is more than {MOST_TIMES_AS_LONG} times as long as the other")
    if len(image.tile or ()) > MOST_TILES:  # None for an icon in older Pillows
        raise InputError(f"it is in more than {MOST_TILES:,} pieces")
    if image.format == "PNG":
        image.verify()  # all checksums: loading ignores those of the pixels
        image = PILImage.open(BytesIO(encoded), formats=_formats())
    return image


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow can read: AVIF came with 11.3."""
    PILImage.init()
    return tuple(name for name in FORMATS if name in PILImage.OPEN)


def _described(encoded: bytes) -> str:
    """What the bytes seem to be, if they are not an image."""
    start = encoded[:INSPECTED].lower()
    if b"<svg" in start:
        return "it is an SVG drawing, which has no pixels"
    if b"<html" in start or b"<!doctype html" in start:
        return "it is a web page"
    return "it is text" if start.isascii() and b"\0" not in start else "it is no picture of a format that is read"


def _refusal(row: int | str, reason: str, way_out: str = "remove or replace that row") -> InputError:
    return InputError(f"the image of row {row} cannot be decoded ({reason.rstrip('.')}): {way_out}")


class _Settings:
    """Pillow's settings, which all threads share: ours while any thread decodes, and the caller's otherwise."""

    def __init__(self) -> None:
        self.lock, self.decoding = Lock(), 0
        self.callers: tuple[bool, int | None] = (False, None)

    def __enter__(self) -> None:
        with self.lock:
            if not self.decoding:
                self.callers = ImageFile.LOAD_TRUNCATED_IMAGES, PILImage.MAX_IMAGE_PIXELS
                ImageFile.LOAD_TRUNCATED_IMAGES = False  # missing pixels would become grey
                PILImage.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow refuses twice as many, before it decodes them
            self.decoding += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.decoding -= 1
            if not self.decoding:
                ImageFile.LOAD_TRUNCATED_IMAGES, PILImage.MAX_IMAGE_PIXELS = self.callers


_PILLOW = _Settings()
