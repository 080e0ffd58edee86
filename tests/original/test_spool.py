"""Rows of the Hub on this machine's disk: each once, and all of them, after kills, lost connections and without one."""

import io
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, concatenate_datasets
from hub_datasets import FILE, IMAGENET, IMAGES, LABELS, READ, card, check_woof, encoded, parquet, read, shard
from hub_server import HubServer

from ddgs_hub.original import BackgroundFetch, Spool, spool


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
from ddgs_hub.original import reading as source_rows
from ddgs_hub.original import spool
source_rows.ROWS_PER_GROUP = 10
whole, states = spool._write_state, []
def write_state(folder, state):
    states.append(state)
    if len(states) == 3:
        os._exit(9)
    whole(folder, state)
spool._write_state = write_state
"""
        small = "from ddgs_hub.original import reading as source_rows\nsource_rows.ROWS_PER_GROUP = 10\n"
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
    halves = {
        path: parquet(IMAGES[:20], LABELS[:20], ClassLabel(num_classes=1000))
        for path in ("data/train-0.parquet", "data/train-1.parquet")
    }
    hub.add_repository("dataset", "acme/partly", halves)
    for name in ("acme/fetched", "acme/loaded"):
        hub.add_repository("dataset", name, {FILE: IMAGENET})
    fetch = """
from datasets import load_dataset
from huggingface_hub import hf_hub_download, snapshot_download
snapshot_download("acme/fetched", repo_type="dataset")
load_dataset("acme/loaded", split="train", revision="main")
hf_hub_download("acme/partly", "data/train-0.parquet", repo_type="dataset")
"""
    assert hub.run(fetch, home=tmp_path).returncode == 0
    hub.requests.clear()
    commits = {name: hub.repository("dataset", name).find("main") for name in ("acme/fetched", "acme/loaded")}
    wanted = [
        {"source": "acme/fetched"},
        {"source": "acme/loaded"},
        {"source": "acme/loaded", "revision": commits["acme/loaded"]},
        {"source": "acme/loaded", "revision": "v1"},
        {"source": "acme/partly"},
    ]
    wanted = [{**each, "subset": "imagewoof"} for each in wanted]
    *found, other, partly = read(hub, *wanted, home=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    for result in found:
        check_woof(result)
        assert result["pinned"]["commit"] == commits[result["pinned"]["id"]]
    assert other["error"].startswith("HF_HUB_OFFLINE is set and acme/loaded at revision 'v1' is not in the cache")
    assert re.match(
        r"HF_HUB_OFFLINE is set and acme/partly at revision '\w{40}' is not in the cache: unset it, or fetch it",
        partly["error"],
    )
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
from ddgs_hub.original import Spool
spool = Spool(sys.argv[1], "train", Path(tempfile.mkdtemp()))
spool.open()
spool.fetch()
assert len(spool.rows()) == int(sys.argv[2])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process is read from /proc, which is not here")
    small, large = (
        int(hub.run(script, f"acme/{name}", count, fork=False).stdout) / 1024
        for name, count in (("small", "500"), ("large", "5000"))
    )
    megabytes = [len(images[0]) * count / 1e6 for count in (500, 5000)]
    with capsys.disabled():
        print(f"\nmemory: {small:.0f} MB for {megabytes[0]:.0f} MB of images, {large:.0f} MB for {megabytes[1]:.0f} MB")
    assert large - small < 0.3 * (megabytes[1] - megabytes[0])


def test_two_threads_see_the_same_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "PART_BYTES", 1000)
    rows = Spool("digits", "train", tmp_path / "rows")
    rows.open()
    rows.fetch()
    count = json.loads((tmp_path / "rows/state.json").read_text())["parts"]
    assert count > 1
    map_file = Dataset.from_file

    def slowly(path: str) -> Dataset:
        time.sleep(0.01)  # while which another thread comes along
        return map_file(path)

    monkeypatch.setattr(Dataset, "from_file", slowly)
    fresh = Spool("digits", "train", tmp_path / "rows")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: concatenate_datasets(fresh.parts(count))["source_index"][:], range(4)))
    assert found == [rows.rows()["source_index"][:]] * 4


def test_a_fetch_that_is_given_up_leaves_whole_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "PART_BYTES", 1000)
    rows = Spool("digits", "train", tmp_path / "rows")
    rows.open()
    with closing(rows.fetch_steps()) as steps:
        assert next(parts for parts in steps if parts == 2) == 2
    assert 0 < len(rows.rows()) < 1437
    again = Spool("digits", "train", tmp_path / "rows")
    again.open()
    with BackgroundFetch(again) as fetching:
        parts, whole = fetching.wait(0)
        while not whole:
            parts, whole = fetching.wait(parts)
    assert len(again.rows()) == 1437
