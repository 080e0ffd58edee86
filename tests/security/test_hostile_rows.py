"""Rows that a stranger wrote: nothing that they name is opened, and what cannot be used is one sentence."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Audio, ClassLabel, Features, Image, List, Value
from PIL import Image as PILImage

from ddgs_hub.core.columns import COLUMNS
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import parquet_path, read_rows, undecoded, write_rows
from ddgs_hub.hub import open_pool
from ddgs_hub.hub.folders.hashes import hash_pool
from ddgs_hub.original import Spool, load_rows, open_source, write_original

NAMES = ["cat", "dog"]
ADDRESSES = (
    "file:///etc/hostname",
    "https://127.0.0.1:9/x.png",
    "hf://datasets/ada/private/x.png",
    "/proc/self/environ",
)


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    PILImage.new("RGB", (4, 4), (seed, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def metadata(**features: Any) -> dict[bytes, bytes]:
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


LABEL = {"_type": "ClassLabel", "names": NAMES}
GOOD = {
    "image": pa.array([{"bytes": png(k), "path": None} for k in range(4)], Image().pa_type),
    "label": [0, 1, 0, 1],
    "difficulty": pa.array([0.1, 0.2, 0.3, 0.4], pa.float32()),
}


def table(**columns: Any) -> pa.Table:
    return pa.table({**GOOD, **columns}).replace_schema_metadata(metadata(image={"_type": "Image"}, label=LABEL))


def write(folder: Path, rows: pa.Table | bytes) -> Path:
    path = parquet_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    else:
        pq.write_table(rows, path)
    return folder


def spooled(folder: Path, into: Path) -> Any:
    spool = Spool(str(folder), "train", into)
    spool.open()
    spool.fetch()
    return spool.rows()


def sampled(folder: Path, into: Path) -> pa.Table:
    schema, tables = open_pool(folder, folder).tables()
    return pa.concat_tables([schema.empty_table(), *tables])


# Each way by which rows come in from a folder.
WAYS: dict[str, Callable[[Path, Path], Any]] = {
    "prepare": lambda folder, out: write_original(str(folder), out, splits={"train": "train"}),
    "score": spooled,
    "load": lambda folder, out: load_rows(folder),
    "sample": sampled,
    "stream": lambda folder, out: list(open_source(str(folder), "train").read()),
    "hash": lambda folder, out: hash_pool(folder),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[[Path, Path], Any]:
    return WAYS[request.param]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A picture of the user's that no row may bring out; whoever reads it is seen."""
    path = tmp_path / "home" / "canary.png"
    path.parent.mkdir()
    path.write_bytes(png(99))
    return path


def images(*cells: Any, kind: Any = None) -> pa.Array:
    return pa.array([*cells, *([{"bytes": png(), "path": None}] * (4 - len(cells)))], kind or Image().pa_type)


@pytest.mark.parametrize("address", ["canary", *ADDRESSES])
def test_a_row_that_names_its_image_is_refused_on_every_way(
    way: Callable[[Path, Path], Any], address: str, canary: Path, tmp_path: Path
) -> None:
    path = str(canary) if address == "canary" else address
    rows = table(image=images({"bytes": png(), "path": path}, {"bytes": None, "path": path}))
    with pytest.raises(InputError, match=r"^row 1 of .* has no bytes of an image: what a row only names is never"):
        way(write(tmp_path / "in", rows), tmp_path / "out")
    assert not any(canary.read_bytes() in file.read_bytes() for file in files(tmp_path / "out"))


def test_of_a_row_with_bytes_the_path_goes_no_further(
    way: Callable[[Path, Path], Any], canary: Path, tmp_path: Path
) -> None:
    rows = table(image=images({"bytes": png(7), "path": str(canary)}))
    way(write(tmp_path / "in", rows), tmp_path / "out")
    assert not any(str(canary).encode() in file.read_bytes() for file in files(tmp_path / "out"))
    first = undecoded(load_rows(tmp_path / "in"))[0]["image"]
    assert first == {"bytes": png(7), "path": None}


def other_columns(canary: Path) -> dict[str, tuple[pa.Array, Any]]:
    cell = {"bytes": None, "path": str(canary)}
    struct = Image().pa_type
    return {
        "image": (pa.array([cell] * 4, struct), Image()),
        "audio": (pa.array([cell] * 4, struct), Audio()),
        "image list": (pa.array([[cell]] * 4, pa.list_(struct)), List(Image())),
        "struct": (pa.array([{"deep": [cell]}] * 4, pa.struct({"deep": pa.list_(struct)})), {"deep": List(Image())}),
        "text": (pa.array([str(canary)] * 4), Value("string")),
    }


@pytest.mark.parametrize("kind", ["image", "audio", "image list", "struct", "text"])
def test_another_column_goes_nowhere_whatever_is_nested_in_it(
    way: Callable[[Path, Path], Any], kind: str, canary: Path, tmp_path: Path
) -> None:
    column, feature = other_columns(canary)[kind]
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES), "extra": feature})
    rows = pa.table({**GOOD, "extra": column}).replace_schema_metadata(features.arrow_schema.metadata)
    result = way(write(tmp_path / "in", rows), tmp_path / "out")
    content = b"".join(file.read_bytes() for file in files(tmp_path / "out"))
    assert canary.read_bytes() not in content
    assert str(canary).encode() not in content
    assert "extra" not in getattr(result, "column_names", [])


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def with_metadata(value: bytes) -> pa.Table:
    return table().replace_schema_metadata({b"huggingface": value})


def named(names: Any) -> pa.Table:
    return table().replace_schema_metadata(metadata(label={"_type": "ClassLabel", "names": names}))


def twice(name: str) -> pa.Table:
    rows = table()
    return rows.append_column(pa.field(name, rows.schema.field(name).type), rows.column(name))


HOSTILE: dict[str, Callable[[], pa.Table | bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"version https://git-lfs.github.com/spec/v1\n",
    "magic alone": lambda: b"PAR1PAR1",
    "absurd footer": lambda: b"PAR1" + b"\xff" * 64 + b"\xff\xff\xff\x7fPAR1",
    "half": lambda: file(table())[:-200],
    "images are numbers": lambda: table(image=[1, 2, 3, 4]),
    "images are texts": lambda: table(image=["/etc/passwd"] * 4),
    "images are lists": lambda: table(image=[[png()]] * 4),
    "images are null": lambda: table(image=pa.nulls(4)),
    "an image is null": lambda: table(image=images(None)),
    "bytes are texts": lambda: table(image=pa.array([{"bytes": "a", "path": None}] * 4)),
    "bytes are numbers": lambda: table(image=pa.array([{"bytes": 1, "path": None}] * 4)),
    "structs of paths": lambda: table(image=pa.array([{"path": "/etc/passwd"}] * 4)),
    "structs of more": lambda: table(image=pa.array([{"bytes": png(), "path": "", "array": [1]}] * 4)),
    "two columns image": lambda: twice("image"),
    "two columns label": lambda: twice("label"),
    "label below": lambda: table(label=[0, -1, 0, 1]),
    "label above": lambda: table(label=[0, 2, 0, 1]),
    "label null": lambda: table(label=pa.array([0, None, 0, 1])),
    "labels null": lambda: table(label=pa.nulls(4, pa.int64())),
    "label huge": lambda: table(label=pa.array([2**63, 0, 0, 1], pa.uint64())),
    "labels are numbers with a point": lambda: table(label=[0.0, 1.5, 0.0, 1.0]),
    "labels are lists": lambda: table(label=[[0], [1], [0], [1]]),
    "labels are texts": lambda: table(label=["cat"] * 4),
    "label.x": lambda: table(**{"label.x": [1, 2, 3, 4], "image.bytes": [1, 2, 3, 4]}),
    "wnids are numbers": lambda: table(wnid=[1, 2, 3, 4]),
    "wnids are no text": lambda: table(wnid=pa.array([b"\xff\xfe"] * 4).view(pa.string())),
    "difficulty is text": lambda: table(difficulty=["0.5"] * 4),
    "difficulty is a list": lambda: table(difficulty=[[0.5]] * 4),
    "difficulty is null": lambda: table(difficulty=pa.nulls(4, pa.float32())),
    "source_index is text": lambda: table(source_index=["1"] * 4),
    "seed is huge": lambda: table(seed=pa.array([2**64 - 1] * 4, pa.uint64())),
    "metadata: no JSON": lambda: with_metadata(b"{"),
    "metadata: no text": lambda: with_metadata(b"\xff\xfe"),
    "metadata: a number": lambda: with_metadata(b"7"),
    "metadata: nested": lambda: with_metadata(b'{"info": {"features": ' + b'{"a": ' * 9000 + b"1" + b"}" * 9002),
    "metadata: digits": lambda: with_metadata(b'{"info": {"features": {"label": ' + b"9" * 6000 + b"}}}"),
    "metadata: features are a list": lambda: with_metadata(b'{"info": {"features": []}}'),
    "metadata: a type is a number": lambda: table().replace_schema_metadata(metadata(label={"_type": 3})),
    "metadata: an unknown type": lambda: table().replace_schema_metadata(metadata(x={"_type": "Evil"}, label=LABEL)),
    "names: none": lambda: named([]),
    "names: null": lambda: named(None),
    "names: a number": lambda: named(7),
    "names: numbers": lambda: named([1, 2]),
    "names: one twice": lambda: named(["cat", "cat"]),
    "names: empty": lambda: named(["cat", ""]),
    "names: megabytes": lambda: named(["cat", "d" * 5_000_000]),
    "names: too many": lambda: named([str(k) for k in range(200_000)]),
    "names: escapes": lambda: named(["\x1b[2J", "\u202e"]),
    "a name of bytes": lambda: pa.Table.from_arrays(
        [GOOD["image"], pa.array([0] * 4)], names=["image", "la\x1b[2Jbel"]
    ),
}


def file(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer)
    return buffer.getvalue()


def tried(way: Callable[[Path, Path], Any], folder: Path, out: Path) -> None:
    """The way goes well, or ends in one short sentence that a terminal can show."""
    message = ""
    try:
        way(folder, out)
    except InputError as error:
        message = str(error)
    assert len(message) < 1_000
    assert message.isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_sentence_on_every_way(
    way: Callable[[Path, Path], Any], name: str, tmp_path: Path
) -> None:
    tried(way, write(tmp_path / "in", HOSTILE[name]()), tmp_path / "out")


@pytest.mark.parametrize("name", ["label below", "label above", "label null", "labels null"])
def test_a_label_that_is_none_is_named_with_its_row(
    way: Callable[[Path, Path], Any], name: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"row \d of .* has label (-1|2|None), outside its 2 classes: mend that row"):
        way(write(tmp_path / "in", HOSTILE[name]()), tmp_path / "out")


def test_damaged_bytes_anywhere_are_one_sentence(way: Callable[[Path, Path], Any], tmp_path: Path) -> None:
    whole, chance = file(table(difficulty=[0.1, 0.2, 0.3, 0.4])), random.Random(0)
    for attempt in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3, 20))):
            damaged[chance.randrange(4, len(whole) - 4)] = chance.randrange(256)
        tried(way, write(tmp_path / "in", bytes(damaged)), tmp_path / f"out{attempt}")


def test_files_of_one_split_with_classes_in_another_order_are_refused(
    way: Callable[[Path, Path], Any], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    (folder / "data").mkdir(parents=True)
    pq.write_table(table(), folder / "data" / "train-00000-of-00002.parquet")
    pq.write_table(named(NAMES[::-1]), folder / "data" / "train-00001-of-00002.parquet")
    with pytest.raises(InputError, match="other columns or classes than"):
        way(folder, tmp_path / "out")


def test_an_image_column_of_plain_bytes_is_accepted(tmp_path: Path) -> None:
    rows = table(image=pa.array([png(k) for k in range(4)]))
    write_original(str(write(tmp_path / "in", rows)), tmp_path / "out", splits={"train": "train"})
    cells = undecoded(read_rows(tmp_path / "out"))["image"]
    assert [cell["bytes"] for cell in cells] == [png(k) for k in range(4)]


def test_a_column_that_is_not_needed_is_not_read(tmp_path: Path) -> None:
    """A gigabyte of text that compresses to nothing: who reads it is noticed."""
    rows = table(note=pa.array(["x" * 2**20] * 4)).drop_columns("difficulty")
    folder = write(tmp_path / "in", rows)
    before = pa.total_allocated_bytes()
    peak = pa.default_memory_pool().max_memory()
    assert read_rows(folder).column_names == ["image", "label"]
    assert max(pa.default_memory_pool().max_memory() - peak, 0) + before < peak + 2**20


def test_all_columns_of_ours_pass(tmp_path: Path) -> None:
    values = {"wnid": ["n1"] * 4, "source_index": range(4), "pool_index": range(4), "seed": range(4)}
    values |= {"difficulty": [0.5] * 4, "selected": [True] * 4, "difficulty_log": [0.5] * 4, "difficulty_bin": [3] * 4}
    columns = {name: pa.array(list(part)) for name, part in values.items()}
    columns["soft_label_classes"] = pa.array([[1, 0]] * 4, pa.list_(pa.int32()))
    columns["soft_label_probabilities"] = pa.array([[0.75, 0.25]] * 4, pa.list_(pa.float32()))
    rows = load_rows(write(tmp_path / "in", table(**columns)))
    assert set(rows.column_names) == set(COLUMNS)
    write_rows(rows, tmp_path / "out")
    assert read_rows(tmp_path / "out").features == rows.features
