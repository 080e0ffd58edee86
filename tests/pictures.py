"""Pictures that are odd but right, with the pixels that they stand for, and pictures that are to be refused."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageSequence
from PIL import Image as PILImage

SIZE = 16  # px of a side of the odd pictures
Pixels = NDArray[np.uint8]


def noise(seed: int, *shape: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


COLOURS = noise(1, SIZE, SIZE, 3)
GREY = noise(2, SIZE, SIZE)
ALPHA = noise(3, SIZE, SIZE)
DEEP = (np.arange(SIZE * SIZE, dtype=np.uint16) * 257).reshape(SIZE, SIZE)  # 0 … 65,535
TURNED: dict[int, Callable[[Any], Any]] = {  # EXIF orientation → what is seen
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}


@dataclass(frozen=True)
class Odd:
    """Encoded bytes, and the uint8 `(SIZE, SIZE, 3)` that they stand for."""

    encoded: bytes
    pixels: Pixels


def saved(image: PILImage.Image | Pixels, kind: str, **how: Any) -> bytes:
    image = image if isinstance(image, PILImage.Image) else PILImage.fromarray(image)
    buffer = BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def plain(encoded: bytes) -> Pixels:
    """What Pillow alone makes of it."""
    return np.asarray(PILImage.open(BytesIO(encoded)).convert("RGB"))


def grey(values: Pixels) -> Pixels:
    return np.repeat(values[:, :, None], 3, axis=2)


def over_white(colours: Pixels, alpha: Pixels) -> Pixels:
    share = alpha[:, :, None] / 255
    return (colours * share + 255 * (1 - share)).round().astype(np.uint8)


def oriented(orientation: int, kind: str = "JPEG", pixels: Pixels = COLOURS, **how: Any) -> bytes:
    exif = PILImage.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return saved(pixels, kind, exif=exif, **how)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, pixels: bytes, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    end = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + end


def tiff(values: bytes, size: int, bits: int, *, zero_is_white: bool = False, strips: int = 1) -> bytes:
    """A square grey TIFF, little-endian, without compression."""
    tags = {256: size, 257: size, 258: bits, 259: 1, 262: int(not zero_is_white), 273: 8, 277: 1, 278: size}
    ifd = b"".join(struct.pack("<HHII", tag, 4, strips if tag == 273 else 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(values)) + values + struct.pack("<H", len(tags)) + ifd + bytes(4)


def _palette() -> tuple[PILImage.Image, Pixels]:
    """A picture whose pixels are the indices `GREY`, and the 256 colours that these mean."""
    image, colours = PILImage.fromarray(GREY), noise(4, 256, 3)
    image.putpalette(colours.tobytes())
    return image, colours


def _frames(kind: str, **how: Any) -> bytes:
    first, *others = (PILImage.fromarray(noise(seed, SIZE, SIZE, 3)) for seed in (1, 5, 6))
    return saved(first, kind, save_all=True, append_images=others, **how)


def _gif() -> Odd:
    first, colours = _palette()
    encoded = saved(first, "GIF", save_all=True, append_images=[PILImage.new("P", first.size)], optimize=False)
    assert len(list(ImageSequence.Iterator(PILImage.open(BytesIO(encoded))))) == 2
    return Odd(encoded, colours[GREY])


def odd_pictures() -> dict[str, Odd]:
    """What it is → a picture."""
    jpeg = saved(COLOURS, "JPEG")
    cmyk = saved(PILImage.fromarray(COLOURS).convert("CMYK"), "JPEG")
    palette, colours, opacity = *_palette(), noise(7, 256)
    deep, bits = grey((DEEP >> 8).astype(np.uint8)), GREY > 127
    return {
        "a photograph on its side": Odd(oriented(6), TURNED[6](plain(jpeg))),
        "damaged EXIF": Odd(saved(COLOURS, "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff and no more"), plain(jpeg)),
        "16-bit grey": Odd(saved(DEEP, "PNG"), deep),
        "16-bit grey, TIFF": Odd(saved(DEEP, "TIFF"), deep),
        "16-bit grey, PGM": Odd(b"P5 16 16 65535\n" + DEEP.astype(">u2").tobytes(), deep),
        "16-bit grey, zero is white": Odd(tiff(DEEP.tobytes(), SIZE, 16, zero_is_white=True), 255 - deep),
        "transparency": Odd(saved(np.dstack([COLOURS, ALPHA]), "PNG"), over_white(COLOURS, ALPHA)),
        "a transparent palette": Odd(
            saved(palette, "PNG", transparency=opacity.tobytes()), over_white(colours[GREY], opacity[GREY])
        ),
        "grey and transparent": Odd(saved(np.dstack([GREY, ALPHA]), "PNG"), over_white(grey(GREY), ALPHA)),
        "one bit": Odd(saved(bits, "PNG"), grey(bits.astype(np.uint8) * 255)),
        "CMYK": Odd(cmyk, plain(cmyk)),
        "an animation, GIF": _gif(),
        "an animation, WebP": Odd(_frames("WEBP", lossless=True), COLOURS),
        "an animation, PNG": Odd(_frames("PNG"), COLOURS),
        "several pages": Odd(_frames("TIFF"), COLOURS),
    }


def _damaged() -> bytes:
    """A PNG with a wrong checksum of its pixels."""
    encoded = bytearray(saved(COLOURS, "PNG"))
    start = encoded.index(b"IDAT")
    (length,) = struct.unpack(">I", encoded[start - 4 : start])
    encoded[start + 4 + length] ^= 1
    return bytes(encoded)


def _giant() -> bytes:
    """A JPEG whose header says 60,000 × 60,000 px."""
    encoded = bytearray(saved(COLOURS, "JPEG"))
    start = encoded.index(b"\xff\xc0") + 5
    encoded[start : start + 4] = struct.pack(">HH", 60_000, 60_000)
    return bytes(encoded)


BOMB = png(60_000, 60_000, b"\0" * 1_000_000)
BAD: dict[str, tuple[Any, str]] = {  # what it is → a cell, and what is said of it
    "a bomb": ({"bytes": BOMB}, "3600000000 pixels"),
    "a bomb, JPEG": ({"bytes": _giant()}, "3600000000 pixels"),
    "cut short, JPEG": ({"bytes": saved(COLOURS, "JPEG")[:-60]}, "truncated"),
    "cut short, PNG": ({"bytes": saved(COLOURS, "PNG")[:-60]}, "[Tt]runcated"),
    "a wrong checksum": ({"bytes": _damaged()}, "checksum"),
    "an endless profile": (
        {"bytes": png(1, 1, b"\0\0\0\0", chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**24))))},
        "Decompressed [Dd]ata [Tt]oo [Ll]arge",
    ),
    "endless text": (
        {"bytes": png(1, 1, b"\0\0\0\0", chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(2**24))))},
        "Decompressed [Dd]ata [Tt]oo [Ll]arge",
    ),
    "a giant tag": ({"bytes": tiff(bytes(256), SIZE, 8, strips=2**30)}, "no picture of a format that is read"),
    "numbers without a range": ({"bytes": saved(noise(0, 4, 4).astype(np.float32), "TIFF")}, "unknown range"),
    "thin": ({"bytes": saved(noise(0, 2_000, 1), "PNG")}, "more than 300 times as long"),
    "PostScript": ({"bytes": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"}, "it is text"),
    "a metafile": ({"bytes": b"\xd7\xcd\xc6\x9a\0\0" + bytes(40)}, "no picture of a format that is read"),
    "an SVG": ({"bytes": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'}, "SVG drawing"),
    "a web page": ({"bytes": b"<!DOCTYPE html><html>404</html>"}, "web page"),
    "text": ({"bytes": b"no image at all"}, "it is text"),
    "noise": ({"bytes": noise(9, 500).tobytes()}, "no picture of a format that is read"),
    "a Git LFS pointer": (
        {"bytes": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"},
        "Git LFS pointer.*: run `git lfs pull`",
    ),
    "nothing": ({"bytes": b""}, "it is empty"),
}
