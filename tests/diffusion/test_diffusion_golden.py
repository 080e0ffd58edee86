"""Our diffusion code against numbers that the published codes produced."""

import json

import numpy as np
import pytest
import torch
from diffusers import DiTTransformer2DModel

from ddgs_hub.diffusion import (
    MinimaxCriterion,
    Schedule,
    add_difffit,
    convert_original_checkpoint,
    diffusion_losses,
    fold_difffit,
    sample_latents,
)
from ddgs_hub.diffusion.convert import rename_original
from ddgs_hub.diffusion.difffit import trained_parameters
from ddgs_hub.diffusion.dit import tie_condition_embedders


def test_five_steps_of_losses_and_memories_equal_the_published_code(golden_minimax):
    arrays, log = golden_minimax["arrays"], golden_minimax["log"]
    dit = convert_original_checkpoint(golden_minimax["state_dict"], num_heads=4)
    criterion, schedule = MinimaxCriterion(memory_size=4), Schedule.linear()
    close = {"rtol": 0, "atol": 1e-9}
    for step, expected in enumerate(log):
        z, noise = (torch.from_numpy(arrays[name][step]).double() for name in ("x", "noise"))
        t, conditions, labels = (torch.from_numpy(arrays[name][step]) for name in ("t", "y_eff", "ry"))
        z_t = schedule.add_noise(z, noise, t)
        output = dit(z_t, t, conditions, return_dict=False)[0]
        mse, bound, z_hat = diffusion_losses(schedule, output, z, z_t, noise, t)
        representativeness, diversity = criterion(z_hat, z, labels)
        torch.testing.assert_close(output, torch.from_numpy(arrays[f"A64/model_out/{step}"]), **close)
        torch.testing.assert_close(mse, torch.from_numpy(arrays[f"A64/mse/{step}"]), **close)
        torch.testing.assert_close(bound, torch.from_numpy(arrays[f"A64/vb/{step}"]), **close)
        torch.testing.assert_close(z_hat, torch.from_numpy(arrays[f"A64/output_xstart/{step}"]), **close)
        total = (mse + bound).mean() + representativeness + diversity
        found = representativeness.item(), diversity.item(), total.item()
        np.testing.assert_allclose(found, (expected["pos"], expected["neg"], expected["total"]), **close)
        assert {str(c): len(memory) for c, memory in criterion.real_memory.items()} == expected["mem_len"]
    for c in range(3):
        real, generated = (
            torch.from_numpy(arrays[f"A64/{name}/{c}"]).flatten(1) for name in ("mem_real", "mem_pseudo")
        )
        torch.testing.assert_close(criterion.real_memory[c], real, **close)
        torch.testing.assert_close(criterion.generated_memory[c], generated, **close)


@pytest.mark.parametrize(("dtype", "prefix"), [(torch.float32, "f32"), (torch.float64, "f64")])
def test_fifty_respaced_steps_equal_the_published_sampler(golden, golden_minimax, dtype, prefix):
    arrays = np.load(golden("dit_sampler.npz"))
    state_dict = {name: tensor.to(dtype) for name, tensor in golden_minimax["state_dict"].items()}
    dit = convert_original_checkpoint(state_dict, num_heads=4)
    # The published sampler doubles the batch for guidance and throws the second half's samples away.
    noise = torch.cat([torch.from_numpy(arrays["z0"])[None], torch.from_numpy(arrays["noise"])[:, :2]])
    sample = sample_latents(dit, arrays["y"][:2].tolist(), seeds=[0, 0], noise=noise)
    expected = torch.from_numpy(arrays[f"{prefix}/sample_after_step49"])[:2]
    # The random model's samples reach 1,000, where float32 ends at 1e-4: the absolute bound is for the float64 run.
    scale = expected.abs().max().item()
    torch.testing.assert_close(sample, expected, rtol=0, atol=1e-4 if dtype == torch.float64 else 1e-6 * scale)


def test_respaced_schedule_equals_the_published_one(golden):
    arrays = np.load(golden("dit_sampler.npz"))
    schedule = Schedule.linear(50)
    np.testing.assert_array_equal(schedule.timesteps, arrays["timestep_map"])
    np.testing.assert_allclose(schedule.betas, arrays["betas50"], rtol=1e-12)
    np.testing.assert_allclose(schedule.posterior_log_variance, arrays["posterior_log_variance_clipped50"], rtol=1e-12)


def test_folding_equals_the_published_fold(golden, golden_minimax):
    arrays, inputs = np.load(golden("fold.npz")), golden_minimax["arrays"]
    z, t, conditions = (torch.from_numpy(inputs[name][0]) for name in ("x", "t", "y_eff"))
    dit = convert_original_checkpoint(golden_minimax["state_dict"], num_heads=4)
    before = dit(z.double(), t, conditions, return_dict=False)[0]
    after = fold_difffit(dit)(z.double(), t, conditions, return_dict=False)[0]
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)
    folded = {
        k.removeprefix("folded_sd/"): torch.from_numpy(arrays[k]) for k in arrays.files if k.startswith("folded_sd/")
    }
    ours = dit.state_dict()
    for name, tensor in folded.items():
        for new_name, part in rename_original(name, tensor):
            torch.testing.assert_close(ours[new_name].float(), part, rtol=1e-6, atol=1e-7)


def test_trainable_names_and_count_of_dit_xl_2(golden):
    expected = json.loads(golden("difffit.json").read_text())["DiT-XL/2"]
    with torch.device("meta"):
        dit = DiTTransformer2DModel(num_attention_heads=16, attention_head_dim=72, out_channels=8, norm_eps=1e-6)
    trained = trained_parameters(add_difffit(tie_condition_embedders(dit)))
    assert sum(parameter.numel() for parameter in trained.values()) == expected["trainable"]
    # The original counts its fixed position embedding as a (frozen) parameter; diffusers has it as a buffer.
    parameters = sum(parameter.numel() for parameter in dit.parameters()) + dit.pos_embed.pos_embed.numel()
    assert parameters == expected["total_params"]
    renamed = {new for name in expected["trainable_names"] for new, _ in rename_original(name, torch.empty(3))}
    assert set(trained) == renamed
