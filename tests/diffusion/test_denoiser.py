import torch

from ddgs_hub.diffusion import add_difffit, cast_frozen, denoise, embed_conditions
from ddgs_hub.diffusion.denoiser import Denoiser
from ddgs_hub.diffusion.difffit import trained_parameters

TIMESTEPS, LABELS = torch.tensor([0, 10, 10, 999, 10]), torch.tensor([1, 2, 2, 0, 3])


def latents():
    return torch.randn(5, 4, 4, 4, generator=torch.Generator().manual_seed(0))


def test_forward_pass_is_that_of_diffusers(tiny_dit):
    expected = tiny_dit(latents(), TIMESTEPS, LABELS, return_dict=False)[0]
    torch.testing.assert_close(Denoiser(tiny_dit)(latents(), TIMESTEPS, LABELS), expected, rtol=1e-5, atol=1e-6)
    conditions = embed_conditions(tiny_dit, TIMESTEPS[[0, 1, 3, 4]], LABELS[[0, 1, 3, 4]])
    shared = denoise(tiny_dit, latents(), conditions, torch.tensor([0, 1, 1, 2, 3]))
    torch.testing.assert_close(shared, expected, rtol=1e-5, atol=1e-6)


def test_conditions_are_embedded_once_a_pass(tiny_dit):
    calls = []
    tiny_dit.transformer_blocks[0].norm1.emb.register_forward_hook(lambda *_: calls.append(1))
    Denoiser(tiny_dit)(latents(), TIMESTEPS, LABELS)
    assert len(calls) == 1


def test_gradient_checkpointing_has_the_same_gradients_and_keeps_less(tiny_dit):
    add_difffit(tiny_dit)
    gradients, kept = [], []
    for checkpointing in (False, True):
        sizes: list[int] = []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        model = Denoiser(tiny_dit, gradient_checkpointing=checkpointing)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(latents(), TIMESTEPS, LABELS)
        kept.append(sum(sizes))
        tiny_dit.zero_grad()
        output.square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in trained_parameters(tiny_dit).values()])
    torch.testing.assert_close(*gradients)
    assert kept[1] < 0.5 * kept[0]


def test_frozen_weights_in_bfloat16_leave_what_is_trained_in_float32(tiny_dit):
    add_difffit(tiny_dit)
    expected = Denoiser(tiny_dit)(latents(), TIMESTEPS, LABELS)
    cast_frozen(tiny_dit, torch.bfloat16)
    kinds = {name: parameter.dtype for name, parameter in tiny_dit.named_parameters()}
    assert {kinds[name] for name in trained_parameters(tiny_dit)} == {torch.float32}
    assert kinds["transformer_blocks.1.attn1.to_q.weight"] == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        output = Denoiser(tiny_dit)(latents(), TIMESTEPS, LABELS)
    assert output.dtype == torch.float32
    # bfloat16 has 8 bits: 0.4 % a rounding.
    assert 0 < (output - expected).abs().max() < 0.02 * expected.abs().max()
    output.sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in trained_parameters(tiny_dit).values())


def test_whole_model_in_bfloat16_takes_and_gives_float32(tiny_dit):
    conditions = embed_conditions(tiny_dit, TIMESTEPS, LABELS)
    expected = denoise(tiny_dit, latents(), conditions)
    output = denoise(cast_frozen(tiny_dit.requires_grad_(False), torch.bfloat16), latents(), conditions)
    assert output.dtype == torch.float32
    assert 0 < (output - expected).abs().max() < 0.03 * expected.abs().max()
