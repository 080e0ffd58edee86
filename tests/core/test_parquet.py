"""How Parquet is written: the same bytes for the same rows, and for nearly the same rows nearly the same bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value, load_dataset
from hf_xet import SKIP_SHA256, XetSession

from ddgs_hub.core import parquet
from ddgs_hub.core.parquet import IMAGE_PAGE, write_parquet
from ddgs_hub.core.rows import read_rows, undecoded

FEATURES = Features(
    image=Image(), label=ClassLabel(names=["zero", "one"]), wnid=Value("string"), difficulty=Value("float32")
)
SCHEMA = FEATURES.arrow_schema
COUNT = 400


def table(count: int = COUNT, smallest: int = IMAGE_PAGE) -> pa.Table:
    """Rows with bytes that nothing can compress in the place of images."""
    rng = np.random.default_rng(0)
    images = [rng.bytes(int(size)) for size in rng.integers(smallest, 3 * smallest, count)]
    columns = {
        "image": [{"bytes": image, "path": None} for image in images],
        "label": [k % 2 for k in range(count)],
        "wnid": [None if k % 3 else f"n{k % 6}" for k in range(count)],
        "difficulty": rng.random(count, dtype=np.float32),
    }
    return pa.table(columns, schema=SCHEMA)


def without(rows: pa.Table, *gone: int) -> pa.Table:
    return rows.take(np.delete(np.arange(len(rows)), gone))


def pages_of_images(path: Path) -> bytes:
    column = pq.read_metadata(path).row_group(0).column(0)
    start = column.data_page_offset
    return path.read_bytes()[start : start + column.total_compressed_size]


def sent(folder: Path, *files: Path) -> list[int]:
    """What hf-xet sends of each file to a store that has those before."""
    counts = []
    for file in files:
        commit = XetSession().new_upload_commit(endpoint=f"local://{folder}")
        commit.start_upload_file(str(file), sha256=SKIP_SHA256)
        counts.append(commit.wait_to_finish().dedup_metrics.total_bytes_uploaded)
    return counts


def test_bytes_do_not_depend_on_how_the_rows_come(tmp_path: Path) -> None:
    rows = table()
    for size in (1, 7, 256, COUNT):
        pieces = (rows.slice(start, size) for start in range(0, COUNT, size))
        assert write_parquet(pieces, SCHEMA, tmp_path / f"{size}") == COUNT
    assert len({(tmp_path / f"{size}").read_bytes() for size in (1, 7, 256, COUNT)}) == 1
    assert pq.read_table(tmp_path / "7").equals(rows)


def test_row_groups_end_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 30_000)
    rows = pa.table({"seed": np.arange(10_000)})
    write_parquet([rows.slice(start, 1_000) for start in range(0, 10_000, 1_000)], rows.schema, tmp_path / "file")
    meta = pq.read_metadata(tmp_path / "file")
    assert [meta.row_group(k).num_rows for k in range(meta.num_row_groups)] == [4_000, 4_000, 2_000]


def test_no_rows_are_a_file_too(tmp_path: Path) -> None:
    assert write_parquet([], SCHEMA, tmp_path / "none") == 0
    assert write_parquet([table(0)], SCHEMA, tmp_path / "empty") == 0
    assert pq.read_table(tmp_path / "empty").schema.equals(SCHEMA)
    assert (tmp_path / "none").read_bytes() == (tmp_path / "empty").read_bytes()


def test_images_are_not_compressed_again_and_every_column_has_a_page_index(tmp_path: Path) -> None:
    write_parquet([table(50)], SCHEMA, tmp_path / "file")
    group = pq.read_metadata(tmp_path / "file").row_group(0)
    columns = {group.column(k).path_in_schema: group.column(k) for k in range(group.num_columns)}
    assert {path: column.compression for path, column in columns.items()} == {
        "image.bytes": "UNCOMPRESSED",
        **dict.fromkeys(("image.path", "label", "wnid", "difficulty"), "ZSTD"),
    }
    assert all(column.has_offset_index for column in columns.values())
    assert columns["label"].has_column_index  # its smallest and largest value of each page
    assert not columns["image.bytes"].has_column_index
    assert columns["image.bytes"].statistics is None


def test_a_row_that_goes_leaves_the_bytes_of_all_other_images(tmp_path: Path) -> None:
    rows, gone = table(60), 20
    for name, written in (("old", rows), ("new", without(rows, gone))):
        write_parquet([written], SCHEMA, tmp_path / name)
    old, new = (pages_of_images(tmp_path / name) for name in ("old", "new"))
    length = len(old) - len(new)
    assert length - len(rows["image"][gone]["bytes"].as_py()) < 100  # the head of its page
    same = next(k for k, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1])
    assert old[same + length :] == new[same:]


def test_xet_sends_little_of_a_file_that_lacks_three_rows(tmp_path: Path) -> None:
    rows = table()
    for name, written in (("old", rows), ("new", without(rows, 50, 51, 300))):
        write_parquet([written], SCHEMA, tmp_path / name)
        pq.write_table(written, tmp_path / f"{name}-snappy", row_group_size=256)
    ours = sent(tmp_path / "ours", tmp_path / "old", tmp_path / "new")
    plain = sent(tmp_path / "plain", tmp_path / "old-snappy", tmp_path / "new-snappy")
    assert ours[1] < ours[0] / 6  # a few chunks of 64 kB
    assert ours[1] < plain[1] / 3


def test_xet_sends_no_image_where_a_column_changes(tmp_path: Path) -> None:
    rows = table()
    others = rows.set_column(3, SCHEMA.field(3), pa.array(np.linspace(0, 1, COUNT, dtype=np.float32)))
    for name, written in (("old", rows), ("new", others)):
        write_parquet([written], SCHEMA, tmp_path / name)
    assert sent(tmp_path / "store", tmp_path / "old", tmp_path / "new")[1] < 150_000


@pytest.mark.parametrize("options", [{}, {"compression": "snappy", "row_group_size": 16}, {"compression": "gzip"}])
def test_files_of_earlier_versions_and_of_others_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "data").mkdir()
    rows = table(40, smallest=50)
    pq.write_table(rows, tmp_path / "data" / "train-00000-of-00001.parquet", **options)
    assert undecoded(read_rows(tmp_path)).data.table.equals(rows)


def test_stock_datasets_streams_what_is_written(tmp_path: Path) -> None:
    rows = table(40)
    (tmp_path / "data").mkdir()
    write_parquet([rows], SCHEMA, tmp_path / "data" / "train-00000-of-00001.parquet")
    streamed = load_dataset(str(tmp_path), split="train", streaming=True).cast_column("image", Image(decode=False))
    assert list(streamed) == rows.to_pylist()


def test_lists_of_numbers_are_written(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"mean": [[0.5, 1.0], [2.0, 3.0]]}).with_format("arrow")[:]
    write_parquet([rows], rows.schema, tmp_path / "file")
    assert pq.read_table(tmp_path / "file").equals(rows)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_and_no_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (parquet.GROUP_BYTES, 1):  # at the end, and at the first row group
        monkeypatch.setattr(parquet, "GROUP_BYTES", size)
        with pytest.raises(OSError, match="No space left"):
            write_parquet([table(50)], SCHEMA, Path("/dev/full"))
