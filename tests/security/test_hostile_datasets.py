"""Hostile datasets on the Hub against every command that reads one: nothing but their own files is ever asked for."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
from commands import Done, run_all
from datasets import Audio, ClassLabel, Features, Image, List, Value
from hub_datasets import encoded, shard
from hub_server import HubServer
from timm.models import save_for_hf

TOKEN = "hf_" + "Canary" * 6
CANARY = encoded(4_242)  # a picture of the user's
PRIVATE = "alice/private"  # a repository that the token of the user may read, and nobody else
FILE = "data/train-00000-of-00001.parquet"
NAMES = ["cat", "dog"]
EVALUATION = {"network": "convnet", "width": 4, "image_size": 8, "epochs": 1, "repeats": 1, "evaluations": 1}


def parquet(images: list[Any], image: Any = None, extra: Any = None, values: Any = None, **more: Any) -> bytes:
    """Rows of two classes, with a column `difficulty`, and perhaps one that is not ours."""
    features = Features(image=image or Image(), label=ClassLabel(names=NAMES), difficulty=Value("float32"))
    columns: dict[str, Any] = {
        "image": pa.array(images, features.arrow_schema.field("image").type),
        "label": pa.array([k % 2 for k in range(len(images))], pa.int64()),
        "difficulty": pa.array([k / len(images) for k in range(len(images))], pa.float32()),
    }
    if extra is not None:
        features["extra"] = extra
        columns["extra"] = pa.array([values] * len(images), features.arrow_schema.field("extra").type)
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=features.arrow_schema), buffer)
    return buffer.getvalue()


def cells(count: int = 8) -> list[dict[str, Any]]:
    return [{"bytes": encoded(k), "path": None} for k in range(count)]


GOOD = parquet(cells())


def card(data_files: Any, **more: Any) -> bytes:
    front_matter = json.dumps({"configs": [{"config_name": "default", "data_files": data_files, **more}]})
    return f"---\n{front_matter}\n---\n# Theirs\n".encode()


def named_by_rows(canary: str) -> dict[str, dict[str, bytes]]:
    """Repositories whose rows name files."""
    by_path = {"bytes": None, "path": canary}
    addresses = {
        "the user's file": canary,
        "a relative path": "canary.jpg",
        "environ": "/proc/self/environ",
        "another repository": f"hf://datasets/{PRIVATE}/{FILE}",
        "a web address": "https://203.0.113.1/x.png",
        "a chain": f"zip://x.png::hf://datasets/{PRIVATE}/x.zip",
    }
    rows = {
        name: {FILE: parquet([*cells(6), {"bytes": None, "path": path}, {"bytes": None, "path": path}])}
        for name, path in addresses.items()
    }
    nested = {
        "a second image": (Image(), by_path),
        "audio": (Audio(), by_path),
        "a list of images": (List(Image()), [by_path]),
        "images deep in a struct": ({"a": List({"b": Image()})}, {"a": [{"b": by_path}]}),
    }
    rows |= {name: {FILE: parquet(cells(), extra=kind, values=value)} for name, (kind, value) in nested.items()}
    rows["texts"] = {FILE: parquet([canary] * 8, image=Value("string"))}
    rows["metadata.csv"] = {
        **{f"train/{name}/{k}.jpg": encoded(k) for k, name in enumerate(NAMES * 4)},
        "train/metadata.csv": f"file_name,label\n{canary},cat\n../../canary.jpg,dog\n".encode(),
        "train/metadata.jsonl": json.dumps({"file_name": canary, "image": canary}).encode(),
    }
    rows["csv"] = {"train.csv": f"image,label\n{canary},cat\n".encode()}
    rows["json"] = {"train.jsonl": json.dumps({"image": by_path, "label": 0}).encode()}
    rows["a tar of names"] = {
        "README.md": shard_card(),
        "train-0.tar": tar_of({f"{canary}": CANARY, "canary.jpg": b""}),
    }
    rows["a tar of links"] = {"README.md": shard_card(), "train-0.tar": tar_of({}, link=canary)}
    return rows


def shard_card() -> bytes:
    features = Features({"jpg": Image(), "cls": ClassLabel(names=NAMES)})
    return f"---\n{json.dumps({'dataset_info': {'features': features._to_yaml_list()}})}\n---\n".encode()


def tar_of(names: dict[str, bytes], link: str = "") -> bytes:
    """A WebDataset whose members are called as the user's files are, or are links to them."""
    buffer = io.BytesIO(shard((k, encoded(k), k % 2) for k in range(0 if names or link else 4)))
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for k, name in enumerate(names or ["canary.jpg"]):
            stem = name.removesuffix(".jpg")
            for suffix, content in (("jpg", encoded(k)), ("cls", b"1")):
                member = tarfile.TarInfo(f"{stem}.{suffix}")
                member.size = len(content)
                if link and suffix == "jpg":
                    member.type, member.linkname, member.size = tarfile.SYMTYPE, link, 0
                file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def named_by_cards(folder: Path) -> dict[str, dict[str, bytes]]:
    """Repositories whose cards name files that are not theirs."""
    split = [{"split": "train", "path": ""}]
    places = {
        "a card: another repository": f"hf://datasets/{PRIVATE}/{FILE}",
        "a card: all of another repository": f"hf://datasets/{PRIVATE}@main/**",
        "a card: a model": "hf://alice/private-model/*.parquet",
        "a card: a web address": "https://203.0.113.1/train.parquet",
        "a card: this machine": str(folder / "secret" / "train.parquet"),
        "a card: home": "~/train.parquet",
        "a card: above": "../../secret/train.parquet",
        "a card: a chain": f"zip://train.parquet::hf://datasets/{PRIVATE}/x.zip",
        "a card: file": f"file://{folder}/secret/train.parquet",
    }
    repositories = {
        name: {"README.md": card([{**split[0], "path": place}]), FILE: GOOD} for name, place in places.items()
    }
    elsewhere = f"hf://datasets/{PRIVATE}"
    repositories |= {
        "a card: one text": {"README.md": card(f"{elsewhere}/{FILE}"), FILE: GOOD},
        "a card: a list": {"README.md": card([[f"{elsewhere}/{FILE}"]]), FILE: GOOD},
        "a card: data_dir": {"README.md": card(None, data_dir=elsewhere), FILE: GOOD},
        "a card: blanks before it": {"README.md": b"\n" + card([{**split[0], "path": elsewhere}]), FILE: GOOD},
        "a card: a file of its own": {".huggingface.yaml": card(elsewhere).strip(b"-# Theirs\n"), FILE: GOOD},
        "a card: aliases": {"README.md": b"---\na: &a [x]\nb: *a\n---\n", FILE: GOOD},
        "a card: nested": {"README.md": b"---\na: " + b"[" * 200 + b"]" * 200 + b"\n---\n", FILE: GOOD},
    }
    return repositories


REFUSED_CARDS = re.compile("a card: (?!aliases)")


class Scene:
    """A Hub with hostile datasets, what the user has, and what each command came to."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.calls: dict[str, list[str]] = {}
        hub.add_user("alice", TOKEN)
        (folder / "canary.jpg").write_bytes(CANARY)
        (folder / "secret").mkdir()
        (folder / "secret" / "train.parquet").write_bytes(parquet([{"bytes": CANARY, "path": None}] * 8))
        hub.add_repository("dataset", PRIVATE, {FILE: parquet([{"bytes": CANARY, "path": None}] * 8)}, private=True)
        overlay = {"input_size": (3, 32, 32)}
        model = timm.create_model("test_resnet", num_classes=2, pretrained_cfg_overlay=overlay)
        save_for_hf(model, folder / "scorer", model_config={"label_names": NAMES}, safe_serialization=True)
        recipe = {"name": "tiny", "data": {"original": "digits", "image_size": 8}, "evaluate": EVALUATION}
        recipe["hub"] = {"dataset": "tiny", "pretty_name": "Tiny"}
        (folder / "tiny.yaml").write_text(json.dumps(recipe))
        validation = folder / "validation" / "data" / "validation-00000-of-00001.parquet"
        validation.parent.mkdir(parents=True)
        validation.write_bytes(GOOD)

    def add(self, number: int, case: str, files: dict[str, bytes]) -> None:
        repo, output = f"acme/set-{number}", str(self.folder / "out" / str(number))
        self.hub.add_repository("dataset", repo, files)
        pools = {
            name.replace("data/", f"{kind}/"): file for name, file in files.items() for kind in ("pool", "original")
        }
        self.hub.add_repository("dataset", f"{repo}-pool", {**files, **pools})
        prepared = ["--recipe", "tiny.yaml", "--set", "data.validation_share=0.5"]
        commands = {
            "prepare": ["prepare", "--original", repo, *prepared],
            "score": ["score", repo, "--scorer", "scorer"],
            "score --push": ["score", repo, "--scorer", "scorer", "--push", f"alice/scored-{number}"],
            "sample": ["sample", "--pool", f"{repo}-pool", "--ipc", "1"],
            "sample --original": ["sample", "--pool", "validation", "--original", repo, "--ipc", "1"],
            "evaluate": ["evaluate", repo, "--validation", "validation", "--protocol", "tiny.yaml"],
            "load": ["load", repo],
            "explore": ["explore", f"{repo}-pool"],
        }
        for name, words in commands.items():
            writes = name not in ("evaluate", "load", "explore")
            self.calls[f"{case}: {name}"] = [*words, *(["--output", f"{output}-{name}"] if writes else [])]

    def play(self) -> None:
        self.done = run_all(self.hub, self.folder, self.calls, TOKEN)


def repositories(folder: Path) -> dict[str, dict[str, bytes]]:
    return {**named_by_rows(str(folder / "canary.jpg")), **named_by_cards(folder)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        made = Scene(hub, tmp_path_factory.mktemp("here"))
        for number, (case, files) in enumerate(repositories(made.folder).items()):
            made.add(number, case, files)
        made.play()
        yield made


COMMANDS = ("prepare", "score", "score --push", "sample", "sample --original", "evaluate", "load", "explore")


@pytest.mark.parametrize("case", [f"{name}: {command}" for name in repositories(Path("/x")) for command in COMMANDS])
def test_a_hostile_dataset(scene: Scene, case: str) -> None:
    done: Done = scene.done[case]
    assert done.code in (0, 2), done
    assert "Traceback" not in done.err
    said = [line for line in done.err.splitlines() if line.startswith("ddgs-hub: ")]
    assert len(said) == (done.code == 2), done
    if REFUSED_CARDS.match(case) and not case.endswith((": sample", ": explore")):  # which read no card
        assert done.code == 2, done


def test_what_the_user_has_is_nowhere(scene: Scene) -> None:
    written = [path for path in (scene.folder / "out").rglob("*") if path.is_file()]
    assert written, "nothing went well: the test shows nothing"
    for path in written:
        content = path.read_bytes()
        assert CANARY not in content, path
        assert TOKEN.encode() not in content, path
        assert str(scene.folder / "canary.jpg").encode() not in content, path
    for done in scene.done.values():
        assert TOKEN not in done.out + done.err


def test_nothing_was_asked_for_but_their_own_files(scene: Scene) -> None:
    assert scene.hub.strays == []
    asked = {request.path for request in scene.hub.requests}
    assert not [path for path in asked if "private" in path]


def test_what_was_published_has_no_file_of_the_users(scene: Scene) -> None:
    published = [name for name in scene.calls if name.endswith("score --push") and scene.done[name].code == 0]
    assert published, "nothing was published: the test shows nothing"
    for name in published:
        words = scene.calls[name]
        repository = scene.hub.repository("dataset", words[words.index("--push") + 1])
        for path in repository.head.files:
            assert CANARY not in repository.read(path), path
