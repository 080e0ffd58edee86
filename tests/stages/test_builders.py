"""The builders: the same rows as a stream and prepared, a cache by content, and one sentence for mistakes."""

import multiprocessing
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import POOL_REPO, build, files_of, make_original, make_pool, publish_pool, write_scorer
from datasets import ClassLabel, Image, Value
from hub_datasets import FILE, IMAGENET, IMAGES, LABELS, WNIDS, WOOF, check_woof, parquet, sha256
from hub_server import HubServer

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import parquet_path, read_rows, undecoded
from ddgs_hub.difficulty import Scorer, score
from ddgs_hub.original.sources import write_original
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling.datasets import distill
from ddgs_hub.stages.builders import ScoredBuilder

SOURCE, SCORER = "acme/in1k", "acme/scorer"
WOOFS = {"source": SOURCE, "subset": "imagewoof", "scorer": SCORER}
BOTH = ["stream", "prepare"]
SAMPLE = {"ipc": 2, "pool_size": 3}  # the last two images of a class are no candidates
CONTEXT = multiprocessing.get_context("spawn")


@pytest.fixture(scope="session")
def scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scorer(tmp_path_factory.mktemp("scorer"), 0)


@pytest.fixture
def imagenet(hub: HubServer, scorer_folder: Path) -> Any:
    """A source of 1,000 classes and a scorer on the Hub."""
    hub.add_repository("model", SCORER, files_of(scorer_folder))
    return hub.add_repository("dataset", SOURCE, {FILE: IMAGENET})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local source, in Hub layout."""
    path = parquet_path(tmp_path / "source")
    path.parent.mkdir(parents=True)
    path.write_bytes(IMAGENET)
    return tmp_path / "source"


def asked(hub: HubServer) -> list[str]:
    """What was fetched of rows and weights."""
    return [request.path for request in hub.requests if ".parquet" in request.path or ".safetensors" in request.path]


def local(cache: Path, source: Path, scorer: Path, **more: Any) -> ScoredBuilder:
    return ScoredBuilder(cache_dir=str(cache), source=str(source), scorer=str(scorer), **more)


class TestScored:
    def test_both_ways_give_the_same_rows_and_a_second_time_nothing_is_fetched(
        self, hub: HubServer, imagenet: Any, scorer_folder: Path, tmp_path: Path
    ) -> None:
        """And one that was refused midway leaves nothing behind."""
        home, commits = tmp_path / "home", {"revision": imagenet.find("main")}
        commits["scorer_revision"] = hub.repository("model", SCORER).find("main")
        prepare = ("ScoredBuilder", WOOFS, ["prepare"])
        hub.fail(r"GET /datasets/.*\.parquet", nth=3, status=403)
        refused, first = build(hub, prepare, ("ScoredBuilder", WOOFS, BOTH), home=home)
        assert f"does not accept the token for {SOURCE} (train)" in refused["error"]
        assert first["prepare"] == first["stream"]
        check_woof(first["stream"])
        columns = ["image", "label", "wnid", "source_index", "difficulty"]
        assert list(first["stream"]["features"]) == columns
        assert first["stream"]["features"]["difficulty"] == repr(Value("float32"))
        assert first["stream"]["features"]["image"] == repr(Image())
        assert first["revision"] == commits["revision"]
        assert first["cache_dir"].startswith(str(home / "datasets" / "scored"))
        assert not list(home.rglob("*.incomplete"))

        write_original_woof(tmp_path / "source")
        expected = score(read_rows(tmp_path / "source"), Scorer.from_pretrained(scorer_folder))["difficulty"]
        np.testing.assert_allclose(first["stream"]["difficulty"], expected, atol=1e-3)

        assert asked(hub)
        hub.requests.clear()
        (second,) = build(hub, prepare, home=home)
        assert second["prepare"] == first["prepare"]
        assert asked(hub) == []
        assert hub.strays == []

        hub.requests.clear()
        pinned = ("ScoredBuilder", {**WOOFS, **commits}, ["prepare"])
        offline, unknown = build(hub, pinned, prepare, home=home, env={"HF_HUB_OFFLINE": "1"})
        assert offline == second
        assert unknown["error"].startswith(f"HF_HUB_OFFLINE is set and {SOURCE} is not in the cache: unset it, or")
        assert hub.requests == []

    def test_whatever_decides_the_rows_has_a_folder_of_its_own(
        self, hub: HubServer, imagenet: Any, tmp_path: Path
    ) -> None:
        other, weights = files_of(write_scorer(tmp_path / "other", 1)), hub.repository("model", SCORER)
        hub.add_repository("model", "acme/other", other)
        old = {"revision": imagenet.find("main")}
        old_scorer = {"scorer_revision": weights.find("main")}
        same: list[dict[str, Any]] = [{}, {"revision": "main"}, {**old, **old_scorer}]
        changed = [
            {"subset": "imagenette"},
            {"subset": None},
            {"scorer": "acme/other"},
            {"splits": ["train", "validation"]},
            {"batch_size": 7},
        ]
        folders = self.folders(hub, tmp_path, *same, *changed)
        assert len(set(folders[: len(same)])) == 1
        assert len(set(folders)) == 1 + len(changed)

        files = {FILE: imagenet.store(parquet(IMAGES, LABELS[::-1], ClassLabel(num_classes=1000)), lfs=True)}
        imagenet.commit("refs/heads/main", old["revision"], files, "other labels")
        stored = {name: weights.store(content, lfs=name.endswith("safetensors")) for name, content in other.items()}
        weights.commit("refs/heads/main", weights.find("main"), stored, "other weights")
        still, relabelled, retrained, both = self.folders(hub, tmp_path, {**old, **old_scorer}, old_scorer, old, {})
        assert still == folders[0]
        assert len({relabelled, retrained, both, *folders}) == 3 + len(set(folders))
        assert asked(hub) == []  # nothing is read to know them

    @staticmethod
    def folders(hub: HubServer, home: Path, *changes: dict[str, Any]) -> list[str]:
        made = build(hub, *[("ScoredBuilder", {**WOOFS, **change}, []) for change in changes], home=home)
        return [one["cache_dir"] for one in made]

    def test_local_files_are_known_by_their_content(self, folder: Path, scorer_folder: Path, tmp_path: Path) -> None:
        source, scorer, cache = folder, tmp_path / "scorer", tmp_path / "cache"
        shutil.copytree(scorer_folder, scorer)
        first = local(cache, source, scorer, subset="imagewoof")
        first.download_and_prepare()
        assert local(cache, source, scorer, subset="imagewoof").cache_dir == first.cache_dir
        parquet_path(source).touch()
        assert local(cache, source, scorer, subset="imagewoof").cache_dir == first.cache_dir
        write_scorer(scorer, 1)
        retrained = local(cache, source, scorer, subset="imagewoof")
        parquet_path(source).write_bytes(parquet(IMAGES[::-1], LABELS[::-1], ClassLabel(num_classes=1000)))
        rewritten = local(cache, source, scorer, subset="imagewoof")
        assert len({first.cache_dir, retrained.cache_dir, rewritten.cache_dir}) == 3
        rewritten.download_and_prepare()
        rows = undecoded(rewritten.as_dataset(split="train"))
        wanted = [row for row, label in enumerate(LABELS[::-1]) if label in WOOF.imagenet_indices]
        assert [cell["bytes"] for cell in rows["image"]] == [IMAGES[::-1][row] for row in wanted]

    def test_how_a_source_is_cut_changes_no_difficulty(self, folder: Path, scorer_folder: Path, tmp_path: Path) -> None:
        """Batches of 7 over row groups of 10 and of 3, of which the last batch is one row."""
        found = []
        for group in (10, 3):
            parquet_path(folder).write_bytes(parquet(IMAGES[:36], LABELS[:36], ClassLabel(names=WNIDS), group))
            builder = local(tmp_path / "cache", folder, scorer_folder, batch_size=7)
            stream = list(builder.as_streaming_dataset(split="train").remove_columns("image"))
            builder.download_and_prepare()
            prepared = builder.as_dataset(split="train")
            assert [row["difficulty"] for row in stream] == prepared["difficulty"][:]
            assert prepared["source_index"][:] == list(range(36))
            found.append(prepared["difficulty"][:])
        assert found[0] == found[1]
        assert len(set(found[0])) > 30

    def test_several_splits(self, timm_folder: Path, tmp_path: Path) -> None:
        builder = ScoredBuilder(
            cache_dir=str(tmp_path), source="digits", splits=("train", "validation"), scorer=str(timm_folder)
        )
        streams = builder.as_streaming_dataset()
        assert [len(list(streams[name].remove_columns("image").take(5))) for name in streams] == [5, 5]
        builder.download_and_prepare(num_proc=2)  # of which datasets makes one: there is one stream
        assert builder.as_dataset().num_rows == {"train": 1437, "validation": 360}

    def test_mistakes_are_one_sentence_and_leave_no_rows(
        self, folder: Path, scorer_folder: Path, tmp_path: Path
    ) -> None:
        cache = tmp_path / "cache"
        broken = [*IMAGES[:12], b"no image", *IMAGES[13:]]
        few = [row for row in range(len(LABELS)) if LABELS[row] != WOOF.imagenet_indices[3]]
        cases = {
            "the image of row 12 cannot be decoded": (broken, LABELS),
            "row 15 of .* has label 1000, outside its 1000 classes": (IMAGES, [*LABELS[:15], 1000, *LABELS[16:]]),
            "class 'beagle' of .* has no image": ([IMAGES[row] for row in few], [LABELS[row] for row in few]),
        }
        for sentence, (images, labels) in cases.items():
            parquet_path(folder).write_bytes(parquet(images, labels, ClassLabel(num_classes=1000)))
            builder = local(cache, folder, scorer_folder, subset="imagewoof")
            with pytest.raises(InputError, match=sentence):
                builder.download_and_prepare()
            with pytest.raises(InputError, match=sentence):
                list(builder.as_streaming_dataset(split="train").remove_columns("image"))
            assert not Path(builder.cache_dir).exists()
        refused = {
            "unknown subset 'imagewool'": {"subset": "imagewool"},
            "batch_size is 0": {"batch_size": 0},
            "/nowhere is not a folder": {"source": "/nowhere"},
            "the scorer /nowhere is not a folder": {"scorer": "/nowhere"},
        }
        for sentence, settings in refused.items():
            with pytest.raises(InputError, match=sentence):
                ScoredBuilder(**{"source": str(folder), "scorer": str(scorer_folder), **settings})
        with pytest.raises(InputError, match=r"cannot open split 'dev' of .*: it has train"):
            local(cache, folder, scorer_folder, splits=("dev",)).download_and_prepare()

    def test_refusals_of_the_hub(self, hub: HubServer, imagenet: Any, free_port: int) -> None:
        hub.gate(imagenet)
        gated, missing = build(
            hub,
            ("ScoredBuilder", {**WOOFS, "scorer": "acme/none"}, []),
            ("ScoredBuilder", {**WOOFS, "source": "digits", "scorer": "acme/none"}, []),
        )
        page = f"ask for access on {hub.url}/datasets/{SOURCE} and log in"
        assert page in gated["error"]
        assert missing["error"].startswith("cannot get the scorer acme/none: ")
        assert asked(hub) == []
        nowhere = {"HF_ENDPOINT": f"http://127.0.0.1:{free_port}"}
        jobs = [("ScoredBuilder", {**WOOFS, "source": source}, []) for source in (SOURCE, "digits")]
        source, scorer = build(hub, *jobs, env=nowhere)
        assert "cannot reach" in source["error"]
        assert scorer["error"].startswith(f"cannot get the scorer {SCORER}: ")


def write_original_woof(folder: Path) -> None:
    """The ImageWoof of the source, by the function that `prepare` uses."""
    path = parquet_path(folder / "in1k")
    path.parent.mkdir(parents=True)
    path.write_bytes(IMAGENET)
    write_original(str(folder / "in1k"), folder, splits={"train": "train"}, subset="imagewoof")


def prepare(cache: Path, source: Path, scorer: Path) -> None:
    local(cache, source, scorer).download_and_prepare()


def test_a_killed_preparation_is_not_taken_for_a_whole_one(
    digits_folder: Path, timm_folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    process = CONTEXT.Process(target=prepare, args=(cache, digits_folder, timm_folder))
    process.start()
    while not (begun := list(cache.glob("**/*.incomplete/scored-train*.arrow"))):
        assert process.is_alive()
        time.sleep(0.001)
    process.kill()
    process.join()
    assert begun[0].exists()
    builder = local(cache, digits_folder, timm_folder)
    assert not Path(builder.cache_dir).exists()
    with pytest.raises(FileNotFoundError):
        builder.as_dataset(split="train")
    builder.download_and_prepare()
    rows = undecoded(builder.as_dataset(split="train"))
    assert list(rows["image"]) == list(undecoded(read_rows(digits_folder))["image"])
    assert not list(cache.glob("**/*.incomplete"))


class TestDistilled:
    def test_both_ways_give_what_distill_gives(self, hub: HubServer, tmp_path: Path) -> None:
        repository = publish_pool(hub)
        settings = {"pool": POOL_REPO, "revision": "v1.0.0", "sample": SAMPLE, "seed": 3}
        (made,) = build(hub, ("DistilledBuilder", settings, BOTH), home=tmp_path)
        assert made["prepare"] == made["stream"]
        assert made["revision"] == repository.find("v1.0.0")
        expected = undecoded(distill(make_pool(), make_original(), SampleSettings(**SAMPLE), seed=3).rows)
        assert made["stream"]["sha256"] == sha256(cell["bytes"] for cell in expected["image"])
        for name in set(expected.column_names) - {"image"}:
            assert made["stream"][name] == expected[name][:]
        assert list(made["stream"]["features"]) == expected.column_names
        assert max(made["stream"]["pool_index"]) < 6

    def test_each_sampling_and_each_version_has_a_folder(self, hub: HubServer, tmp_path: Path) -> None:
        repository = publish_pool(hub)
        settings = {"pool": POOL_REPO, "sample": SAMPLE}
        changed = [{"seed": 1}, {"sample": {**SAMPLE, "ipc": 1}}, {"sample": {**SAMPLE, "weight": 0.25}}]
        tagged = {**settings, "revision": "v1.0.0"}
        jobs = [("DistilledBuilder", {**settings, **change}, []) for change in [{}, *changed]]
        first, *others = build(hub, *jobs, ("DistilledBuilder", tagged, []), home=tmp_path)
        assert others[-1]["cache_dir"] == first["cache_dir"]
        assert len({one["cache_dir"] for one in [first, *others]}) == 1 + len(changed)
        repository.commit("refs/heads/main", repository.find("main"), {"note.txt": repository.store(b"new")}, "a note")
        moved, still = build(hub, jobs[0], ("DistilledBuilder", tagged, []), home=tmp_path)
        assert still["cache_dir"] == first["cache_dir"] != moved["cache_dir"]

    def test_mistakes_are_one_sentence(self, hub: HubServer) -> None:
        publish_pool(hub)
        hub.add_repository("dataset", "acme/no-pool", {FILE: IMAGENET})
        cases: list[tuple[str, dict[str, Any]]] = [
            ("class 'Australian terrier' has 8 images in the pool, fewer than IPC 9", {"sample": {"ipc": 9}}),
            ("acme/no-pool", {"pool": "acme/no-pool"}),
            (f"{POOL_REPO} has no revision 'v7'", {"revision": "v7"}),
            ("/nowhere is not a folder", {"pool": "/nowhere"}),
        ]
        made = build(hub, *[("DistilledBuilder", {"pool": POOL_REPO, **case}, BOTH) for _, case in cases])
        for (sentence, _), result in zip(cases, made, strict=True):
            assert sentence in result["error"], result
        assert "BuilderConfig 'pool' not found" in made[1]["error"]


def test_real_imagenet_images(shared_data: Callable[[str], Path], scorer_folder: Path, tmp_path: Path) -> None:
    """One image of each of 1,000 classes: those of ImageIDC, byte for byte."""
    source = shared_data("imagenet1k-sample")
    builder = local(tmp_path, source, scorer_folder, subset="imageidc")
    streamed = list(builder.as_streaming_dataset(split="train").cast_column("image", Image(decode=False)))
    builder.download_and_prepare()
    assert streamed == list(undecoded(builder.as_dataset(split="train")))
    originals = undecoded(read_rows(source))
    assert len(streamed) == 10
    for row in streamed:
        assert row["image"]["bytes"] == originals[row["source_index"]]["image"]["bytes"]
        assert row["wnid"] == originals[row["source_index"]]["wnid"]
