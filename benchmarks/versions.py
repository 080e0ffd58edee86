"""What a new version sends of a dataset whose old version is on the Hub: `python -m benchmarks.versions [FOLDER ...]`.

The bytes are counted by hf-xet itself, the client that sends a file to the Hub: it cuts both versions into chunks and
sends those that its store, here a folder, does not have. Each FOLDER holds a dataset in Hub layout, such as the pool of
a run, or images of one's own; without any, the images are cuts of two photographs, as JPEGs and as PNGs.
"""

import argparse
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Image, Value, disable_progress_bars
from hf_xet import SKIP_SHA256, XetSession
from PIL import Image as PILImage
from sklearn.datasets import load_sample_images

from ddgs_hub.core.parquet import write_parquet
from ddgs_hub.core.rows import read_tables

ROWS, SPARE = 1200, 200  # of the old version; and more, to replace some of them
SCORES = 400_000  # rows of the table without images
CLASSES = 10
SIDE = {"JPEG": 320, "PNG": 112}  # px
FEATURES = Features(
    image=Image(),
    label=ClassLabel(names=[f"class {k}" for k in range(CLASSES)]),
    pool_index=Value("int64"),
    seed=Value("int64"),
    difficulty=Value("float32"),
)
SCORE_FEATURES = Features({name: FEATURES[name] for name in ("label", "seed", "difficulty")})
Write = Callable[[pa.Table, Path], object]


def groups_of_256(table: pa.Table, path: Path) -> None:
    """Row groups of 256 rows and Snappy, without a page index: pyarrow's defaults, as ddgs-hub once wrote."""
    pq.write_table(table, path, row_group_size=256)


def chunked(table: pa.Table, path: Path) -> None:
    """The same, with content-defined chunking and a page index."""
    pq.write_table(table, path, row_group_size=256, use_content_defined_chunking=True, write_page_index=True)


def uncompressed(table: pa.Table, path: Path) -> None:
    """Groups of 256 rows and a page index; images uncompressed."""
    plain = [name for name in table.schema.names if name != "image"]
    compression = {**dict.fromkeys(plain, "snappy"), "image.bytes": "none", "image.path": "none"}
    pq.write_table(
        table, path, row_group_size=256, compression=compression, use_dictionary=plain, write_page_index=True
    )


def as_datasets(table: pa.Table, path: Path) -> None:
    """`Dataset.to_parquet` of the installed datasets."""
    Dataset(table).to_parquet(path)


def ours(table: pa.Table, path: Path) -> None:
    """What ddgs-hub writes."""
    write_parquet([table], table.schema, path)


WAYS: dict[str, Write] = {
    "Snappy, groups of 256 rows": groups_of_256,
    "the same, chunked": chunked,
    "images uncompressed": uncompressed,
    "as datasets writes it": as_datasets,
    "ours": ours,
}


def cuts(kind: str, count: int) -> list[bytes]:
    """Square cuts of two photographs, encoded."""
    rng, images = np.random.default_rng(0), []
    photos = [PILImage.fromarray(photo) for photo in load_sample_images().images]
    for k in range(count):
        side = int(rng.integers(SIDE[kind] // 2, SIDE[kind]))
        left, top = int(rng.integers(640 - side)), int(rng.integers(427 - side))
        buffer = BytesIO()
        photos[k % 2].crop((left, top, left + side, top + side)).save(buffer, kind)
        images.append(buffer.getvalue())
    return images


def read_images(folder: str) -> list[bytes]:
    """Images of a folder in Hub layout, as many as are needed, of all classes."""
    _, tables = read_tables(folder, names=("image",))
    images = [image["bytes"] for table in tables for image in table.column("image").to_pylist()]
    if len(images) > ROWS + SPARE:
        images = [images[k] for k in np.random.default_rng(0).choice(len(images), ROWS + SPARE, replace=False)]
    return images


def distilled(images: list[bytes]) -> pa.Table:
    """Rows as those of a distilled set."""
    rng, count = np.random.default_rng(0), len(images)
    columns = {
        "image": [{"bytes": image, "path": None} for image in images],
        "label": np.arange(count) * CLASSES // count,
        "pool_index": rng.permutation(count),
        "seed": rng.integers(2**31, size=count),
        "difficulty": rng.random(count, dtype=np.float32),
    }
    return pa.table(columns, schema=FEATURES.arrow_schema)


def scores(count: int) -> pa.Table:
    """Rows as those of an original whose images are not published."""
    rng = np.random.default_rng(0)
    columns = {
        "label": rng.integers(CLASSES, size=count),
        "seed": np.arange(count),
        "difficulty": rng.beta(1, 4, count).astype(np.float32),
    }
    return pa.table(columns, schema=SCORE_FEATURES.arrow_schema)


def changes(old: pa.Table, spare: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """New versions: what differs, and the rows."""
    rng, count = np.random.default_rng(1), len(old)
    yield "3 rows go", old.take(np.delete(np.arange(count), rng.choice(count, 3, replace=False)))
    both = pa.concat_tables([old, spare])
    for replaced in (12, min(120, len(spare))):
        rows = np.arange(count)
        rows[rng.choice(count, replaced, replace=False)] = count + np.arange(replaced)
        yield f"{replaced} replaced", both.take(rows)
    column = old.schema.get_field_index("difficulty")
    yield "difficulties", old.set_column(column, old.schema.field(column), pa.array(rng.random(count, np.float32)))


def sent(write: Write, versions: tuple[pa.Table, pa.Table]) -> tuple[int, int]:
    """Size of the new version's file, and what hf-xet sends of it to a store that has the old one, in bytes."""
    size = new = 0
    with TemporaryDirectory() as place:
        for number, table in enumerate(versions):
            path = Path(place, f"{number}.parquet")
            write(table, path)
            commit = XetSession().new_upload_commit(endpoint=f"local://{place}/store")
            commit.start_upload_file(str(path), sha256=SKIP_SHA256)
            size, new = path.stat().st_size, commit.wait_to_finish().dedup_metrics.total_bytes_uploaded
    return size, new


def compare(title: str, rows: pa.Table, spare: pa.Table) -> None:
    """Prints, for each way of writing, the bytes of the new version that are sent, and how much fewer ours are."""
    print(f"\n{title}: {len(rows):,} rows\n{'':28}{'MB':>7}", end="")
    versions = list(changes(rows, spare))
    print("".join(f"{name:>20}" for name, _ in versions))
    table = {way: [sent(write, (rows, new)) for _, new in versions] for way, write in WAYS.items()}
    for way, counted in table.items():
        shares = "".join(f"{new / 1e6:10.2f} MB {new / size:5.1%} " for size, new in counted)
        print(f"{way:28}{counted[0][0] / 1e6:7.2f}{shares}")
    first, last = table[next(iter(WAYS))], table["ours"]
    ratios = (before[1] / after[1] for before, after in zip(first, last, strict=True))
    print(f"{'ratio':35}" + "".join(f"{ratio:19.1f}×" for ratio in ratios))


def main() -> None:
    """Prints a table for each dataset, and one for scores without images."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="datasets in Hub layout, with images")
    disable_progress_bars()
    sources = {folder: read_images(folder) for folder in parser.parse_args().folders}
    for title, images in (sources or {f"photographs as {kind}s": cuts(kind, ROWS + SPARE) for kind in SIDE}).items():
        count = len(images) * ROWS // (ROWS + SPARE)
        rows = distilled(images)
        compare(f"{title}, {np.mean([*map(len, images)]) / 1000:.1f} kB an image", rows[:count], rows[count:])
    rows = scores(SCORES + SPARE)
    compare("scores without images", rows[:SCORES], rows[SCORES:])


if __name__ == "__main__":
    main()
