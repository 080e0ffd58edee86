"""Stock clients in processes of their own load from the local Hub what they load from the Hub."""

import io
import json

import numpy as np
import timm
import torch
from datasets import ClassLabel, Dataset, Features, Image
from diffusers import AutoencoderKL, DiTTransformer2DModel
from huggingface_hub import HfApi, constants
from PIL import Image as PILImage
from timm.models import save_for_hf

from ddgs_hub.diffusion import save_pipeline
from ddgs_hub.diffusion.dit import new_dit

CARD = b"---\nconfigs:\n- config_name: default\n  data_files: [{split: train, path: data/train-*}]\n---\n# Rows\n"
LOAD_ROWS = """
import json, sys
from datasets import load_dataset

out = {}
for revision in (None, "v1"):
    for streaming in (False, True):
        rows = load_dataset(sys.argv[1], split="train", streaming=streaming, revision=revision)
        label = rows.features["label"].int2str
        out[f"{revision} {streaming}"] = [[label(row["label"]), list(row["image"].getdata())] for row in rows]
labels = load_dataset(sys.argv[1], split="train", streaming=True, columns=["label"])
out["columns"] = [sorted(row) for row in labels]
print(json.dumps(out))
"""
LOAD_MODELS = """
import json
import timm, torch
from diffusers import DiTPipeline

pipeline = DiTPipeline.from_pretrained("acme/dit")
scorer = timm.create_model("hf-hub:acme/scorer", pretrained=True).eval()
with torch.no_grad():
    print(json.dumps([
        float(sum(parameter.double().sum() for parameter in pipeline.transformer.parameters())),
        pipeline.labels,
        scorer(torch.ones(1, 3, 64, 64)).flatten().tolist(),
    ]))
"""


def parquet(count):
    """A shard of `count` rows, and what a client should read from it."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, 4, 4), dtype=np.uint8)
    features = Features(image=Image(), label=ClassLabel(names=["zero", "one"]))
    images = [PILImage.fromarray(image) for image in pixels]
    buffer = io.BytesIO()
    Dataset.from_dict({"image": images, "label": [0] * count}, features).to_parquet(buffer)
    return buffer.getvalue(), [["zero", image.flatten().tolist()] for image in pixels]


def test_load_dataset(hub):
    hub.add_user("alice", "hf_alice", orgs=["acme"])
    api, files = HfApi(endpoint=hub.url, token="hf_alice"), {}
    (files["v1"], first), (files["v2"], second) = parquet(2), parquet(3)
    repository = hub.add_repository(
        "dataset", "acme/rows", {"README.md": CARD, "data/train-0.parquet": files["v1"]}, private=True
    )
    api.create_tag("acme/rows", tag="v1", repo_type="dataset")
    api.upload_file(
        path_or_fileobj=files["v2"], path_in_repo="data/train-0.parquet", repo_id="acme/rows", repo_type="dataset"
    )
    assert len(repository.commits) == 3
    done = hub.run(LOAD_ROWS, "acme/rows", token="hf_alice")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "None False": second,
        "None True": second,
        "v1 False": first,
        "v1 True": first,
        "columns": [["label"]] * 3,
    }
    # Without a revision datasets asks the dataset viewer, too, whose name it makes from the endpoint's.
    viewer = hub.url.replace("://", "://datasets-server.")
    assert {url.split("?")[0] for url in hub.strays if url.startswith("http")} <= {f"{viewer}/info"}


def test_models(hub, tmp_path):
    torch.manual_seed(0)
    dit = new_dit(
        num_attention_heads=2, attention_head_dim=8, num_layers=1, in_channels=4, sample_size=4, num_embeds_ada_norm=2
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(4,),
        norm_num_groups=2,
        sample_size=4,
    )
    save_pipeline(dit, vae, tmp_path / "dit", id2label={0: "zero", 1: "one"})
    scorer = timm.create_model("test_resnet", num_classes=3).eval()
    save_for_hf(scorer, tmp_path / "scorer", safe_serialization=True)
    for name in ("dit", "scorer"):
        folder = tmp_path / name
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        hub.add_repository("model", f"acme/{name}", files)

    done = hub.run(LOAD_MODELS)
    assert done.returncode == 0, done.stderr
    total, labels, logits = json.loads(done.stdout)
    saved = DiTTransformer2DModel.from_pretrained(tmp_path / "dit" / "transformer")
    assert total == sum(parameter.detach().double().sum() for parameter in saved.parameters())
    assert labels == {"one": 1, "zero": 0}
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(logits), scorer(torch.ones(1, 3, 64, 64))[0])
    assert hub.strays == []


def test_a_client_process_reaches_nobody_else(hub):
    hub.add_user("alice", "hf_alice")
    script = """
import json, sys
import huggingface_hub
from huggingface_hub import get_session
name = huggingface_hub.whoami()["name"]
elsewhere = get_session().get("http://example.org/").status_code
print(json.dumps([name, elsewhere, huggingface_hub.constants.HF_HUB_CACHE, *sys.argv[1:]]))
"""
    done = hub.run(script, "argument", token="hf_alice")
    assert done.returncode == 0, done.stderr
    name, status, cache, argument = json.loads(done.stdout)
    assert (name, status, argument) == ("alice", 502, "argument")
    assert cache != constants.HF_HUB_CACHE
    assert hub.strays == ["http://example.org/"]
