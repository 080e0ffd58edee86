import pytest
import torch
from diffusers import DDPMScheduler

from ddgs_hub.diffusion import Schedule, diffusion_losses, sample_latents


def test_one_step_equals_diffusers_ddpm_with_learned_variance(tiny_dit):
    """An independent implementation of the same equations, fed with the same noise."""
    scheduler = DDPMScheduler(
        beta_start=1e-4, beta_end=0.02, variance_type="learned_range", clip_sample=False, timestep_spacing="linspace"
    )
    scheduler.set_timesteps(10)
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(2, 4, 4, 4, generator=generator)
    noises = [z]
    for t in scheduler.timesteps:
        output = tiny_dit(z, t.expand(2), torch.tensor([0, 2]), return_dict=False)[0]
        state = generator.get_state()
        z = scheduler.step(output, t, z, generator=generator).prev_sample
        generator.set_state(state)
        noises.append(torch.randn(z.shape, generator=generator))
    ours = sample_latents(tiny_dit, [0, 2], [0, 0], 10, guidance_scale=1, noise=torch.stack(noises))
    torch.testing.assert_close(ours, z.detach(), rtol=1e-4, atol=1e-5)


def test_seed_alone_decides_the_noise_of_an_image(tiny_dit):
    together = sample_latents(tiny_dit, [0, 1, 2], seeds=[5, 6, 7], num_steps=4)
    alone = sample_latents(tiny_dit, [1], seeds=[6], num_steps=4)
    # Not to the last bit: matrices of other shapes are summed in another order.
    torch.testing.assert_close(together[1:2], alone, rtol=1e-3, atol=1e-4)
    other = sample_latents(tiny_dit, [1], seeds=[8], num_steps=4)
    assert not torch.allclose(alone, other)


def test_perfect_noise_prediction_has_no_error_and_recovers_the_latents():
    schedule = Schedule.linear()
    z, noise = torch.randn(2, 5, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0, 1, 10, 500, 999])
    z_t = schedule.add_noise(z, noise, t)
    output = torch.cat([noise, torch.zeros_like(noise)], dim=1)
    mse, bound, z_hat = diffusion_losses(schedule, output, z, z_t, noise, t)
    assert mse.abs().max() == 0
    torch.testing.assert_close(z_hat, z, rtol=1e-3, atol=1e-3)
    assert (bound > 0).all()


def test_variance_bound_does_not_train_the_noise_prediction():
    schedule = Schedule.linear()
    z, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    output = torch.zeros(3, 8, 4, 4, requires_grad=True)
    t = torch.tensor([0, 400, 999])
    _, bound, _ = diffusion_losses(schedule, output, z, schedule.add_noise(z, noise, t), noise, t)
    bound.sum().backward()
    assert output.grad[:, :4].abs().max() == 0
    assert output.grad[:, 4:].abs().max() > 0


@pytest.mark.parametrize("num_steps", [2, 50, 1000])
def test_respaced_chain_ends_where_the_full_one_does(num_steps):
    full, respaced = Schedule.linear(), Schedule.linear(num_steps)
    assert respaced.timesteps[0] == 0
    assert respaced.timesteps[-1] == 999
    torch.testing.assert_close(respaced.alphas_cumprod[-1], full.alphas_cumprod[-1])
    torch.testing.assert_close((1 - respaced.betas).prod(), full.alphas_cumprod[-1])
