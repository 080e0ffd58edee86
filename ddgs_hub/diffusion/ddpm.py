"""Gaussian diffusion with learned variance: the training losses and the respaced DDPM sampler that DiT uses.

Ho et al. 2020 (DDPM), Nichol & Dhariwal 2021 (learned variance, respacing); Eq. 1–2 of the paper. Tables are float64.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor

from ddgs_hub.diffusion.denoiser import denoise, embed_conditions
from ddgs_hub.diffusion.dit import null_class
from ddgs_hub.diffusion.guides import DenoisingStep, Shift

TRAIN_STEPS = 1000


@dataclass(frozen=True)
class Schedule:
    """The coefficients of a chain of diffusion steps, each a float64 tensor of shape `(T,)`.

    Attributes:
        timesteps: the training timestep (0 … 999) that the model is given at each step.
        betas: β_i, variance that step i adds.
        alphas_cumprod: ᾱ_i.
        posterior_variance: β̃_i of q(z_{i−1} | z_i, z_0).
        posterior_log_variance: its logarithm; step 0, where it is −∞, takes step 1's.
        posterior_mean_z0: the factor of z_0 in the mean of q(z_{i−1} | z_i, z_0).
        posterior_mean_zt: the factor of z_i in it.
    """

    timesteps: Tensor
    betas: Tensor
    alphas_cumprod: Tensor
    posterior_variance: Tensor
    posterior_log_variance: Tensor
    posterior_mean_z0: Tensor
    posterior_mean_zt: Tensor

    @classmethod
    def linear(cls, num_steps: int = TRAIN_STEPS) -> "Schedule":
        """β linear from 1e-4 to 0.02 over 1,000 steps, respaced to `num_steps` that are evenly spread from 0 to 999."""
        train_betas = torch.linspace(1e-4, 0.02, TRAIN_STEPS, dtype=torch.float64)
        timesteps = torch.from_numpy(np.linspace(0, TRAIN_STEPS - 1, num_steps).round().astype(np.int64))
        alphas_cumprod = (1 - train_betas).cumprod(0)[timesteps]
        previous = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
        betas = 1 - alphas_cumprod / previous
        variance = betas * (1 - previous) / (1 - alphas_cumprod)
        return cls(
            timesteps=timesteps,
            betas=betas,
            alphas_cumprod=alphas_cumprod,
            posterior_variance=variance,
            posterior_log_variance=torch.cat([variance[1:2], variance[1:]]).log(),
            posterior_mean_z0=betas * previous.sqrt() / (1 - alphas_cumprod),
            posterior_mean_zt=(1 - previous) * (1 - betas).sqrt() / (1 - alphas_cumprod),
        )

    def to(self, device: torch.device) -> "Schedule":
        """The same tables on another device."""
        return Schedule(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def add_noise(self, z: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """z_t of Eq. 1: `sqrt(ᾱ_t) z + sqrt(1 − ᾱ_t) ε`; `z`, `noise` are `(B, C, h, w)`, `steps` `(B,)`."""
        return _at(self.alphas_cumprod.sqrt(), steps, z) * z + _at((1 - self.alphas_cumprod).sqrt(), steps, z) * noise

    def predict_z0(self, z_t: Tensor, eps: Tensor, steps: Tensor) -> Tensor:
        """ẑ: the clean latent that a noise prediction implies, unclipped, `(B, C, h, w)`."""
        scale = _at((1 / self.alphas_cumprod).sqrt(), steps, z_t)
        return scale * z_t - _at((1 / self.alphas_cumprod - 1).sqrt(), steps, z_t) * eps

    def posterior_mean(self, z_0: Tensor, z_t: Tensor, steps: Tensor) -> Tensor:
        """The mean of q(z_{t−1} | z_t, z_0), `(B, C, h, w)`."""
        return _at(self.posterior_mean_z0, steps, z_t) * z_0 + _at(self.posterior_mean_zt, steps, z_t) * z_t

    def learned_log_variance(self, output: Tensor, steps: Tensor) -> Tensor:
        """The model's log-variance: its output, −1 … 1, interpolates between log β̃ and log β."""
        share = (output + 1) / 2
        lower = _at(self.posterior_log_variance, steps, output)
        return share * _at(self.betas.log(), steps, output) + (1 - share) * lower


def diffusion_losses(
    schedule: Schedule, output: Tensor, z: Tensor, z_t: Tensor, noise: Tensor, steps: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The losses of DiT's training and the predicted clean latents.

    Args:
        schedule: the full chain of 1,000 steps.
        output: of the model, `(B, 2C, h, w)`: predicted noise and variance.
        z: clean latents, `(B, C, h, w)`.
        z_t: noisy latents, of the same shape.
        noise: the noise that was added, of the same shape.
        steps: `(B,)`.

    Returns:
        Mean squared error of the noise (Eq. 2), the learned-variance bound in bits per number, both `(B,)`, and ẑ
        `(B, C, h, w)`. The bound trains the variance only: it sees the noise prediction without its gradient.
    """
    eps, variance = output.chunk(2, dim=1)
    mse = (eps - noise).square().flatten(1).mean(1)
    z_hat = schedule.predict_z0(z_t, eps, steps)
    mean = schedule.posterior_mean(z_hat.detach(), z_t, steps)
    log_variance = schedule.learned_log_variance(variance, steps)
    true_mean = schedule.posterior_mean(z, z_t, steps)
    kl = _normal_kl(true_mean, _at(schedule.posterior_log_variance, steps, z), mean, log_variance)
    bound = torch.where(steps[:, None, None, None] == 0, -_discretised_log_likelihood(z, mean, log_variance), kl)
    return mse, bound.flatten(1).mean(1) / math.log(2), z_hat


@torch.inference_mode()
def sample_latents(
    dit: DiTTransformer2DModel,
    class_labels: Sequence[int],
    seeds: Sequence[int],
    num_steps: int = 50,
    guidance_scale: float = 4.0,
    noise: Tensor | None = None,
    *,
    guidance_channels: int | Literal["all"] = 3,
    denoiser: Callable[..., Tensor] = denoise,
    guide: Shift | None = None,
) -> Tensor:
    """Samples latents by respaced DDPM with learned variance and classifier-free guidance.

    Args:
        dit: the model, on its device, in eval mode.
        class_labels: class index of each image, length B.
        seeds: one seed for each image; it alone decides the image's noise, whatever else is in the batch.
        num_steps: steps of the respaced chain.
        guidance_scale: 1 is no guidance.
        noise: `(num_steps + 1, B, C, h, w)` replaces what the seeds would draw: z_T first, then each step's.
        guidance_channels: latent channels that are guided, from the first: three, as in the original DiT's code.
        denoiser: `denoise`, or its compiled form.
        guide: shifts the mean of each step; see `guides`. None: nothing is shifted.

    Returns:
        Latents, `(B, C, h, w)`, in the scale that the model was trained on.
    """
    first = dit.pos_embed.proj.weight  # its type is that of the latents
    schedule = Schedule.linear(num_steps).to(first.device)
    channels, size = dit.config.in_channels, dit.config.sample_size
    guided_channels = channels if guidance_channels == "all" else guidance_channels
    if noise is None:
        noise = torch.stack([_noise(seed, (num_steps + 1, channels, size, size)) for seed in seeds], dim=1)
    noise = noise.to(first)
    labels = torch.tensor(class_labels, device=first.device)
    if guidance_scale != 1:  # conditional and unconditional in one pass
        labels = torch.cat([labels, torch.full_like(labels, null_class(dit))])
    classes, rows = labels.unique(return_inverse=True)
    pairs = schedule.timesteps.repeat_interleave(len(classes)), classes.repeat(num_steps)
    conditions = embed_conditions(dit, *pairs).unflatten(0, (num_steps, -1))  # of every step and class, (T, K, D)
    z = noise[0]
    for i, step_noise in zip(reversed(range(num_steps)), noise[1:], strict=True):
        if guidance_scale == 1:
            output = denoiser(dit, z, conditions[i], rows)
        else:
            outputs = denoiser(dit, torch.cat([z, z]), conditions[i], rows)
            output = _guided(outputs, guidance_scale, guided_channels)
        z = _previous(schedule, output, z, i, step_noise, guide)
    return z


def _guided(outputs: Tensor, scale: float, channels: int) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022): ε = ε_∅ + s · (ε_y − ε_∅), on the first channels.

    Args:
        outputs: of the model, `(2B, 2C, h, w)`: with the classes y, then with the null class ∅.
        scale: s.
        channels: how many channels are guided; all others are those with the class.

    Returns:
        `(B, 2C, h, w)`.
    """
    conditional, unconditional = outputs.chunk(2)
    plain = unconditional[:, :channels]
    guided = plain + scale * (conditional[:, :channels] - plain)
    return torch.cat([guided, conditional[:, channels:]], dim=1)


def _previous(schedule: Schedule, output: Tensor, z: Tensor, i: int, noise: Tensor, guide: Shift | None) -> Tensor:
    """z_{i−1} ~ N(μ(ẑ, z_i) + shift, Σ_i) with the learned variance; the last step, i = 0, adds no noise.

    Args:
        schedule: the respaced chain.
        output: of the model, `(B, 2C, h, w)`: predicted noise and variance.
        z: z_i, `(B, C, h, w)`.
        i: the step.
        noise: standard normal, of the shape of `z`.
        guide: what makes the shift.
    """
    eps, variance = output.chunk(2, dim=1)
    steps = torch.full((len(z),), i, device=z.device)
    z_hat = schedule.predict_z0(z, eps, steps)
    mean = schedule.posterior_mean(z_hat, z, steps)
    deviation = (schedule.learned_log_variance(variance, steps) / 2).exp()
    if guide is not None:
        shift = guide(DenoisingStep(i, len(schedule.betas), z, z_hat, mean, deviation))
        mean = mean if shift is None else mean + shift
    return mean if i == 0 else mean + deviation * noise


def _noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    # Drawn on the CPU, so that a seed gives the same image on every device.
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _at(table: Tensor, steps: Tensor, like: Tensor) -> Tensor:
    """`table[steps]` as `(B, 1, 1, 1)` in the type of `like`."""
    # Rounded to float32 first, as in the original code, so that a float64 run reproduces its numbers.
    return table.float().to(steps.device)[steps].to(like)[:, None, None, None]


def _normal_kl(mean_p: Tensor, log_var_p: Tensor, mean_q: Tensor, log_var_q: Tensor) -> Tensor:
    """KL(p ‖ q) of Gaussians, elementwise, in nats."""
    difference = (mean_p - mean_q).square() * (-log_var_q).exp()
    return 0.5 * (log_var_q - log_var_p - 1 + (log_var_p - log_var_q).exp() + difference)


def _discretised_log_likelihood(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log p(x) of 8-bit values −1 … 1 under a Gaussian, elementwise, in nats: the decoder term of DDPM at t = 0.

    Uses the tanh approximation of the normal distribution function, as the original code does.
    """

    def cdf(v: Tensor) -> Tensor:
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))

    inverse_std = (-log_variance / 2).exp()
    upper = cdf((x - mean + 1 / 255) * inverse_std)
    lower = cdf((x - mean - 1 / 255) * inverse_std)
    inside = torch.where(x > 0.999, 1 - lower, upper - lower)
    return torch.where(x < -0.999, upper, inside).clamp(min=1e-12).log()
