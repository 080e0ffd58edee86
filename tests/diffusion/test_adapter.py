import copy
import json
from pathlib import Path

import pytest
import torch
from changes import output, perturb
from clients import environment, run
from diffusers import DiTPipeline, DiTTransformer2DModel
from model_cache import COMMIT, ModelCache
from safetensors.torch import load_file

from ddgs_hub.core.errors import InputError
from ddgs_hub.diffusion import (
    PoolClasses,
    add_difffit,
    fold_difffit,
    load_adapter,
    load_dit,
    read_adapter_config,
    save_adapter,
    save_pipeline,
)
from ddgs_hub.diffusion.difffit import CLASS_TABLE, trained_parameters
from ddgs_hub.diffusion.dit import tie_condition_embedders

CLASSES = PoolClasses(names=["a", "c"], wnids=["n1", None], dit_ids=[0, 2])


@pytest.fixture
def tuned(tiny_dit) -> DiTTransformer2DModel:
    """The tiny DiT, fine-tuned on classes 0 and 2."""
    dit = add_difffit(copy.deepcopy(tiny_dit))
    perturb(dit, [0, 2, 3])
    return dit


def test_adapter_holds_what_was_trained_and_restores_it_to_the_last_bit(tiny_dit, tuned, tmp_path):
    path = tmp_path / "adapter.safetensors"
    save_adapter(tuned, path, classes=CLASSES, base_model="org/base", base_revision=COMMIT)
    tensors = load_file(path)
    assert tensors["class_rows"].tolist() == [0, 2, 3]  # the used classes and the null class
    assert set(tensors) - {"class_rows", "class_table"} == set(trained_parameters(tuned)) - {CLASS_TABLE}
    config = read_adapter_config(path)
    assert (config.base_model, config.base_revision, config.classes) == ("org/base", COMMIT, CLASSES)
    torch.testing.assert_close(output(load_adapter(tiny_dit, path)), output(tuned), rtol=0, atol=0)


def test_adapter_of_another_base_is_refused(tiny_dit, tuned, tmp_path):
    save_adapter(tuned, tmp_path / "a.safetensors", base_model="org/base")
    with torch.no_grad():
        tiny_dit.proj_out_2.weight[0, 0] += 1e-3
    with pytest.raises(InputError, match="was trained on another DiT than this one: load org/base at main"):
        load_adapter(tiny_dit, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"cannot load the adapter .*b.safetensors: it is damaged"):
        load_adapter(tiny_dit, tmp_path / "b.safetensors")
    save_adapter(tuned, tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="does not name its base"):
        load_dit(tmp_path / "c.safetensors")


def test_adapter_on_an_adapter(tiny_dit, tuned, tiny_codec, tmp_path, monkeypatch):
    """The first is alone in its repository, and names a pipeline on the Hub as its base."""
    cache = ModelCache(tmp_path / "hub", monkeypatch)
    save_pipeline(tiny_dit, tiny_codec.decoder, cache.repository("org/base"), id2label={}, num_classes=3)
    save_adapter(tuned, cache.repository("org/first") / "adapter.safetensors", base_model="org/base")
    torch.testing.assert_close(output(load_dit("org/first")), output(tuned), rtol=1e-5, atol=1e-6)
    again = add_difffit(fold_difffit(load_dit("org/first")))
    perturb(again, [0, 2, 3])
    save_adapter(again, tmp_path / "second.safetensors", base_model="org/first")
    found = output(load_dit(tmp_path / "second.safetensors"))
    torch.testing.assert_close(found, output(again), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, output(tuned))


def test_adapter_of_ten_classes_of_dit_xl_2_is_under_three_mebibytes(tmp_path):
    with torch.device("meta"):
        dit = DiTTransformer2DModel(num_attention_heads=16, attention_head_dim=72, out_channels=8)
        add_difffit(tie_condition_embedders(dit))
    for module in dit.modules():  # what is saved, and what the base is known by, alone takes memory
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad or module in (dit.pos_embed.proj, dit.proj_out_2):
                setattr(module, name, torch.nn.Parameter(torch.zeros_like(parameter, device="cpu")))
                getattr(module, name).requires_grad_(parameter.requires_grad)
    tie_condition_embedders(dit)
    classes = PoolClasses([str(k) for k in range(10)], [None] * 10, list(range(100, 110)))
    save_adapter(dit, tmp_path / "adapter.safetensors", classes=classes)
    assert sum(tensor.numel() for tensor in load_file(tmp_path / "adapter.safetensors").values()) == 599_072 + 11
    assert (tmp_path / "adapter.safetensors").stat().st_size < 3 * 2**20


@pytest.mark.parametrize("num_classes", [1000, 10])
def test_pipeline_is_made_of_base_and_adapter_on_demand(tuned, tiny_codec, tmp_path, num_classes):
    save_pipeline(fold_difffit(tuned), tiny_codec.decoder, tmp_path, id2label={0: "a"}, num_classes=num_classes)
    pipeline = DiTPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.transformer.config.num_embeds_ada_norm == num_classes
    # The stock pipeline guides with class 1000; it can use the smaller model without guidance only.
    guidance = 4.0 if num_classes == 1000 else 1.0
    [image] = pipeline([0], num_inference_steps=2, guidance_scale=guidance).images
    assert image.size == (8, 8)
    torch.testing.assert_close(output(pipeline.transformer), output(tuned), rtol=1e-4, atol=1e-5)


def test_base_and_its_commit_come_from_the_hub_cache(tiny_dit, tuned, tiny_codec, tmp_path):
    """A real Hub id, found in the cache: the network is off."""
    repository = tmp_path / "hub" / "models--org--base"
    save_pipeline(tiny_dit, tiny_codec.decoder, repository / "snapshots" / COMMIT, id2label={}, num_classes=3)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    save_adapter(tuned, tmp_path / "adapter.safetensors", base_model="org/base", base_revision=COMMIT)
    script = """
import json, sys, torch
from ddgs_hub.diffusion import load_dit, loaded_commit
load_dit("org/base")
dit = load_dit(sys.argv[1])
z = torch.linspace(-1, 1, 2 * 4 * 4 * 4).view(2, 4, 4, 4)
with torch.inference_mode():
    out = dit(z, torch.tensor([7, 900]), torch.tensor([0, 2]), return_dict=False)[0]
print(json.dumps([loaded_commit("org/base"), out.flatten().tolist()]))
"""
    env = environment(HF_HUB_CACHE=str(tmp_path / "hub"), HF_HUB_OFFLINE="1")
    done = run(["-c", script, str(tmp_path / "adapter.safetensors")], env=env, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    commit, found = json.loads(done.stdout)
    assert commit == COMMIT
    torch.testing.assert_close(torch.tensor(found), output(tuned).flatten(), rtol=0, atol=0)
