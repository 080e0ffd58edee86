"""The one decoding of pictures: which pixels the bytes of a file stand for, and what is refused."""

import re
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pictures import (
    ALPHA,
    BAD,
    BOMB,
    COLOURS,
    GREY,
    TURNED,
    Odd,
    chunk,
    grey,
    noise,
    odd_pictures,
    oriented,
    over_white,
    plain,
    png,
    saved,
)
from PIL import Image as PILImage
from PIL import ImageFile

from ddgs_hub.core.decoding import decode_image, encoded_bytes, to_rgb
from ddgs_hub.core.errors import InputError

# Pillow's: pytest has warnings shown that the decoding keeps to itself.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ODD = odd_pictures()


def pixels_of(encoded: bytes) -> np.ndarray:
    image = decode_image({"bytes": encoded, "path": None}, 0)
    assert image.mode == "RGB"
    return np.asarray(image)


# Pixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "TGA"])
def test_ordinary_pictures_are_what_pillow_makes_of_them(kind: str) -> None:
    for picture in (COLOURS, GREY, noise(5, 7, 30, 3)):
        encoded = saved(picture, kind, sizes=[picture.shape[1::-1]])  # of an icon
        np.testing.assert_array_equal(pixels_of(encoded), plain(encoded))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_pictures_are_what_they_stand_for(odd: Odd) -> None:
    np.testing.assert_array_equal(pixels_of(odd.encoded), odd.pixels)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(
    ("kind", "how"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("JPEG", {})],
    ids=["PNG", "WebP", "TIFF", "TIFF, compressed", "JPEG"],
)
def test_every_orientation_is_made_upright(kind: str, how: dict[str, str], orientation: int) -> None:
    picture = noise(3, 6, 10, 3)
    upright = plain(saved(picture, kind, **how))
    turned = pixels_of(oriented(orientation, kind, picture, **how))
    np.testing.assert_array_equal(turned, TURNED[orientation](upright))


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_is_none_turns_nothing(orientation: int) -> None:
    np.testing.assert_array_equal(pixels_of(oriented(orientation)), plain(saved(COLOURS, "JPEG")))


def test_an_upright_picture_is_not_turned_again() -> None:
    image = decode_image({"bytes": oriented(6)}, 0)
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), np.asarray(image))


def test_orientation_and_transparency_together() -> None:
    layers = np.dstack([COLOURS, ALPHA])
    np.testing.assert_array_equal(pixels_of(oriented(8, "PNG", layers)), np.rot90(over_white(COLOURS, ALPHA)))


def test_a_colour_or_a_grey_that_is_transparent() -> None:
    red = chunk(b"tRNS", bytes([0, 1, 0, 2, 0, 3]))
    assert pixels_of(png(2, 1, bytes([0, 1, 2, 3, 4, 5, 6]), red)).tolist() == [[[255] * 3, [4, 5, 6]]]
    deep = np.array([1_000, 40_000], ">u2").tobytes()
    thousand = chunk(b"tRNS", (1_000).to_bytes(2, "big"))
    assert pixels_of(png(2, 1, b"\0" + deep, thousand, depth=16, colour=0)).tolist() == [[[255] * 3, [156] * 3]]


def test_pictures_that_are_opened_already() -> None:
    layers = PILImage.fromarray(np.dstack([GREY, np.where(ALPHA > 127, 255, 0).astype(np.uint8)]))
    shown = np.where(ALPHA > 127, GREY, 255).astype(np.uint8)
    for mode in ("LA", "La", "RGBA", "RGBa"):
        image = layers if mode == "LA" else layers.convert("La" if mode == "La" else "RGBA").convert(mode)
        np.testing.assert_array_equal(np.asarray(to_rgb(image)), grey(shown))
    for mode in ("I", "F"):
        with pytest.raises(InputError, match=f"its pixels, of mode {mode}, are numbers of an unknown range"):
            to_rgb(PILImage.new(mode, (2, 2)))


# Refusals


@pytest.mark.parametrize(("cell", "reason"), BAD.values(), ids=BAD)
def test_a_bad_picture_is_refused_in_a_sentence_with_its_row(cell: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        decode_image(cell, "12 of the pool")
    assert re.fullmatch(r"the image of row 12 of the pool cannot be decoded \(.*\): [^:]*", str(refused.value))
    assert "object at" not in str(refused.value)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "there is none"),
        ({"bytes": None, "path": None}, "it is empty"),
        ({"bytes": None, "path": "/etc/passwd"}, "it has no bytes, and no file that a row names is opened"),
        ({"bytes": b"", "path": "a.png"}, "it is empty"),
    ],
)
def test_a_cell_without_bytes_is_refused(cell: dict | None, reason: str) -> None:
    for take in (decode_image, encoded_bytes):
        with pytest.raises(InputError, match=f"the image of row 4 cannot be decoded \\({reason}\\): "):
            take(cell, 4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "TGA"])
def test_a_file_that_is_cut_short_is_whole_or_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as other libraries set it
    encoded = saved(COLOURS, kind)
    for length in (*range(1, len(encoded), len(encoded) // 20), *range(len(encoded) - 8, len(encoded))):
        try:
            cut = pixels_of(encoded[:length])
        except InputError:
            continue
        assert length > len(encoded) - 30  # what is left out is no pixel
        np.testing.assert_array_equal(cut, plain(encoded))
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", None)  # as other libraries set it
    icon = b"\0\0\1\0\1\0" + bytes(4) + b"\1\0\x20\0" + len(BOMB).to_bytes(4, "little") + b"\x16\0\0\0" + BOMB
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**26, limits[1]))
    try:
        for bomb in (BOMB, icon, BAD["a bomb, JPEG"][0]["bytes"], png(14_000, 12_783, b"")):
            with pytest.raises(InputError, match=r"Image size \(\d+ pixels\) exceeds limit of 178956970 pixels"):
                decode_image({"bytes": bomb}, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert PILImage.MAX_IMAGE_PIXELS is None


def test_a_tiff_of_too_many_pieces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddgs_hub.core.decoding.MOST_TILES", 0)
    with pytest.raises(InputError, match="it is in more than 0 pieces"):
        decode_image({"bytes": saved(COLOURS, "TIFF")}, 0)


def test_pillow_does_not_warn_on_the_terminal(tmp_path: Path) -> None:
    large = png(10_000, 10_000, b"")  # a warning, and then no pixels
    files = [large, saved(COLOURS, "TIFF")[:-9], ODD["damaged EXIF"].encoded, BAD["a giant tag"][0]["bytes"]]
    for k, encoded in enumerate(files):
        (tmp_path / f"{k}").write_bytes(encoded)
    script = """
import pathlib, sys
from ddgs_hub.core.decoding import decode_image
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        decode_image({"bytes": path.read_bytes()}, path.name)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.count("cannot be decoded") == 3
    assert done.stderr == ""


def test_pillow_has_the_callers_settings_again_when_the_last_thread_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 1)
    whole, cut = saved(noise(0, 300, 300, 3), "PNG"), saved(noise(0, 300, 300, 3), "JPEG")[:-500]

    def refused(encoded: bytes) -> bool:
        try:
            decode_image({"bytes": encoded}, 0)
        except InputError:
            return True
        return False

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(refused, [whole, cut] * 40)) == [False, True] * 40
    assert (ImageFile.LOAD_TRUNCATED_IMAGES, PILImage.MAX_IMAGE_PIXELS) == (True, 1)
