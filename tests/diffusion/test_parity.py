"""Our diffusion code against a plain implementation of the published recipe, on random weights of any shape.

`benchmarks/published.py` is the reference. It shares no code with ours, and is itself held to the golden vectors here.
"""

import copy

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from benchmarks.published import (
    TRAINING,
    PlainDiT,
    PlainMinimax,
    difffit_parameters,
    plain_losses,
    plain_sample,
    plain_trajectory,
)
from ddgs_hub.diffusion import LatentCache, convert_original_checkpoint, finetune, sample_latents
from ddgs_hub.diffusion.convert import rename_original
from ddgs_hub.diffusion.difffit import trained_parameters
from ddgs_hub.diffusion.latents import BatchSource
from ddgs_hub.recipe import FinetuneSettings

XL_BLOCK = {"hidden_size": 1152, "depth": 1, "num_heads": 16, "num_classes": 1000, "input_size": 32}  # XL/2, 256 px


def close(found, expected, atol):
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=0, atol=atol)


@pytest.fixture
def golden_plain_dit(golden_minimax):
    dit = PlainDiT(hidden_size=32, depth=4, num_heads=4, num_classes=10, input_size=8, gamma_blocks=2).double()
    close(dit.pos_embed.detach(), golden_minimax["state_dict"]["pos_embed"], 0)
    dit.load_state_dict(golden_minimax["state_dict"])
    return dit.requires_grad_(False)


def test_plain_implementation_computes_what_the_published_code_did(golden_minimax, golden_plain_dit):
    arrays, minimax = golden_minimax["arrays"], PlainMinimax(size=4)
    for step, expected in enumerate(golden_minimax["log"]):
        z, noise = (torch.from_numpy(arrays[name][step]).double() for name in ("x", "noise"))
        t, conditions, labels = (torch.from_numpy(arrays[name][step]) for name in ("t", "y_eff", "ry"))
        close(golden_plain_dit(TRAINING.noisy(z, noise, t), t, conditions), arrays[f"A64/model_out/{step}"], 1e-9)
        mse, bound, z_hat = plain_losses(golden_plain_dit, z, noise, t, conditions)
        close(mse, arrays[f"A64/mse/{step}"], 1e-9)
        close(bound, arrays[f"A64/vb/{step}"], 1e-9)
        close(z_hat, arrays[f"A64/output_xstart/{step}"], 1e-9)
        pull, push = minimax(z_hat, z, labels)
        assert [0.002 * pull.item(), 0.008 * push.item()] == pytest.approx([expected["pos"], expected["neg"]], abs=1e-9)


def test_plain_sampler_draws_what_the_published_one_did(golden, golden_plain_dit):
    arrays = np.load(golden("dit_sampler.npz"))
    # The published sampler doubles the batch for guidance and throws the second half's samples away.
    noise = torch.from_numpy(np.concatenate([arrays["z0"][None], arrays["noise"][:, :2]])).double()
    sample = plain_sample(golden_plain_dit, torch.from_numpy(arrays["y"][:2]), noise)
    close(sample, arrays["f64/sample_after_step49"][:2], 1e-9)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("gamma_blocks", [0, 1])
@pytest.mark.parametrize("shape", [{}, XL_BLOCK], ids=["tiny", "XL block"])
def test_converted_checkpoint_computes_the_same(plain_dit, shape, gamma_blocks, dtype, atol):
    plain = plain_dit(**shape, gamma_blocks=gamma_blocks).to(dtype)
    size = plain.side * plain.patch_size
    z = torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)
    t, labels = torch.tensor([1, 999]), torch.tensor([2, plain.null_class])
    dit = convert_original_checkpoint(plain.state_dict(), num_heads=plain.blocks[0].attn.num_heads)
    with torch.inference_mode():
        found, expected = dit(z, t, labels, return_dict=False)[0], plain(z, t, labels)
    assert 0.3 < expected.std() < 3  # the absolute bounds are for outputs of O(1)
    close(found, expected, atol)


@pytest.mark.parametrize(("num_steps", "guidance_channels"), [(50, 3), (50, 4), (10, 3)])
def test_sampler_draws_the_same(plain_dit, num_steps, guidance_channels):
    plain = plain_dit()
    # A quiet model: what it leaves of the start, times 1 / sqrt(ᾱ_T) = 157, is what the samples are made of.
    for parameter in plain.final_layer["linear"].parameters():
        parameter.data *= 0.1
    noise = torch.randn(num_steps + 1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = plain_sample(plain, torch.tensor([0, 2, 1]), noise, num_steps, 4.0, guidance_channels)
    dit = convert_original_checkpoint(plain.state_dict(), num_heads=2)
    found = sample_latents(dit, [0, 2, 1], [0, 0, 0], num_steps, 4.0, noise, guidance_channels=guidance_channels)
    assert 10 < expected.std() < 300
    close(found, expected, 1e-8)


@pytest.fixture
def cache():
    """24 latents of three classes in float64, plain and mirrored."""
    mean = torch.randn(2, 24, 4, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return LatentCache(mean, torch.full_like(mean, -2.0), torch.arange(3).repeat(8))


def test_five_steps_of_finetuning_go_the_same_way(plain_dit, cache):
    # A short memory, that it overflows; a fast average and heavy Minimax losses, that they count in five steps.
    shared = {"ema_decay": 0.9, "memory_size": 4, "representativeness_weight": 0.2, "diversity_weight": 0.8}
    recipe = FinetuneSettings(epochs=5 / 3, batch_size=8, label_dropout=0.3, **shared)
    start = plain_dit().state_dict()
    dit, log = finetune(
        convert_original_checkpoint(start, num_heads=2), cache, recipe, seed=6, accelerator=Accelerator(cpu=True)
    )

    plain = PlainDiT(16, 2, 2, 3, 4, gamma_blocks=1).double()  # fresh gammas in the first of two blocks
    plain.load_state_dict(start, strict=False)
    average = copy.deepcopy(plain)
    source = BatchSource(cache=cache, batch_size=8, label_dropout=0.3, null_class=3, seed=6)
    drawn = [source.draw(step) for step in range(5)]
    batches = [(b.z, b.noise.double(), b.steps, b.labels, b.conditions) for b in drawn]
    expected = list(plain_trajectory(plain, average, batches, **shared))

    assert all((b.labels != b.conditions).any() for b in drawn)
    assert len(log) == 5
    for ours, theirs in zip(log, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=0, abs=1e-8)
    found, in_training = dit.state_dict(), trained_parameters(dit).keys()
    for name, parameter in average.named_parameters():
        for new_name, part in rename_original(name, parameter.detach()):
            close(found[new_name], part, 1e-8)
            assert (new_name in in_training) == (name in difffit_parameters(plain))
