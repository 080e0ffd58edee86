"""Hostile repositories of each kind, as far as provenance, cards and tags go, against every command that reads them.

Nothing of this machine is read for them or told to anybody, nothing acts on a terminal, and whatever is refused is
refused in one sentence. All commands run in one process, which talks to a Hub on this machine.
"""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Done, run_all
from datasets import ClassLabel, Dataset, Features, Image, Value
from hub_datasets import encoded
from hub_server import HubServer
from published import RECIPE

from ddgs_hub.core.text import printable
from ddgs_hub.hub import DistilledCard, describe_rows, export_dataset, hash_weights
from ddgs_hub.recipe import Recipe, parse_recipe, recipe_to_dict

TOKEN = "hf_" + "Canary" * 6
SECRET = "a canary of this machine"
SHARD = "train-00000-of-00001.parquet"
CONTENT = {"rows": "0" * 64, "num_rows": 4, "mean_difficulty": 0.5, "pool": "a", "dit": "b", "scorer": "c"}
ESCAPES = "\x1b[2J\x1b]0;title\x07\u202eevil\u2066\x9b31m\x00\r\nddgs-hub: all is well"


def recipe(**hub: Any) -> dict[str, Any]:
    return recipe_to_dict(parse_recipe({**RECIPE, "hub": {**RECIPE["hub"], **hub}}))


def told(**values: Any) -> bytes:
    """A `provenance.json` with these values in the place of ordinary ones."""
    ordinary = {"recipe": recipe(), "versions": {}, "content": CONTENT}
    return json.dumps({**ordinary, **values}).encode()


# What is refused wherever it is read, and what is not, for it does no harm where it is shown.
REFUSED = {
    "nested deeply": told()[:-1] + b', "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested in its recipe": told(recipe=json.loads('{"a": ' * 300 + "1" + "}" * 300)),
    "a number of 6,000 digits": told()[:-1] + b', "steps": ' + b"9" * 6000 + b"}",
    "an infinite number": told()[:-1] + b', "content": {"mean_difficulty": 1e999}}',
    "no number": told(content={**CONTENT, "num_rows": "four"}),
    "rows that are a list": told(content={**CONTENT, "num_rows": [4]}),
    "a negative count": told(content={**CONTENT, "num_rows": -4}),
    "a hash that is none": told(content={**CONTENT, "rows": "../../x"}),
    "versions of another type": told(versions=[["torch", "1"]]),
    "a large recipe": told(recipe={"note": "x" * 1_000_000}),
    "many keys": told(recipe={str(k): k for k in range(100_000)}),
    "a million files": told(published={"version": "v1.0.0", "files": ["a"] * 1_000_000}),
    "files elsewhere": told(published={"version": "v1.0.0", "files": ["../../../canary.txt"]}),
    "files of this machine": told(published={"version": "v1.0.0", "files": ["/etc/passwd"]}),
    "a version that is a list": told(published={"version": ["v1.0.0"]}),
    "a split elsewhere": told(source={"id": "acme/in1k", "split": "../../*"}),
    "a split of all files": told(source={"id": "acme/in1k", "split": "**/*"}),
    "a source of this machine": told(source={"id": "/etc/passwd"}),
    "too large": told() + b" " * 2**24,
}
SHOWN = {
    "escapes": told(
        recipe=recipe(note=ESCAPES, license=ESCAPES),
        versions={ESCAPES: ESCAPES},
        published={"version": "v1.0.0", "changes": ESCAPES, "files": []},
    ),
    "keys with escapes": told(recipe={**recipe(), ESCAPES: ESCAPES}),
    "megabytes of text": told(published={"version": "v1.0.0", "changes": "x" * 3_000_000}),
    "an absurd version": told(published={"version": f"v{'9' * 5000}.0.0"}),
    "markup": told(recipe=recipe(note="<script>alert(1)</script> {{ 7*7 }} ](javascript:alert(1))", license="a: b")),
    "formulas": told(recipe=recipe(pretty_name="$\\evil{$", note="$\\frac{$")),
    "a list": b"[1]",
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
}
PROVENANCES = {**REFUSED, **SHOWN}
OF_MODELS = (
    *("nested deeply", "no number", "versions of another type", "files elsewhere", "many keys"),
    *("escapes", "keys with escapes", "an absurd version", "no JSON"),
)
COMMANDS = ("versions", "versions --json", "diff", "load", "sample", "publish --dry-run", "publish")
SOURCES = [
    "/etc/passwd",
    "canary.txt",
    "./runs",
    "runs",
    "digits",
    "~",
    "C:\\runs",
    "hf://datasets/acme/in1k",
    "acme/none",
]
SOURCES += ["http://203.0.113.1/a", "file:///etc/passwd", "../runs", "acme/images"]
# Those that the Hub itself could not show are in tests/hub/test_hostile_cards.py.
CARDS = {
    "Python": "a: !!python/object/apply:os.system ['cat canary.txt']\n",
    "odd keys": "1: a\n",
    "no mapping": "- a\n",
}


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def make_rows(count: int) -> Dataset:
    columns = {
        "image": [{"bytes": encoded(k), "path": None} for k in range(count)],
        "label": [k % 2 for k in range(count)],
        "pool_index": [k // 2 for k in range(count)],
        "seed": list(range(count)),
        "difficulty": [k / count for k in range(count)],
    }
    types = {"pool_index": Value("int64"), "seed": Value("int64"), "difficulty": Value("float32")}
    return Dataset.from_dict(columns, Features(image=Image(), label=ClassLabel(names=["zero", "one"]), **types))


def files() -> dict[str, bytes]:
    """Rows, pool and original of a published set."""
    pool = make_rows(16).data.table
    return {
        f"data/{SHARD}": parquet(make_rows(4).data.table),
        f"pool/{SHARD}": parquet(pool),
        f"original/{SHARD}": parquet(make_rows(16).select_columns(["label", "difficulty"]).data.table),
    }


def folders(parent: Path) -> dict[str, Path]:
    """What is published over the repositories of others: a distilled set, a DiT, a scorer."""
    values: Recipe = parse_recipe(RECIPE)
    rows = make_rows(4)
    provenance = {"recipe": recipe_to_dict(values), "content": {**CONTENT, **describe_rows(rows)}}
    export_dataset(rows, parent / "set", DistilledCard(recipe=values), provenance=provenance, figures={})
    for kind, name in (("dit", "adapter.safetensors"), ("scorer", "model.safetensors")):
        (parent / kind).mkdir()
        (parent / kind / name).write_bytes(b"weights")
        (parent / kind / "README.md").write_text("# A model\n")
        content = {"weights": hash_weights(parent / kind)}
        (parent / kind / "provenance.json").write_text(json.dumps({"kind": kind, "content": content}))
    return {kind: parent / kind for kind in ("set", "dit", "scorer")}


class Scene:
    """A Hub with hostile repositories, a working directory with canaries, and what the commands came to."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.calls: dict[str, list[str]] = {}
        self.done: dict[str, Done] = {}
        self.ours = folders(folder)
        rows = make_rows(4).data.table
        for name in ("runs", "digits", "acme/images"):
            (folder / name / "data").mkdir(parents=True)
            (folder / name / "data" / SHARD).write_bytes(parquet(rows))
        (folder / "canary.txt").write_text(SECRET)
        hub.add_user("alice", TOKEN, orgs=["acme"])

    def add(self, kind: str, name: str, content: dict[str, bytes], tags: tuple[str, ...] = ("v1.0.0", "v1.1.0")) -> str:
        repository = self.hub.add_repository(kind, f"acme/{name}", content)
        for tag in tags:
            repository.set_ref(f"refs/tags/{tag}", repository.head.sha)
        return repository.id

    def against(self, repo: str, commands: tuple[str, ...], case: str, ours: str = "set") -> None:
        """Notes what is to be called of a repository."""
        output = str(self.folder / "out" / repo.split("/")[1])
        words = {
            "diff": ["diff", repo, "v1.0.0", "v1.1.0"],
            "sample": ["sample", "--pool", repo, "--ipc", "2", "--output", output],
            "publish": ["publish", str(self.ours[ours]), "--repo", repo],
        }
        for command in commands:
            name, *options = command.split()
            self.calls[f"{case}: {command}"] = [*words.get(name, [name, repo]), *options]

    def play(self) -> None:
        self.done = run_all(self.hub, self.folder, self.calls, TOKEN)


def add_models(scene: Scene) -> None:
    for kind in ("dit", "scorer"):
        for case in OF_MODELS:
            text = PROVENANCES[case].replace(b'"content": ', f'"kind": "{kind}", "content": '.encode(), 1)
            content = {"provenance.json": text, "config.json": b'{"auto_map": {"AutoModel": "code.Model"}}'}
            repo = scene.add("model", f"{kind}-{len(scene.calls)}", content)
            scene.against(repo, ("versions", "diff --json", "publish"), f"{kind}, {case}", ours=kind)


def add_sources(scene: Scene) -> None:
    scores = make_rows(4).remove_columns("image").add_column("source_index", list(range(4)), feature=Value("int64"))
    for source in SOURCES:
        told_of = {"kind": "scored", "source": {"id": source, "split": "train"}, "content": {"rows": "0" * 64}}
        content = {f"data/{SHARD}": parquet(scores.data.table), "provenance.json": json.dumps(told_of).encode()}
        repo = scene.add("dataset", f"scores-{len(scene.calls)}", content)
        scene.against(repo, ("load", "versions"), f"source {source}")


def add_tags(scene: Scene) -> None:
    content = {**files(), "provenance.json": told(published={"version": "v1.0.0"})}
    repo = scene.add("dataset", "many-tags", content)
    repository = scene.hub.repository("dataset", repo)
    many = {f"refs/tags/v2.{k // 100}.{k % 100}": repository.head.sha for k in range(10_000)}
    odd = [f"v{'9' * 5000}.0.0", "v1.2", ESCAPES, "v٣.0.0", "x" * 100_000]
    refs = {**repository.refs, **many, **{f"refs/tags/{tag}": repository.head.sha for tag in odd}}
    (repository.folder / "refs.json").write_text(json.dumps(refs))
    scene.against(repo, COMMANDS, "tags")
    repo = scene.add("dataset", "nowhere", content)
    scene.hub.repository("dataset", repo).set_ref("refs/tags/v3.0.0", "0" * 40)
    scene.against(repo, ("versions",), "a tag to nowhere")
    scene.calls["a tag to nowhere: diff"] = ["diff", repo, "v1.0.0", "v3.0.0"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        made = Scene(hub, tmp_path_factory.mktemp("here"))
        for case, text in PROVENANCES.items():
            repo = made.add("dataset", f"set-{len(made.calls)}", {**files(), "provenance.json": text})
            made.against(repo, COMMANDS, f"set, {case}")
        for case, front_matter in CARDS.items():
            card = f"---\n{front_matter}---\n# Theirs\n".encode()
            repo = made.add("dataset", f"card-{len(made.calls)}", {"README.md": card, "provenance.json": told()})
            made.against(repo, ("publish --dry-run", "publish"), f"card, {case}")
        add_models(made)
        add_sources(made)
        add_tags(made)
        made.play()
        yield made


def cases() -> list[str]:
    sets = [f"set, {case}: {command}" for case in PROVENANCES for command in COMMANDS]
    models = [
        f"{kind}, {case}: {command}"
        for kind in ("dit", "scorer")
        for case in OF_MODELS
        for command in ("versions", "diff --json", "publish")
    ]
    cards = [f"card, {case}: {command}" for case in CARDS for command in ("publish --dry-run", "publish")]
    sources = [f"source {source}: {command}" for source in SOURCES for command in ("load", "versions")]
    tags = [*(f"tags: {command}" for command in COMMANDS), *(f"a tag to nowhere: {c}" for c in ("versions", "diff"))]
    return [*sets, *models, *cards, *sources, *tags]


@pytest.mark.parametrize("case", cases())
def test_a_hostile_repository(scene: Scene, case: str) -> None:
    done, repo = scene.done[case], next(word for word in scene.calls[case] if word.startswith("acme/"))
    assert done.code in (0, 2), done
    said = [line for line in done.err.splitlines() if line.startswith("ddgs-hub: ")]
    assert len(said) == (done.code == 2), done
    assert all(len(line) < 2_500 for line in said)
    for text in (done.out, done.err):
        assert printable(text) == text
        assert len(text) < 200_000
        assert SECRET not in text
        assert TOKEN not in text
        assert "Traceback" not in text
    if case.endswith("--json") and not done.code:
        assert done.out.isascii()
        json.loads(done.out)
    kind, _, name = case.rpartition(":")[0].partition(", ")
    if kind == "card" or name in REFUSED:
        assert done.code == 2, done
        assert repo in done.err or "the card on the Hub" in done.err
    elif name in SHOWN and "sample" not in case and "load" not in case and "diff" not in case:
        assert done.code == 0, done


@pytest.mark.parametrize("source", SOURCES)
def test_scores_of_something_on_this_machine(scene: Scene, source: str) -> None:
    done = scene.done[f"source {source}: load"]
    assert done.code == 2, done
    assert re.search("it is no id of a repository|and a file or folder here is called so|there is no dataset", done.err)


def test_nothing_of_this_machine_was_told_to_anybody(scene: Scene) -> None:
    assert scene.hub.strays == []
    assert not any(TOKEN in request.path or SECRET in request.path for request in scene.hub.requests)
    for path in scene.hub.store.folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert SECRET.encode() not in content
        assert TOKEN.encode() not in content


def test_files_of_others_are_as_they_were_where_nothing_was_published(scene: Scene) -> None:
    for case in (*REFUSED, *CARDS):
        kind = "card" if case in CARDS else "set"
        *_, repo = next(words for name, words in scene.calls.items() if name == f"{kind}, {case}: publish")
        assert len(scene.hub.repository("dataset", repo).commits) == 2
