"""Sources on the Hub: what is read of them and at which commit, and what is said where they cannot be read."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel
from hub_datasets import (
    FILE,
    IMAGENET,
    IMAGES,
    LABELS,
    WANTED,
    WNIDS,
    WOOF,
    card,
    check_woof,
    parquet,
    read,
    renamed,
    sha256,
    shard,
)
from hub_server import HubServer

from ddgs_hub.core.columns import COLUMNS
from ddgs_hub.core.rows import parquet_path, read_rows, undecoded


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
            FILE: renamed(parquet(IMAGES, LABELS, ClassLabel(names=WNIDS), note=notes), ["photo", "class", "note"]),
        },
    }
    sizes = "".join(f"- config_name: {size}\n  data_files: {size}/train*\n" for size in ("160px", "320px"))
    repositories["fastai/sizes"] = {
        "README.md": f"---\nconfigs:\n{sizes}---\n".encode(),
        "160px/train.parquet": IMAGENET,
        "320px/train.parquet": repositories["fastai/by-name"][FILE],
    }
    for name, files in repositories.items():
        hub.add_repository("dataset", name, files)
    woofs = [{"source": name, "subset": "imagewoof"} for name in repositories]
    woofs[-1]["config"] = "320px"
    wholes = [{"source": name} for name in ("timm/imagenet-1k-wds", "acme/other-names")]
    hub.moved["imagenet-1k"] = "ILSVRC/imagenet-1k"
    *subsets, wds, other, moved, unsaid = read(
        hub, *woofs, *wholes, {"source": "imagenet-1k", "subset": "imagewoof"}, {"source": "fastai/sizes"}
    )
    assert moved == subsets[0]
    assert re.search("cannot open split 'train' of fastai/sizes: Config name .*'160px', '320px'", unsaid["error"])
    for name, result in zip(repositories, subsets, strict=True):
        if name.startswith("fastai"):
            check_woof(result, woof_images, [LABELS[row] for row in WANTED])
        else:
            check_woof(result)
        commit = hub.repository("dataset", name).find("main")
        assert (result["pinned"]["id"], result["pinned"]["commit"]) == (name, commit)
    assert (wds["label"], wds["names"], wds["sha256"]) == (LABELS, WNIDS, sha256(IMAGES))
    assert sorted(wds["columns"]) == ["image", "label"]
    assert (other["label"], other["sha256"], other["columns"]) == (LABELS, sha256(IMAGES), ["image", "label"])
    assert hub.strays == []


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
    """ImageNette's validation images at 224 px: no subset, every column of ours and every byte."""
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
    assert whole["columns"] == [name for name in table.column_names if name in COLUMNS]
    assert "class 'Australian terrier' of acme/nette (validation) has no image" in woof["error"]


# Runs the command line on each list of its arguments, with its token, in one process; prints code, stdout and stderr.
COMMANDS = """
import contextlib, io, json, os, sys
from ddgs_hub.cli.main import main

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
        ("a/b/c", "", [], "there is no folder a/b/c"),
    ]
    # A scorer that does not exist: it is looked for when the source has been opened.
    rest = ["--subset", "imagewoof", "--scorer", "acme/no-scorer", "--output", str(tmp_path / "out")]
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
        "scored": [
            "score",
            "ILSVRC/imagenet-1k",
            "--subset",
            "imagewoof",
            "--scorer",
            str(tmp_path / "scorer"),
            "--images",
        ],
        "original": ["prepare", "--recipe", "imagewoof", "--original", "ILSVRC/imagenet-1k"],
    }
    for name, command in commands.items():
        done = hub.run(["-m", "ddgs_hub", *command, "--output", str(tmp_path / name)], token="hf_alice")
        assert done.returncode == 0, done.stderr
        rows = read_rows(tmp_path / name)
        assert [row["image"]["bytes"] for row in undecoded(rows)] == [IMAGES[row] for row in WANTED]
    noted = json.loads((tmp_path / "original" / "source.json").read_text())
    assert (noted["source"], noted["commit"]) == ("ILSVRC/imagenet-1k", repository.find("main"))
    assert noted["rows"] == {"train": 20, "validation": 20}
    noted = json.loads((tmp_path / "scored" / "provenance.json").read_text())["source"]
    assert (noted["id"], noted["commit"]) == ("ILSVRC/imagenet-1k", repository.find("main"))
    assert read_rows(tmp_path / "scored").column_names == ["image", "label", "wnid", "source_index", "difficulty"]
    assert {path.name for path in tmp_path.iterdir()} == {"scorer", "scored", "original"}
