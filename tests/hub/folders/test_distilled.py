"""What is exported must load with nothing of ours: in another process, with an empty cache, streamed or not."""

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from clients import environment, run
from datasets import ClassLabel, Dataset, Features, Image, load_dataset
from diffusers import AutoencoderKL
from huggingface_hub import DatasetCard as HubDatasetCard
from PIL import Image as PILImage

from ddgs_hub.core.columns import COLUMNS
from ddgs_hub.core.errors import InputError
from ddgs_hub.diffusion import add_difffit, save_adapter
from ddgs_hub.diffusion.dit import load_dit, new_dit, save_pipeline
from ddgs_hub.hub import DISTILLED, DistilledCard, DiTCard, export_dataset, render_card
from ddgs_hub.hub.folders.dit import write_dit_card
from ddgs_hub.recipe import Recipe, parse_recipe

NAMES = ["zero", "one"]
COLUMNS_OF_ROWS = {name: COLUMNS[name] for name in DISTILLED.columns["data"]}
FEATURES = Features({**COLUMNS_OF_ROWS, "label": ClassLabel(names=NAMES)})
PROVENANCE = {"recipe": {"seed": 0, "name": "tiny"}, "commits": {"λ": "49e2ee2"}}
LOAD = """
import json, sys
from datasets import load_dataset

out = {}
for streaming in (False, True):
    rows = load_dataset(sys.argv[1], split="train", streaming=streaming)
    out[str(streaming)] = {
        "features": str(rows.features),
        "rows": [[row["label"], row["seed"], row["difficulty"], list(row["image"].getdata())] for row in rows],
    }
print(json.dumps(out))
"""


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make_rows(shift: float = 0.0) -> Dataset:
    columns = {
        "image": [{"bytes": png(k), "path": None} for k in range(6)],
        "label": [0, 0, 0, 1, 1, 1],
        "wnid": [None] * 6,
        "pool_index": [4, 7, 9, 0, 1, 8],
        "seed": [2**62 + k for k in range(6)],
        "difficulty": [k / 7 + shift for k in range(6)],
        "difficulty_log": [k / 6 for k in range(6)],
        "difficulty_bin": [0, 1, 3, 5, 6, 8],
        "soft_label_classes": [[k % 2, 1 - k % 2] for k in range(6)],
        "soft_label_probabilities": [[0.75, 0.25]] * 6,
    }
    return Dataset.from_dict(columns, features=FEATURES)


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(
        {
            "name": "tiny",
            "data": {"original": "digits", "image_size": 8},
            "hub": {"dataset": "tiny-ddgs-ipc{ipc}", "pretty_name": "Tiny"},
            "model": {
                "base": None,
                "label_space": "dataset",
                "pretraining": {"hidden_size": 16, "depth": 2, "num_heads": 2},
            },
            "pool": {"num_steps": 2},
            "sample": {"ipc": 3},
        }
    )


@pytest.fixture
def figure(tmp_path: Path) -> Path:
    path = tmp_path / "somewhere.png"
    path.write_bytes(png(99))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def python_blocks(markdown: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", markdown, flags=re.DOTALL)


def test_folder_has_exactly_the_files_of_the_repository(tmp_path: Path, recipe: Recipe, figure: Path) -> None:
    out = tmp_path / "hub" / "tiny"
    export_dataset(
        make_rows(),
        out,
        DistilledCard(recipe=recipe),
        provenance=PROVENANCE,
        figures={"sheet": figure, "extra": figure},
    )
    written = files(out)
    assert sorted(written) == [
        "README.md",
        "data/train-00000-of-00001.parquet",
        "figures/extra.png",
        "figures/sheet.png",
        "provenance.json",
    ]
    assert written["figures/sheet.png"] == figure.read_bytes()
    assert json.loads(written["provenance.json"]) == PROVENANCE
    assert list(json.loads(written["provenance.json"])) == ["commits", "recipe"]
    card = written["README.md"].decode()
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", card):
        assert picture in written
    assert card.count("![") == 2
    assert sorted(p.name for p in out.parent.iterdir()) == ["tiny"]


def test_another_process_loads_it_streamed_or_not(tmp_path: Path, recipe: Recipe) -> None:
    rows = make_rows()
    out = export_dataset(rows, tmp_path / "tiny", DistilledCard(recipe=recipe), provenance={}, figures={})
    env = environment(HF_HOME=str(tmp_path / "home"), HF_HUB_OFFLINE="1")
    done = run(["-c", LOAD, str(out)], env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    expected = [[r["label"], r["seed"], r["difficulty"], [list(p) for p in r["image"].getdata()]] for r in rows]
    for streaming in ("False", "True"):
        assert loaded[streaming]["features"] == str(FEATURES)
        assert loaded[streaming]["rows"] == expected


def test_rows_written_anew_are_not_served_from_the_cache(tmp_path: Path, recipe: Recipe) -> None:
    # The files have the same size and number of rows, so only the checksum in the card tells them apart.
    sizes, loaded = set(), []
    for shift in (0.0, 0.125):
        out = export_dataset(
            make_rows(shift), tmp_path / "tiny", DistilledCard(recipe=recipe), provenance={}, figures={}
        )
        sizes.add((out / "data/train-00000-of-00001.parquet").stat().st_size)
        loaded.append(load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))["difficulty"][:])
    assert len(sizes) == 1
    assert loaded == [make_rows(shift)["difficulty"][:] for shift in (0.0, 0.125)]


def test_same_input_gives_the_same_bytes(tmp_path: Path, recipe: Recipe, figure: Path) -> None:
    card = DistilledCard(recipe=recipe, versions={"torch": "2.15.0"})
    reverse = dict(reversed(PROVENANCE.items()))
    for name, provenance in (("a", PROVENANCE), ("b", reverse)):
        export_dataset(make_rows(), tmp_path / name, card, provenance=provenance, figures={"sheet": figure})
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_card_counts_the_rows_that_were_selected(tmp_path: Path, recipe: Recipe) -> None:
    rows = make_rows().select([5, 0, 3])
    out = export_dataset(rows, tmp_path / "tiny", DistilledCard(recipe=recipe), provenance={}, figures={})
    info = HubDatasetCard((out / "README.md").read_text(encoding="utf-8")).data["dataset_info"]
    table = pq.read_table(out / "data")
    assert info["splits"] == [{"name": "train", "num_bytes": info["dataset_size"], "num_examples": 3}]
    assert 0.9 * table.nbytes < info["dataset_size"] < 1.1 * table.nbytes + 1000  # before compression, with the headers
    assert info["download_size"] == (out / "data/train-00000-of-00001.parquet").stat().st_size
    assert table["seed"].to_pylist() == rows["seed"][:]


def test_images_are_written_unchanged_and_what_they_were_called_is_not(tmp_path: Path, recipe: Recipe) -> None:
    features = Features(image=Image(decode=False), label=ClassLabel(names=NAMES))
    images = [{"bytes": png(k), "path": f"secret-folder/{k}.png"} for k in range(2)]
    rows = Dataset.from_dict({"image": images, "label": [0, 1]}, features=features)
    out = export_dataset(rows, tmp_path / "tiny", DistilledCard(recipe=recipe), provenance={}, figures={})
    loaded = load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["image"] == Image()
    cells = loaded.cast_column("image", Image(decode=False))["image"][:]
    assert cells == [{"bytes": png(0), "path": None}, {"bytes": png(1), "path": None}]
    assert all(b"secret-folder" not in content for content in files(out).values())


def test_an_image_that_is_only_a_path_is_not_exported(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "canary.png").write_bytes(png(0))
    features = Features(image=Image(decode=False), label=ClassLabel(names=NAMES))
    rows = Dataset.from_dict({"image": [str(tmp_path / "canary.png")], "label": [0]}, features=features)
    with pytest.raises(InputError, match="row 0 of the rows to write has no bytes of an image"):
        export_dataset(rows, tmp_path / "tiny", DistilledCard(recipe=recipe), provenance={}, figures={})
    assert not (tmp_path / "tiny").exists()


def test_a_failed_export_leaves_what_was_there(tmp_path: Path, recipe: Recipe) -> None:
    card, out = DistilledCard(recipe=recipe), tmp_path / "hub" / "tiny"
    export_dataset(make_rows(), out, card, provenance={}, figures={})
    before = files(out)
    with pytest.raises(FileNotFoundError):
        export_dataset(make_rows(0.1), out, card, provenance={}, figures={"sheet": tmp_path / "missing.png"})
    with pytest.raises(ValueError, match="JSON"):
        export_dataset(make_rows(0.1), out, card, provenance={"x": float("nan")}, figures={})
    assert files(out) == before
    assert [p.name for p in out.parent.iterdir()] == ["tiny"]


def test_code_in_the_dataset_card_runs(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    card = DistilledCard(recipe=recipe)
    out = export_dataset(make_rows(), tmp_path / "tiny", card, provenance={}, figures={})
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (code,) = python_blocks((out / "README.md").read_text(encoding="utf-8"))
    scope: dict[str, Dataset] = {}
    exec(code.replace(card.repo_id, str(out)), scope)
    assert len(scope["rows"]) == 6


@pytest.fixture(scope="module")
def dit_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base, and the model that DiffFit makes of it: pipelines of two classes, 8 px, latents of 4 px."""
    base, tuned = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("tuned")
    torch.manual_seed(0)
    dit = new_dit(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        num_layers=2,
        sample_size=4,
        patch_size=2,
        num_embeds_ada_norm=2,
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
    )
    save_pipeline(dit, vae, base, id2label=dict(enumerate(NAMES)))
    tuned_dit = add_difffit(load_dit(base))
    with torch.no_grad():
        for parameter in tuned_dit.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    save_pipeline(tuned_dit, vae, tuned, id2label=dict(enumerate(NAMES)))
    save_adapter(tuned_dit, tuned / "adapter.safetensors")
    return base, tuned


def test_code_in_the_model_card_runs(
    dit_folders: tuple[Path, Path], recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, tuned = dit_folders
    card = DiTCard(recipe=recipe, name="tiny-dit", class_ids={"zero": 0, "one": 1})
    text = write_dit_card(tuned, card).read_text(encoding="utf-8")
    monkeypatch.chdir(tuned)
    scopes: list[dict[str, object]] = []
    for code in python_blocks(text):
        scopes.append({})
        code = re.sub(r"= hf_hub_download\(.*\)", '= "adapter.safetensors"', code)  # there is no Hub here
        exec(code.replace(card.repo_id, str(tuned)).replace("BASE", str(base)), scopes[-1])
    generated, sampled, adapted = scopes
    assert [image.size for image in generated["images"]] == [(8, 8), (8, 8)]  # type: ignore[attr-defined]
    assert sampled["latents"].shape == (2, 4, 4, 4)  # type: ignore[attr-defined]
    z, t, labels = torch.randn(2, 4, 4, 4), torch.tensor([3, 500]), torch.tensor([0, 1])
    with torch.no_grad():
        outputs = [scope["dit"](z, t, labels).sample for scope in (sampled, adapted)]  # type: ignore[operator]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


def test_model_card_says_what_the_folder_holds(dit_folders: tuple[Path, Path], tmp_path: Path, recipe: Recipe) -> None:
    card = DiTCard(recipe=recipe, name="tiny-dit", base_model="someone/base")
    base, tuned = dit_folders
    assert "## The adapter" not in write_dit_card(base, card).read_text(encoding="utf-8")
    assert write_dit_card(tuned, card).read_text(encoding="utf-8") == render_card(
        dataclasses.replace(card, adapter=True)
    )
    (tmp_path / "adapter.safetensors").write_bytes((tuned / "adapter.safetensors").read_bytes())
    alone = write_dit_card(tmp_path, card).read_text(encoding="utf-8")
    assert "DiTPipeline" not in alone
    assert "base_model_relation: adapter\n" in alone
