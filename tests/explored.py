"""A small run to look at, whose first class has a hostile name."""

from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Image, Value
from published import png

from ddgs_hub.core.rows import write_rows

HOSTILE = "<img src=x onerror=window.hacked=1> ${window.hacked=2} {{window.hacked=3}} `x` \x1b[31m"
FEATURES = Features(
    image=Image(),
    label=ClassLabel(names=[HOSTILE, "plain"]),
    pool_index=Value("int64"),
    seed=Value("int64"),
    difficulty=Value("float32"),
)


def hostile_run(folder: Path, image: bytes | None = None) -> Path:
    """A run folder with thirty images of each class in its pool, and as many original ones.

    Args:
        folder: where to write.
        image: the bytes of every image; None: they differ.
    """
    columns = {
        "image": [{"bytes": image or png(k), "path": None} for k in range(60)],
        "label": [k % 2 for k in range(60)],
        "pool_index": [k // 2 for k in range(60)],
        "seed": [None if k == 0 else k for k in range(60)],
        "difficulty": [(k % 30) / 30 for k in range(60)],
    }
    rows = Dataset.from_dict(columns, features=FEATURES)
    write_rows(rows, folder / "pool")
    write_rows(rows.remove_columns(["seed", "pool_index"]), folder / "original")
    return folder
