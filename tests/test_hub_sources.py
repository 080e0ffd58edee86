"""Sources on the Hub: what is read of them, at which commit, how often, and what is said where they cannot be read."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Features, Image, Value
from hub_server import HubServer
from PIL import Image as PILImage
from timm.data import ImageNetInfo

from ddgs_hub.rows import parquet_path, read_rows, undecoded
from ddgs_hub.subsets import SUBSETS

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
from ddgs_hub import spool
from ddgs_hub.errors import InputError

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


def test_every_kind_of_repository(hub: HubServer) -> None:
    by_wnid = sorted(range(10), key=lambda k: WOOF.wnids[k])  # as fastai orders them
    named = [WOOF.class_names[k].replace(" ", "_").title() for k in by_wnid]
    woof = [by_wnid.index(WOOF.imagenet_indices.index(LABELS[row])) for row in WANTED]
    woof_images = [IMAGES[row] for row in WANTED]
    rows = list(zip(range(len(LABELS)), IMAGES, LABELS, strict=True))
    notes = ["x" * 100] * len(LABELS)
    repositories = {
        "ILSVRC/imagenet-1k": {"README.md": card({"train": 40}), FILE: IMAGENET},
        "timm/imagenet-1k-wds": {
            "imagenet1k-train-0000.tar": shard(rows[:25]),
            "imagenet1k-train-0001.tar": shard(rows[25:]),
            "imagenet1k-validation-00.tar": shard(rows[:3]),
        },
        "fastai/by-wnid": {FILE: parquet(woof_images, woof, ClassLabel(names=[WOOF.wnids[k] for k in by_wnid]))},
        "fastai/by-name": {FILE: parquet(woof_images, woof, ClassLabel(names=named))},
        "acme/other-names": {
            "README.md": card({"train": 40}),
            FILE: pq_renamed(parquet(IMAGES, LABELS, ClassLabel(names=WNIDS), note=notes), ["photo", "class", "note"]),
        },
    }
    for name, files in repositories.items():
        hub.add_repository("dataset", name, files)
    woofs = [{"source": name, "subset": "imagewoof"} for name in repositories]
    wholes = [{"source": name} for name in ("timm/imagenet-1k-wds", "acme/other-names")]
    hub.moved["imagenet-1k"] = "ILSVRC/imagenet-1k"
    *subsets, wds, other, moved = read(hub, *woofs, *wholes, {"source": "imagenet-1k", "subset": "imagewoof"})
    assert moved == subsets[0]
    for name, result in zip(repositories, subsets, strict=True):
        if name.startswith("fastai"):
            check_woof(result, woof_images, [LABELS[row] for row in WANTED])
        else:
            check_woof(result)
        commit = hub.repository("dataset", name).find("main")
        assert result["pinned"] == {"id": name, "commit": commit}
    assert (wds["label"], wds["names"], wds["sha256"]) == (LABELS, WNIDS, sha256(IMAGES))
    assert sorted(wds["columns"]) == ["__key__", "image", "json", "label"]
    assert (other["label"], other["sha256"], other["columns"]) == (LABELS, sha256(IMAGES), ["image", "label", "note"])
    assert hub.strays == []


def pq_renamed(file: bytes, names: list[str]) -> bytes:
    """The same rows with other names of columns, which are in the metadata of datasets, too."""
    table = pq.read_table(io.BytesIO(file))
    features = Features(zip(names, Features.from_arrow_schema(table.schema).values(), strict=True))
    buffer = io.BytesIO()
    pq.write_table(table.rename_columns(names).cast(features.arrow_schema), buffer, row_group_size=10)
    return buffer.getvalue()


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_image_bytes_of_unwanted_row_groups_are_not_fetched(
    hub: HubServer, shared_data: Callable[[str], Path], order: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pq.read_table(parquet_path(shared_data("imagenet1k-sample")))
    if order == "shuffled":
        table = table.take(np.random.default_rng(0).permutation(len(table)))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=100)
    hub.add_repository("dataset", "acme/sample", {FILE: buffer.getvalue()})
    (result,) = read(hub, {"source": "acme/sample", "subset": "imagewoof"})
    images = [image["bytes"] for image in table["image"].to_pylist()]
    check_woof(result, images, table["label"].to_pylist())
    fetched, whole = sum(request.sent for request in hub.requests), len(buffer.getvalue())
    with capsys.disabled():
        print(f"\nimagenet1k-sample, {order}: {fetched / 1e6:.1f} of {whole / 1e6:.1f} MB for ImageWoof")
    touched = {row // 100 for row in result["source_index"]}
    assert fetched < whole * len(touched) / 10 + 300_000


def test_one_real_parquet_dataset_arrives_whole(hub: HubServer, shared_data: Callable[[str], Path]) -> None:
    """ImageNette's validation images at 224 px: no subset, every column and byte."""
    folder = shared_data("imagenette224")
    path = parquet_path(folder, "validation")
    hub.add_repository("dataset", "acme/nette", {f"data/{path.name}": path.read_bytes()})
    whole, woof = read(
        hub,
        {"source": "acme/nette", "split": "validation"},
        {"source": "acme/nette", "split": "validation", "subset": "imagewoof"},
    )
    table = pq.read_table(path)
    assert whole["sha256"] == sha256(image["bytes"] for image in table["image"].to_pylist())
    assert whole["columns"] == table.column_names
    assert "class 'Australian terrier' of acme/nette (validation) has no image" in woof["error"]


# Runs the command line on each list of its arguments, with its token, in one process; prints code, stdout and stderr.
COMMANDS = """
import contextlib, io, json, os, sys
from ddgs_hub.cli import main

results = []
for token, *arguments in map(json.loads, sys.argv[1:]):
    os.environ["HF_TOKEN"] = token
    sys.argv = ["ddgs-hub", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            code = end.code
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


def test_refusals(hub: HubServer, tmp_path: Path) -> None:
    """One sentence each, exit code 2, no file of rows asked for, nothing written, no token in it."""
    hub.add_user("eve", "hf_eve")
    for name in ("acme/open", "acme/gated", "acme/private"):
        hub.add_repository("dataset", name, {FILE: IMAGENET}, private=name == "acme/private")
    hub.gate(hub.repository("dataset", "acme/gated"))
    page = f"ask for access on {hub.url}/datasets/acme/gated"
    cases = [
        ("acme/gated", "", [], f"acme/gated is gated and this account has no access to it: {page} and log in with `hf"),
        ("acme/gated", "hf_eve", [], f"acme/gated is gated and this account has no access to it: {page}\n"),
        (
            "acme/private",
            "",
            [],
            f"there is no dataset acme/private on {hub.url}, or it is private: correct the id, or",
        ),
        ("acme/private", "hf_eve", [], f"there is no dataset acme/private on {hub.url}, or its token may not read it"),
        ("acme/open", "hf_wrong", [], f"{hub.url} does not accept the token for acme/open"),
        ("acme/open", "hf_\u00e9", [], "the token of the Hub has characters that no token has"),
        ("acme/open", "", ["--revision", "v7"], "acme/open has no revision 'v7': those that it has are on"),
        ("acme/open", "", ["--split", "dev"], "cannot open split 'dev' of acme/open: it has train"),
        ("a/b/c", "", [], "'a/b/c' is neither a folder nor the id of a Hub dataset"),
    ]
    # A scorer that does not exist: it is looked for when the source has been opened.
    rest = ["--subset", "imagewoof", "--scorer", str(tmp_path / "no-scorer"), "--output", str(tmp_path / "out")]
    commands = [[token, "score", source, *rest, *more] for source, token, more, _ in cases]
    done = hub.run(COMMANDS, *map(json.dumps, commands))
    assert done.returncode == 0, done.stderr
    for (_, _, _, sentence), (code, out, err) in zip(cases, json.loads(done.stdout), strict=True):
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert sentence in err
        assert "hf_" not in err
    assert list(tmp_path.iterdir()) == []
    assert not any(request.path.endswith(".parquet") for request in hub.requests)


def test_an_unreachable_hub(hub: HubServer, free_port: int) -> None:
    nowhere = f"http://127.0.0.1:{free_port}"
    (result,) = read(hub, {"source": "acme/in1k"}, env={"HF_ENDPOINT": nowhere})
    assert result["error"].startswith(f"cannot reach {nowhere} for acme/in1k: check the connection")
    (result,) = read(hub, {"source": "acme/in1k"}, env={"HF_HUB_OFFLINE": "1"})
    assert result["error"].startswith("HF_HUB_OFFLINE is set and acme/in1k is not in the cache: unset it, or fetch it")
    assert hub.requests == []


class TestGoingOn:
    """Rows are read once, and all of them, whatever happens on the way."""

    @pytest.fixture(params=["parquet", "webdataset"])
    def files(self, request: pytest.FixtureRequest) -> dict[str, bytes]:
        if request.param == "parquet":
            return {"README.md": card({"train": 40}), FILE: IMAGENET}
        rows = list(zip(range(len(LABELS)), IMAGES, LABELS, strict=True))
        shards = {f"in1k-train-{k:04d}.tar": shard(rows[20 * k : 20 * k + 20]) for k in range(2)}
        return {"README.md": card({"train": 40}), **shards}

    def test_faults_that_pass(self, hub: HubServer, files: dict[str, bytes]) -> None:
        hub.add_repository("dataset", "acme/in1k", files)
        hub.fail("GET /api/datasets/acme/in1k ", status=503)
        hub.fail("GET /api/datasets/acme/in1k", drop="before")
        hub.fail("GET /lfs/", nth=2, drop="during")
        hub.fail("GET /lfs/", nth=5, status=503)
        (result,) = read(hub, {"source": "acme/in1k", "subset": "imagewoof"})
        check_woof(result)

    def test_a_kill_and_a_lost_connection(self, hub: HubServer, files: dict[str, bytes], tmp_path: Path) -> None:
        repository = hub.add_repository("dataset", "acme/in1k", files)
        began = repository.find("main")
        wanted = {"source": "acme/in1k", "subset": "imagewoof", "folder": str(tmp_path / "rows")}
        # The worst moment: the second part is written, the state does not know it.
        kill = """
import os
from ddgs_hub import source_rows, spool
source_rows.ROWS_PER_GROUP = 10
whole, states = spool._write_state, []
def write_state(folder, state):
    states.append(state)
    if len(states) == 3:
        os._exit(9)
    whole(folder, state)
spool._write_state = write_state
"""
        small = "from ddgs_hub import source_rows\nsource_rows.ROWS_PER_GROUP = 10\n"
        killed = hub.run(kill + READ, "1", json.dumps(wanted))
        assert killed.returncode == 9, killed.stderr
        assert sorted(path.name for path in (tmp_path / "rows").glob("*.arrow")) == ["00000.arrow", "00001.arrow"]
        hub.requests.clear()
        # Meanwhile the branch moves: what goes on does so at its commit.
        moved = {path: repository.store(b"", lfs=False) for path in files if path != "README.md"}
        repository.commit("refs/heads/main", began, moved, "emptied")
        fault = hub.fail("GET .*/resolve/.*(parquet|0001.tar)", status=400, nth=2 if FILE in files else 1)
        done = hub.run(small + READ, "1", json.dumps(wanted))
        (lost,) = json.loads(done.stdout)
        assert fault.happened
        assert lost["kind"] == "ConnectionLostError", lost
        assert "answered 400 while acme/in1k (train) was read: start the same command again" in lost["error"]
        (result,) = json.loads(hub.run(small + READ, "1", json.dumps(wanted)).stdout)
        check_woof(result)
        assert result["pinned"]["commit"] == began
        if FILE in files:  # the first part was not fetched again; what ends with the file are its footers
            third = pq.ParquetFile(io.BytesIO(IMAGENET)).metadata.row_group(2).column(0).data_page_offset
            ranges = [re.findall(r"\d+", request.range or "") for request in hub.requests]
            starts = [int(first) for first, last in filter(None, ranges) if int(last) + 1 < len(IMAGENET)]
            assert starts
            assert min(starts) >= third
        hub.requests.clear()
        (again,) = read(hub, wanted, env={"HF_HUB_OFFLINE": "1"})
        assert again == result
        assert hub.requests == []


def test_rows_that_are_missing(hub: HubServer) -> None:
    shards = {"in1k-train-0.tar": shard(zip(range(len(LABELS)), IMAGES, LABELS, strict=True))}
    info = json.dumps({"splits": {"train": {"name": "train", "num_samples": 42}}}).encode()
    repositories = {
        "acme/parquet": ({FILE: IMAGENET, "README.md": card({"train": 41})}, "ended after 40 rows, where .* says 41"),
        "acme/wds": ({**shards, "README.md": card({"train": 41})}, "ended after 40 rows, where .* says 41"),
        "timm/wds": ({**shards, "_info.json": info}, "ended after 40 rows, where .* says 42"),
        "torn/parquet": ({FILE: IMAGENET[:9000]}, "cannot read torn/parquet .*; check its files"),
        "torn/wds": ({path: file[:20_000] for path, file in shards.items()}, "cannot read torn/wds .*unexpected end"),
    }
    for name, (files, _) in repositories.items():
        hub.add_repository("dataset", name, files)
    results = read(hub, *({"source": name} for name in repositories))
    for result, (_, message) in zip(results, repositories.values(), strict=True):
        assert re.search(message, result["error"])


def test_offline_from_the_cache(hub: HubServer, tmp_path: Path) -> None:
    for name in ("acme/fetched", "acme/loaded"):
        hub.add_repository("dataset", name, {"README.md": card({"train": 40}), FILE: IMAGENET})
    fetch = """
from datasets import load_dataset
from huggingface_hub import snapshot_download
snapshot_download("acme/fetched", repo_type="dataset")
load_dataset("acme/loaded", split="train", revision="main")
"""
    assert hub.run(fetch, home=tmp_path).returncode == 0
    hub.requests.clear()
    wanted = [{"source": name, "subset": "imagewoof"} for name in ("acme/fetched", "acme/loaded")]
    fetched, loaded = read(hub, *wanted, home=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    check_woof(fetched)
    check_woof(loaded)
    assert fetched["pinned"]["commit"] == hub.repository("dataset", "acme/fetched").find("main")
    assert hub.requests == []


def test_memory_does_not_grow_with_the_source(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    images = [encoded(seed, 160) for seed in range(20)]
    for name, count in (("acme/small", 500), ("acme/large", 5000)):
        labels = [k % 10 for k in range(count)]
        rows = parquet([images[k % 20] for k in range(count)], labels, ClassLabel(num_classes=10), group=100)
        hub.add_repository("dataset", name, {FILE: rows})
    script = """
import sys, tempfile
from pathlib import Path
from ddgs_hub.spool import Spool
spool = Spool(sys.argv[1], "train", Path(tempfile.mkdtemp()))
spool.open()
spool.fetch()
assert len(spool.rows()) == int(sys.argv[2])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process is read from /proc, which is not here")
    small, large = (
        int(hub.run(script, f"acme/{name}", count).stdout) / 1024
        for name, count in (("small", "500"), ("large", "5000"))
    )
    megabytes = [len(images[0]) * count / 1e6 for count in (500, 5000)]
    with capsys.disabled():
        print(f"\nmemory: {small:.0f} MB for {megabytes[0]:.0f} MB of images, {large:.0f} MB for {megabytes[1]:.0f} MB")
    assert large - small < 0.3 * (megabytes[1] - megabytes[0])


def test_score_and_prepare_from_the_hub(hub: HubServer, tmp_path: Path) -> None:
    import timm
    import torch
    from timm.models import save_for_hf

    torch.manual_seed(0)
    overlay = {"input_size": (3, 32, 32)}
    scorer = timm.create_model("test_resnet", num_classes=10, pretrained_cfg_overlay=overlay)
    save_for_hf(scorer, tmp_path / "scorer", model_config={"label_names": list(WOOF.wnids)}, safe_serialization=True)
    validation = FILE.replace("train", "validation")
    repository = hub.add_repository("dataset", "ILSVRC/imagenet-1k", {FILE: IMAGENET, validation: IMAGENET})
    hub.add_user("alice", "hf_alice")
    hub.gate(repository, granted=["alice"])
    commands = {
        "scored": ["score", "ILSVRC/imagenet-1k", "--subset", "imagewoof", "--scorer", str(tmp_path / "scorer")],
        "original": ["prepare", "--recipe", "imagewoof", "--original", "ILSVRC/imagenet-1k"],
    }
    for name, command in commands.items():
        done = hub.run(["-m", "ddgs_hub", *command, "--output", str(tmp_path / name)], token="hf_alice")
        assert done.returncode == 0, done.stderr
        rows = read_rows(tmp_path / name)
        assert [row["image"]["bytes"] for row in undecoded(rows)] == [IMAGES[row] for row in WANTED]
        noted = json.loads((tmp_path / name / "source.json").read_text())
        assert (noted["source"], noted["commit"]) == ("ILSVRC/imagenet-1k", repository.find("main"))
    assert noted["rows"] == {"train": 20, "validation": 20}
    assert read_rows(tmp_path / "scored").column_names == ["image", "label", "wnid", "source_index", "difficulty"]
    assert {path.name for path in tmp_path.iterdir()} == {"scorer", "scored", "original"}
