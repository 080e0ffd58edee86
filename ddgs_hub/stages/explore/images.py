"""The images that the page shows, as small pictures inside its text; no other is decoded, and no file is written."""

import base64
from collections import OrderedDict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from PIL import Image

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_selected, undecoded

KEPT = 2_048  # pictures in memory, some kilobytes each


class Size(NamedTuple):
    """How large small pictures are.

    Attributes:
        side: most px of the longer side; larger images are made smaller, by default to twice what is shown, for fine
            screens.
        quality: of these, as JPEG.
        exact: px of the longer side of images that stay as they are, pixel for pixel.
    """

    side: int = 192
    quality: int = 85
    exact: int = 64


class Thumbnails:
    """Small pictures of the rows of a folder; those that were shown lately are kept.

    Args:
        folder: in Hub layout.
        files: its Parquet files; None: those of the split `train`.
        size: of the pictures.
    """

    def __init__(self, folder: Path, files: Sequence[Path] | None = None, size: Size | None = None) -> None:
        self.folder, self.files, self.size = folder, files, size or Size()
        self._kept: OrderedDict[int, str | None] = OrderedDict()
        self._lock = Lock()  # one thread reads at a time: the next one finds what this one kept

    def of(self, rows: Sequence[int]) -> list[str | None]:
        """`data:` addresses of the pictures of these rows, at most `KEPT`; None for an image that cannot be decoded.

        Raises:
            InputError: the files cannot be read.
        """
        with self._lock:
            missing = np.array(sorted({row for row in rows if row not in self._kept}), dtype=np.int64)
            if len(missing):
                images = read_selected(self.folder, missing, files=self.files, names=["image"])
                for row, cell in zip(missing.tolist(), undecoded(images)["image"], strict=True):
                    self._kept[row] = _address(cell, row, self.size)
            for row in rows:
                self._kept.move_to_end(row)
            found = [self._kept[row] for row in rows]
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return found


def _address(cell: object, row: int, size: Size) -> str | None:
    try:
        image = decode_image(cell, row)
    except InputError:
        return None  # the page says so where it would be
    buffer = BytesIO()
    if max(image.size) <= size.exact:
        image.save(buffer, "PNG")
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    image.thumbnail((size.side, size.side), Image.Resampling.LANCZOS, reducing_gap=None)  # thin images keep a pixel
    image.save(buffer, "JPEG", quality=size.quality)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
