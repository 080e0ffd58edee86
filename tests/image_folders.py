"""Folders of images by class: drawn, or of real ones."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from ddgs_hub.core.rows import class_names, read_rows, undecoded

COLOURS = ("crimson", "seagreen", "royalblue", "goldenrod", "purple")


def draw_photos(
    folder: Path, *, images: int, validation: int = 0, size: int = 32, names: tuple[str, ...] = COLOURS
) -> Path:
    """Discs of one colour for each class, each at another place; `train/<class>/` where there are validation images."""
    random = np.random.default_rng(0)
    for split, count in (("train", images), ("validation", validation)):
        for name, colour in zip(names, COLOURS, strict=False):
            place = folder / split / name if validation else folder / name
            for k in range(count):
                place.mkdir(parents=True, exist_ok=True)
                picture = PILImage.fromarray(random.integers(0, 60, (size, size, 3), dtype=np.uint8))
                x, y, r = (int(v) for v in random.integers(size // 4, size // 2, 3))
                ImageDraw.Draw(picture).ellipse([x - r // 2, y - r // 2, x + r, y + r], fill=colour)
                picture.save(place / f"{k:03d}.png")
    return folder


def photos_of(source: Path, folder: Path, *, names: tuple[str, ...], images: int, validation: int, size: int) -> Path:
    """Real images of a dataset in Hub layout as JPEG files by class, `size` px."""
    for split, count in (("train", images), ("validation", validation)):
        rows = read_rows(source, split, names=["image", "label"])
        labels, known = np.asarray(rows["label"]), class_names(rows)
        for name in names:
            (place := folder / split / name).mkdir(parents=True)
            chosen = np.flatnonzero(labels == known.index(name))[:count]
            for k, cell in enumerate(undecoded(rows.select(chosen))["image"]):
                picture = PILImage.open(BytesIO(cell["bytes"])).convert("RGB").resize((size, size))
                picture.save(place / f"{k:03d}.jpg", quality=90)
    return folder
