"""Checkpoints in the original format: every form that is about, what is refused, and the command line."""

import argparse
import os
import pickle
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from benchmarks.published import difffit_parameters
from ddgs_hub.cli import main as cli
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows
from ddgs_hub.diffusion import convert_original_checkpoint, load_dit, sample_latents
from ddgs_hub.original import SUBSETS

SMALL = {"hidden_size": 384, "depth": 1, "num_heads": 6}  # the width of DiT-S, whose heads are inferred


class Payload:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def training_checkpoint(model, average):
    """What the training scripts of DiT and Minimax save."""
    optimizer = torch.optim.AdamW(difffit_parameters(model).values(), lr=1e-3, weight_decay=0)
    model(torch.ones(1, 4, 4, 4), torch.tensor([5]), torch.tensor([1])).sum().backward()
    optimizer.step()
    args = argparse.Namespace(model="DiT-S/2", lr=1e-3, epochs=8, spec=None, tune_difffit=True, sizes=[256, 256])
    return {
        "model": model.state_dict(),
        "ema": average.state_dict(),
        "opt": optimizer.state_dict(),
        "args": args,
    }


@pytest.mark.parametrize("form", ["plain.pt", "model.pth", "ema.pt", "0012000.pt", "plain.safetensors"])
def test_every_form_of_a_checkpoint_is_the_same_model(plain_dit, tmp_path, form):
    average, trained = (plain_dit(**SMALL, gamma_blocks=1).float() for _ in range(2))
    weights = average.state_dict()
    for parameter in trained.parameters():
        parameter.data *= 0.5
    contents = {
        "model.pth": {"model": weights, "step": 12000},
        "ema.pt": {"model": trained.state_dict(), "ema": weights},
        "0012000.pt": training_checkpoint(trained, average),
    }
    path = tmp_path / form
    (save_file if path.suffix == ".safetensors" else torch.save)(contents.get(form, weights), path)
    z, t, labels = torch.linspace(-1, 1, 64).view(1, 4, 4, 4), torch.tensor([700]), torch.tensor([2])
    with torch.inference_mode():
        found, expected = load_dit(path)(z, t, labels, return_dict=False)[0], average(z, t, labels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def save_in_the_old_format(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_as_a_pickle(content, path):
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    ("save", "load", "problem"),
    [
        (torch.save, torch.load, r"tensors it holds \w+.mkdir, .*: save its 'ema' or 'model'"),
        (save_in_the_old_format, torch.load, r"tensors it holds \w+.mkdir, .*: save its 'ema' or 'model'"),
        (
            save_as_a_pickle,
            lambda path, **_: pickle.loads(path.read_bytes()),
            "no checkpoint: download or save it again",
        ),
    ],
)
@pytest.mark.parametrize("wrap", [lambda payload: payload, lambda payload: argparse.Namespace(data=payload)])
def test_code_in_a_checkpoint_is_refused_and_never_run(plain_dit, tmp_path, wrap, save, load, problem):
    victim, path = tmp_path / "made", tmp_path / "0012000.pt"
    save({"ema": plain_dit().state_dict(), "args": wrap(Payload(victim))}, path)
    load(path, weights_only=False)
    victim.rmdir()  # so it works where it is let
    with pytest.raises(InputError, match=rf"cannot load a DiT from .*0012000.pt: .*{problem}"):
        load_dit(path)
    assert not victim.exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_file_is_refused(plain_dit, tmp_path, suffix):
    path, save = tmp_path / f"dit{suffix}", torch.save if suffix == ".pt" else save_file
    save(plain_dit().state_dict(), path)
    whole = path.read_bytes()
    for data in (b"", b"<html>404</html>", *(whole[:size] for size in (10, 1000, 10_000, len(whole) - 500))):
        path.write_bytes(data)
        with pytest.raises(InputError, match=rf"cannot load a DiT from .*dit{suffix}: it is damaged, or no checkpoint"):
            load_dit(path)


def test_what_is_no_dit_is_refused(plain_dit, tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(InputError, match=r"list.pt: it holds a list"):
        load_dit(tmp_path / "list.pt")
    with pytest.raises(InputError, match=r"no tensor 'x_embedder.proj.weight'"):
        convert_original_checkpoint({"weight": torch.zeros(1)})
    weights = plain_dit().state_dict()
    with pytest.raises(InputError, match="give num_heads"):
        convert_original_checkpoint(weights)
    with pytest.raises(InputError, match="cannot load a DiT"):
        load_dit(tmp_path)
    with pytest.raises(InputError, match="no checkpoint"):
        load_dit(tmp_path / "gone.pt")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pos_embed", "no tensor 'pos_embed'"),
        ("blocks.1.mlp.fc1.weight", r"missing \['transformer_blocks.1.ff"),
        ("t_embedder.mlp.0.bias", r"missing \['transformer_blocks.0.norm1.emb.timestep_embedder"),
    ],
)
def test_checkpoint_without_a_tensor_is_refused(plain_dit, name, problem):
    weights = plain_dit().state_dict()
    del weights[name]
    with pytest.raises(InputError, match=problem):
        convert_original_checkpoint(weights, num_heads=2)


def test_checkpoint_of_another_shape_is_refused(plain_dit):
    weights = plain_dit().state_dict()
    weights["blocks.0.mlp.fc2.weight"] = torch.zeros(16, 32)
    with pytest.raises(InputError, match=r"unexpected \['transformer_blocks.0.ff.net.2.weight'"):
        convert_original_checkpoint(weights, num_heads=2)


def test_generate_takes_an_original_checkpoint_and_the_classes_of_the_subset(
    plain_dit, tiny_codec, tmp_path, monkeypatch, capsys
):
    path, subset = tmp_path / "DiT-S.pt", SUBSETS["imagewoof"]
    torch.save(plain_dit(**SMALL, num_classes=1000).float().state_dict(), path)
    tiny_codec.encoder.save_pretrained(tmp_path / "vae")
    recipe = {
        "name": "tiny",
        "data": {"original": "ILSVRC/imagenet-1k", "subset": "imagewoof", "image_size": 8},
        "codec": {"encoder": str(tmp_path / "vae"), "decoder": None},
        "pool": {"num_steps": 2},
        "hub": {"dataset": "tiny", "pretty_name": "Tiny"},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    arguments = f"generate --recipe {tmp_path}/tiny.yaml --dit {path} --output {tmp_path}/pool --per-class 1"
    monkeypatch.setattr(sys, "argv", ["ddgs-hub", *arguments.split()])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code in (None, 0)
    assert "10 images, 1 a class, 2 steps, guidance 4" in capsys.readouterr().out
    rows = read_rows(tmp_path / "pool")
    assert rows["wnid"][:] == list(subset.wnids)
    images = np.stack([np.asarray(image, dtype=int) for image in rows["image"]])

    def made_of(class_ids):
        latents = sample_latents(load_dit(path), list(class_ids), rows["seed"][:], num_steps=2)
        return tiny_codec.decode(latents).astype(int)

    assert abs(images - made_of(subset.imagenet_indices)).max() <= 1
    assert abs(images - made_of(range(10))).max() > 1
