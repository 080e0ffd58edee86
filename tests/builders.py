"""What the tests of the builders share: tiny scorers, a published pool, and what builds in a process of its own."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import timm
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from hub_datasets import WOOF, encoded
from hub_server import HubServer
from timm.models import save_for_hf

POOL_REPO = "acme/imagewoof-ddgs-ipc2"
# Carries out each job of its arguments, [class, settings, what to do]; prints its cache and rows, or what went wrong.
BUILD = """
import hashlib, json, sys
from datasets import Image
from ddgs_hub.stages import builders
from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe import SampleSettings

def described(rows):
    features = rows.features
    kept = list(rows.cast_column("image", Image(decode=False)))
    for row in kept:
        row["sha256"] = hashlib.sha256(row.pop("image")["bytes"]).hexdigest()
    return {**{key: [row[key] for row in kept] for key in kept[0]},
            "names": features["label"].names, "features": {name: repr(kind) for name, kind in features.items()}}

results = []
for kind, settings, actions in map(json.loads, sys.argv[1:]):
    if "sample" in settings:
        settings["sample"] = SampleSettings(**settings["sample"])
    try:
        builder = getattr(builders, kind)(**settings)
        result = {"cache_dir": builder.cache_dir, "revision": builder.config.revision}
        if "stream" in actions:
            result["stream"] = described(builder.as_streaming_dataset(split="train"))
        if "prepare" in actions:
            builder.download_and_prepare()
            result["prepare"] = described(builder.as_dataset(split="train"))
        results.append(result)
    except InputError as error:
        results.append({"error": str(error)})
print(json.dumps(results))
"""


def build(hub: HubServer, *jobs: tuple[str, dict[str, Any], list[str]], **how: Any) -> list[dict[str, Any]]:
    done = hub.run(BUILD, *map(json.dumps, jobs), **how)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write_scorer(folder: Path, seed: int, names: list[str] | None = None) -> Path:
    """A timm classifier with random weights: of the classes that have names, or of ImageNet-1k's."""
    torch.manual_seed(seed)
    overlay = {"input_size": (3, 32, 32)}
    model = timm.create_model("test_resnet", num_classes=len(names or range(1000)), pretrained_cfg_overlay=overlay)
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)
    save_for_hf(model, folder, model_config={"label_names": names} if names else {}, safe_serialization=True)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make_pool() -> Dataset:
    """Eight images of each class of ImageWoof, ordered by `pool_index`, as pools are."""
    rng, labels = np.random.default_rng(0), [k % 10 for k in range(80)]
    features = Features(
        image=Image(),
        label=ClassLabel(names=list(WOOF.class_names)),
        wnid=Value("string"),
        pool_index=Value("int64"),
        difficulty=Value("float32"),
    )
    columns = {
        "image": [{"bytes": encoded(1000 + k), "path": None} for k in range(80)],
        "label": labels,
        "wnid": [WOOF.wnids[label] for label in labels],
        "pool_index": [k // 10 for k in range(80)],
        "difficulty": rng.beta(0.3, 2, 80).astype(np.float32),
    }
    return Dataset.from_dict(columns, features=features)


def make_original() -> Dataset:
    """Labels and difficulties of an original, without its images."""
    labels = sorted(k % 10 for k in range(300))
    features = Features(
        label=ClassLabel(names=list(WOOF.class_names)), source_index=Value("int64"), difficulty=Value("float32")
    )
    columns = {
        "label": labels,
        "source_index": list(range(300)),
        "difficulty": np.random.default_rng(1).beta(0.5, 1.5, 300).astype(np.float32),
    }
    return Dataset.from_dict(columns, features=features)


def publish_pool(hub: HubServer) -> Any:
    """A repository with the pool, the original's difficulties and some distilled rows, tagged v1.0.0."""
    rows = {"pool": make_pool(), "original": make_original(), "data": make_pool().select(range(20))}
    files = {f"{folder}/train-00000-of-00001.parquet": _parquet(part) for folder, part in rows.items()}
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {folder}/train-*.parquet\n"
        for name, folder in (("default", "data"), ("pool", "pool"), ("original", "original"))
    )
    repository = hub.add_repository(
        "dataset", POOL_REPO, {"README.md": f"---\nconfigs:\n{configs}---\n".encode(), **files}
    )
    repository.set_ref("refs/tags/v1.0.0", repository.find("main"))
    return repository


def _parquet(rows: Dataset) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows.with_format("arrow")[:], buffer, row_group_size=50)
    return buffer.getvalue()
