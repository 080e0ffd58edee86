"""What the tests of publishing share: small folders to publish, and the repository that came of it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value
from huggingface_hub import CommitOperationAdd, HfApi
from PIL import Image as PILImage

from ddgs_hub.core.front_matter import split_card
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.hub import CONTENT, DistilledCard, describe_rows, export_dataset
from ddgs_hub.hub.folders.hashes import POOL_COLUMNS, hash_rows
from ddgs_hub.recipe import SampleSettings, parse_recipe, values_of_run
from ddgs_hub.stages.sample import make_distilled

REPO = "acme/tiny-ddgs-ipc2"
TOKEN = "hf_" + "Alice0" * 6


def operations(api: str, files: str) -> dict[str, str]:
    """What publishing asks for, as patterns for `hub.fail`, by the beginnings of a repository's addresses."""
    return {
        "create": "POST /api/repos/create",
        "info": f"GET {api}/[^?]*/revision/",
        "refs": f"GET {api}/.*/refs",
        "card": f"(GET|HEAD) {files}/.*/README.md",
        "validate": "POST /api/validate-yaml",
        "preupload": f"POST {api}/.*/preupload/",
        "batch": f"POST {files}/.*/info/lfs/objects/batch",
        "upload": "PUT /lfs/",
        "verify": f"POST {files}/.*/info/lfs/objects/verify",
        "commit": f"POST {api}/.*/commit/",
        "tag": f"POST {api}/.*/tag/",
    }


OPERATIONS = operations("/api/datasets", "/datasets")
FAULTS = [{"status": status} for status in (500, 503, 429)]
FAULTS += [{"status": 503, "served": True}]
FAULTS += [{"drop": drop} for drop in ("before", "upload", "during", "after")]
READS = ("info", "refs", "card")
NTHS = {
    "info": (1, 2, 3),
    "refs": (1, 2, 3),
    "card": (1, 2),
    "preupload": (1, 2),
    "commit": (1, 2, 3),
    "tag": (1, 2, 3),
}
FEATURES = Features(
    image=Image(), label=ClassLabel(names=["zero", "one"]), seed=Value("int64"), difficulty=Value("float32")
)
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "data": {"original": "digits", "image_size": 8},
    "hub": {"dataset": "tiny-ddgs-ipc{ipc}", "pretty_name": "Tiny"},
    "sample": {"ipc": 2},
}
MADE_OF = {"pool": "a pool", "dit": "a DiT", "scorer": "org/scorer@1"}


def refused_tokens(repo: str) -> list[tuple[str | bool, str]]:
    """Tokens that may not publish to a repository of acme, and what is said of each."""
    return [
        ("hf_read", f"this token may not write to {repo}: take one with the role write of a member of acme"),
        ("hf_bob", f"this token may not write to {repo}"),
        ("hf_wrong", "the Hub does not accept this token"),
        (False, "there is no token to publish with: log in"),
    ]


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make_rows(*seeds: int) -> Dataset:
    columns = {
        "image": [{"bytes": png(seed), "path": None} for seed in seeds],
        "label": [k % 2 for k in range(len(seeds))],
        "seed": list(seeds),
        "difficulty": [(seed % 10) / 10 + (0.05 if seed < 100 else 0) for seed in seeds],  # from 100 on on an edge
    }
    return Dataset.from_dict(columns, features=FEATURES)


def export(
    parent: Path,
    seeds: tuple[int, ...] = (1, 2, 3, 4),
    *,
    note: str = "",
    figures: tuple[str, ...] = (),
    **made_of: str,
) -> Path:
    """A run folder with one repository folder in its `hub/`; written anew where there is one."""
    recipe = parse_recipe({**RECIPE, "hub": {**RECIPE["hub"], "note": note}})
    rows = make_rows(*seeds)
    provenance: dict[str, Any] = {
        "recipe": values_of_run(recipe),
        CONTENT: {**describe_rows(rows), **MADE_OF, **made_of},
    }
    pictures = {}
    for name in figures:
        pictures[name] = parent / f"{name}.png"
        pictures[name].write_bytes(png(99))
    card = DistilledCard(recipe=recipe)
    export_dataset(rows, parent / "hub" / "tiny-ddgs-ipc2", card, provenance=provenance, figures=pictures)
    return parent


def export_with_pool(parent: Path, *, first: int = 0, seed: int = 3, note: str = "") -> Path:
    """A run folder with pool, original and distilled rows; the pool has eight images a class, from `first` on."""
    numbers = range(first, first + 16)
    pool = make_rows(*numbers).add_column("pool_index", [k // 2 for k in range(16)], feature=Value("int64"))
    original = make_rows(*range(200, 220)).remove_columns("seed")
    original = original.add_column("source_index", list(range(20)), feature=Value("int64"))
    write_rows(pool, parent / "pool")
    write_rows(original, parent / "original")
    sample = SampleSettings(ipc=2)
    folders = [parent / name for name in ("pool", "original", "distilled-ipc2")]
    make_distilled(sample, *folders, seed=seed, mark_pool=True, repository=False)
    recipe = parse_recipe({**RECIPE, "seed": seed, "hub": {**RECIPE["hub"], "note": note}})
    rows = read_rows(parent / "distilled-ipc2")
    content = {**describe_rows(rows), **MADE_OF, "pool": hash_rows(pool, POOL_COLUMNS)}
    values = {"recipe": values_of_run(recipe), "versions": {"torch": "2.15.0"}, CONTENT: content}
    folder = parent / "hub" / "tiny-ddgs-ipc2"
    export_dataset(rows, folder, DistilledCard(recipe=recipe), provenance=values, figures={})
    return parent


def published(repository: Any) -> list[str]:
    """Messages of the commits that publishing made, oldest first."""
    return [commit.message for commit in repository.commits if commit.message.startswith("v")]


def provenance(repository: Any, revision: str = "main") -> dict[str, Any]:
    values = json.loads(repository.read("provenance.json", revision))
    assert isinstance(values, dict)
    return values


def the_repository(hub: Any) -> Any:
    return hub.repository("dataset", REPO)


def assert_whole(hub: Any, *versions: str, repository: Any = None) -> None:
    """One commit and one tag for each version, and each tag at the commit that says so."""
    repository = repository or the_repository(hub)
    assert list(repository.tags) == list(versions)
    assert [message.split(":")[0] for message in published(repository)] == list(versions)
    for version in versions:
        assert provenance(repository, version)["published"]["version"] == version
        assert repository.at(version).message.startswith(f"{version}: ")


def commit(api: HfApi, files: dict[str, bytes]) -> None:
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    api.create_commit(REPO, operations, repo_type="dataset", commit_message="by hand")


def configs(repository: Any, revision: str = "main") -> list[str]:
    """Names of the configurations of a card, each with its `dataset_info`."""
    metadata, _ = split_card(repository.read("README.md", revision).decode(), "it")
    infos = metadata["dataset_info"]
    named = [entry["config_name"] for entry in infos] if isinstance(infos, list) else ["default"]
    assert sorted(named) == sorted(entry["config_name"] for entry in metadata["configs"])
    return [entry["config_name"] for entry in metadata["configs"]]
