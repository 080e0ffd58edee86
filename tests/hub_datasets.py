"""Small datasets for the local Hub, and what reads them in a process of its own."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, Value
from hub_server import HubServer
from PIL import Image as PILImage
from timm.data import ImageNetInfo

from ddgs_hub.original import SUBSETS

WNIDS = ImageNetInfo("imagenet-1k").label_names()
WOOF = SUBSETS["imagewoof"]
# Of a source of 1,000 classes: the first and the third row group of ten have none of ImageWoof's.
LABELS = [*range(700, 710), *WOOF.imagenet_indices, *range(300, 310), *WOOF.imagenet_indices[::-1]]
WANTED = [row for row, label in enumerate(LABELS) if label in WOOF.imagenet_indices]
FILE = "data/train-00000-of-00001.parquet"
# Reads each source of its arguments, and prints of each the rows, as they are in the spool, or what went wrong.
READ = """
import hashlib, json, sys, tempfile
from pathlib import Path
from ddgs_hub.original import spool
from ddgs_hub.core.errors import InputError

KEPT = ("label", "wnid", "source_index")
spool.PART_BYTES = int(sys.argv[1])
results = []
for argument in sys.argv[2:]:
    wanted = json.loads(argument)
    folder = Path(wanted.pop("folder", None) or tempfile.mkdtemp())
    try:
        spooled = spool.Spool(wanted.pop("source"), wanted.pop("split", "train"), folder, **wanted)
        spooled.open()
        spooled.fetch()
        rows = spooled.rows().with_format("arrow")
        table = rows[:]
        images = [image["bytes"] for image in table["image"].to_pylist()]
        results.append({
            **{name: table[name].to_pylist() for name in KEPT if name in table.column_names},
            "sha256": [hashlib.sha256(image).hexdigest() for image in images],
            "names": rows.features["label"].names,
            "columns": table.column_names,
            "pinned": vars(spooled.pinned()) if spooled.pinned() else None,
        })
    except InputError as error:
        results.append({"error": str(error), "kind": type(error).__name__})
print(json.dumps(results))
"""


def encoded(seed: int, size: int = 8) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(
        buffer, "JPEG"
    )
    return buffer.getvalue()


IMAGES = [encoded(seed) for seed in range(len(LABELS))]


def parquet(images: Iterable[bytes], labels: Iterable[Any], label: object, group: int = 10, **more: list[str]) -> bytes:
    features = Features(image=Image(), label=label, **dict.fromkeys(more, Value("string")))
    columns = {"image": [{"bytes": image, "path": None} for image in images], "label": list(labels), **more}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=features.arrow_schema), buffer, row_group_size=group)
    return buffer.getvalue()


def shard(rows: Iterable[tuple[int, bytes, int]]) -> bytes:
    """A shard of a WebDataset as timm writes it: `<key>.cls`, `.jpg`, `.json`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for key, image, label in rows:
            facts = {"filename": f"{key}.JPEG", "height": 8, "label": label, "width": 8}
            for kind, content in (("cls", str(label).encode()), ("jpg", image), ("json", json.dumps(facts).encode())):
                member = tarfile.TarInfo(f"{key:06d}.{kind}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def card(sizes: dict[str, int]) -> bytes:
    splits = "".join(f"  - name: {name}\n    num_bytes: 1\n    num_examples: {size}\n" for name, size in sizes.items())
    return f"---\ndataset_info:\n  splits:\n{splits}---\n# Rows\n".encode()


IMAGENET = parquet(IMAGES, LABELS, ClassLabel(num_classes=1000))


def sha256(images: Iterable[bytes]) -> list[str]:
    return [hashlib.sha256(image).hexdigest() for image in images]


def read(hub: HubServer, *wanted: dict[str, Any], part_bytes: int = 2**20, **how: Any) -> list[dict[str, Any]]:
    done = hub.run(READ, str(part_bytes), *map(json.dumps, wanted), **how)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_woof(result: dict[str, Any], images: list[bytes] = IMAGES, labels: list[int] = LABELS) -> None:
    """That a result is the ImageWoof of a source, row for row and byte for byte."""
    wanted = [row for row, label in enumerate(labels) if label in WOOF.imagenet_indices]
    assert result.get("source_index") == wanted, result
    assert result["sha256"] == sha256(images[row] for row in wanted)
    assert result["label"] == [WOOF.imagenet_indices.index(labels[row]) for row in wanted]
    assert result["wnid"] == [WNIDS[labels[row]] for row in wanted]
    assert result["names"] == list(WOOF.class_names)


def renamed(file: bytes, names: list[str]) -> bytes:
    """The same rows with other names of columns, which are in the metadata of datasets, too."""
    table = pq.read_table(io.BytesIO(file))
    features = Features(zip(names, Features.from_arrow_schema(table.schema).values(), strict=True))
    buffer = io.BytesIO()
    pq.write_table(table.rename_columns(names).cast(features.arrow_schema), buffer, row_group_size=10)
    return buffer.getvalue()


def answers(hub: HubServer, script: str, *wanted: dict[str, Any], **how: Any) -> list[dict[str, Any]]:
    """What a script prints, as JSON, for each of the arguments that it is given so."""
    done = hub.run(script, *map(json.dumps, wanted), **how)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert isinstance(results, list)
    return results


def answers_of(script: str) -> Callable[..., list[dict[str, Any]]]:
    """`answers` of one script."""
    return lambda hub, *wanted, **how: answers(hub, script, *wanted, **how)
