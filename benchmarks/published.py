"""How the published recipe computes, written plainly by us: DiT, its sampler, and Minimax fine-tuning with DiffFit.

Formats and names are those of the original checkpoints. Nothing here is clever and nothing of `ddgs_hub` is used: it is
what the package is checked against (`tests/diffusion/test_parity.py`), and the slow side of benchmarks.

Peebles & Xie 2023 (DiT); Ho et al. 2020, Nichol & Dhariwal 2021 (diffusion); Xie et al. 2023 (DiffFit); Gu et al. 2024
(Minimax Diffusion).
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

TRAIN_STEPS = 1000
TrainingBatch: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class PlainAttention(nn.Module):
    """Self-attention, softmax(Q Kᵀ / √d) V, with DiffFit's gammas on its two linear layers where asked for."""

    def __init__(self, hidden_size: int, num_heads: int, gammas: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)
        self.gamma1 = nn.Parameter(torch.ones(3 * hidden_size)) if gammas else None
        self.gamma2 = nn.Parameter(torch.ones(hidden_size)) if gammas else None

    def forward(self, x: Tensor) -> Tensor:
        """`(B, N, D)` → the same."""
        qkv = self.qkv(x)
        if self.gamma1 is not None:
            qkv = self.gamma1 * qkv
        # (B, N, 3D) → three of (B, heads, N, D / heads)
        q, k, v = qkv.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)
        out = self.proj((weights @ v).transpose(1, 2).flatten(2))
        return out if self.gamma2 is None else self.gamma2 * out


class PlainMlp(nn.Module):
    """Two linear layers with the tanh form of GELU between them."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.fc2 = nn.Linear(4 * hidden_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, N, D)` → the same."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class PlainBlock(nn.Module):
    """A transformer block with adaLN-Zero: two branches, each shifted, scaled and gated by the condition."""

    def __init__(self, hidden_size: int, num_heads: int, gammas: bool) -> None:
        super().__init__()
        self.attn = PlainAttention(hidden_size, num_heads, gammas)
        self.mlp = PlainMlp(hidden_size)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 6 * hidden_size))
        self.gamma1 = nn.Parameter(torch.ones(hidden_size)) if gammas else None
        self.gamma2 = nn.Parameter(torch.ones(hidden_size)) if gammas else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`x` is `(B, N, D)`, `condition` `(B, D)`."""
        modulation = self.adaLN_modulation(condition).chunk(6, dim=1)
        for branch, gamma, (shift, scale, gate) in (
            (self.attn, self.gamma1, modulation[:3]),
            (self.mlp, self.gamma2, modulation[3:]),
        ):
            out = gate[:, None] * branch(_modulated(x, shift, scale))
            x = x + (out if gamma is None else gamma * out)
        return x


class PlainDiT(nn.Module):
    """The DiT, with the parameter names of an original checkpoint.

    Args:
        hidden_size, depth, num_heads: D, blocks, and heads of the attention.
        num_classes: the null class is the row behind them.
        input_size, in_channels: of the latents, `(C, h, h)`.
        patch_size: side of a patch, in latent pixels.
        gamma_blocks: blocks with DiffFit's gammas, from the first; Minimax has half of them.
    """

    def __init__(
        self,
        hidden_size: int,
        depth: int,
        num_heads: int,
        num_classes: int,
        input_size: int,
        in_channels: int = 4,
        patch_size: int = 2,
        gamma_blocks: int = 0,
    ) -> None:
        super().__init__()
        self.patch_size, self.side, self.null_class = patch_size, input_size // patch_size, num_classes
        out = 2 * in_channels * patch_size**2  # noise and variance of each number of a patch
        self.x_embedder = nn.ModuleDict({"proj": nn.Conv2d(in_channels, hidden_size, patch_size, patch_size)})
        mlp = nn.Sequential(nn.Linear(256, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))
        self.t_embedder = nn.ModuleDict({"mlp": mlp})
        self.y_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(num_classes + 1, hidden_size)})
        self.pos_embed = nn.Parameter(position_table(hidden_size, self.side), requires_grad=False)
        self.blocks = nn.ModuleList(PlainBlock(hidden_size, num_heads, i < gamma_blocks) for i in range(depth))
        modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 2 * hidden_size))
        self.final_layer = nn.ModuleDict({"adaLN_modulation": modulation, "linear": nn.Linear(hidden_size, out)})

    def forward(self, z: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """Predicted noise and variance, `(B, 2C, h, w)`, of `z` `(B, C, h, w)` at timesteps and classes `(B,)`."""
        x = self.x_embedder["proj"](z).flatten(2).transpose(1, 2) + self.pos_embed
        condition = self.t_embedder["mlp"](timestep_waves(t).to(z)) + self.y_embedder["embedding_table"](y)
        for block in self.blocks:
            x = block(x, condition)
        shift, scale = self.final_layer["adaLN_modulation"](condition).chunk(2, dim=1)
        x = self.final_layer["linear"](_modulated(x, shift, scale))
        p, n = self.patch_size, self.side
        return x.view(len(x), n, n, p, p, -1).permute(0, 5, 1, 3, 2, 4).reshape(len(x), -1, n * p, n * p)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without parameters of its own, then the condition's scale and shift."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def timestep_waves(t: Tensor) -> Tensor:
    """128 cosines and 128 sines of the timesteps `(B,)`: `(B, 256)`, in float32 as in the original."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32, device=t.device) / 128)
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def position_table(hidden_size: int, side: int) -> Tensor:
    """2-D sine-cosine positions, `(1, side², D)`: half of the channels tell the column, the others the row."""
    quarter = hidden_size // 4
    angles = np.arange(side)[:, None] / 10000 ** (np.arange(quarter) / quarter)
    axis = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)  # (side, D / 2)
    column, row = np.tile(axis, (side, 1)), np.repeat(axis, side, axis=0)
    return torch.from_numpy(np.concatenate([column, row], axis=1)).float()[None]


class PlainDiffusion:
    """The numbers of a chain of diffusion steps, respaced to `num_steps` of the 1,000 that the model was trained on."""

    def __init__(self, num_steps: int = TRAIN_STEPS) -> None:
        products = np.cumprod(1 - np.linspace(1e-4, 0.02, TRAIN_STEPS))
        self.timesteps = [round(k * (TRAIN_STEPS - 1) / (num_steps - 1)) for k in range(num_steps)]
        alpha_bar = products[self.timesteps]
        before = np.append(1.0, alpha_bar[:-1])
        beta = 1 - alpha_bar / before
        posterior = beta * (1 - before) / (1 - alpha_bar)
        self.tables = {
            "signal": np.sqrt(alpha_bar),
            "noise": np.sqrt(1 - alpha_bar),
            "z0_from_z": np.sqrt(1 / alpha_bar),
            "z0_from_noise": np.sqrt(1 / alpha_bar - 1),
            "mean_from_z0": beta * np.sqrt(before) / (1 - alpha_bar),
            "mean_from_z": (1 - before) * np.sqrt(1 - beta) / (1 - alpha_bar),
            "log_low": np.log(np.append(posterior[1], posterior[1:])),  # the first is 0: its neighbour's instead
            "log_high": np.log(beta),
        }

    def at(self, name: str, steps: Tensor, like: Tensor) -> Tensor:
        """A number of each of the `steps` `(B,)`, as `(B, 1, 1, 1)`; it goes through float32, as in the original."""
        table = torch.from_numpy(self.tables[name]).float().to(steps.device)
        return table[steps].to(like)[:, None, None, None]

    def noisy(self, z: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Latents with so much noise as each step has, `(B, C, h, w)`."""
        return self.at("signal", steps, z) * z + self.at("noise", steps, z) * noise

    def denoised(self, output: Tensor, z_t: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predicted clean latents, and mean and log-variance of the step before, each `(B, C, h, w)`."""
        eps, variance = output.chunk(2, dim=1)
        z_hat = self.at("z0_from_z", steps, z_t) * z_t - self.at("z0_from_noise", steps, z_t) * eps
        share = (variance + 1) / 2
        log_variance = share * self.at("log_high", steps, z_t) + (1 - share) * self.at("log_low", steps, z_t)
        return z_hat, self.mean_before(z_hat, z_t, steps), log_variance

    def mean_before(self, z_0: Tensor, z_t: Tensor, steps: Tensor) -> Tensor:
        """The mean of q(z_{t−1} | z_t, z_0)."""
        return self.at("mean_from_z0", steps, z_t) * z_0 + self.at("mean_from_z", steps, z_t) * z_t


TRAINING = PlainDiffusion()


@torch.no_grad()
def plain_sample(
    model: PlainDiT, labels: Tensor, noise: Tensor, num_steps: int = 50, scale: float = 4.0, guidance_channels: int = 3
) -> Tensor:
    """Respaced DDPM with learned variance and classifier-free guidance; everything is computed again in every step.

    Args:
        model: the DiT.
        labels: `(B,)`.
        noise: `(num_steps + 1, B, C, h, w)`: the start, then each step's.
        num_steps: of the respaced chain.
        scale: of the guidance.
        guidance_channels: latent channels that are guided, from the first.

    Returns:
        Latents, `(B, C, h, w)`.
    """
    diffusion, z = PlainDiffusion(num_steps), noise[0]
    null = torch.full_like(labels, model.null_class)
    for i in reversed(range(num_steps)):
        t = torch.full((2 * len(z),), diffusion.timesteps[i], device=z.device)
        output, unconditional = model(torch.cat([z, z]), t, torch.cat([labels, null])).chunk(2)
        difference = output[:, :guidance_channels] - unconditional[:, :guidance_channels]
        guided = unconditional[:, :guidance_channels] + scale * difference
        output = torch.cat([guided, output[:, guidance_channels:]], dim=1)
        _, z, log_variance = diffusion.denoised(output, z, torch.full((len(z),), i, device=z.device))
        if i > 0:
            z = z + (0.5 * log_variance).exp() * noise[num_steps - i]
    return z


def plain_losses(model: PlainDiT, z: Tensor, noise: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """DiT's training losses on clean latents and noise `(B, C, h, w)`, timesteps and classes `(B,)`.

    Returns:
        Mean squared error of the noise and bound of the learned variance (bits a number), both `(B,)`; and the
        predicted clean latents `(B, C, h, w)`.
    """
    diffusion = TRAINING
    z_t = diffusion.noisy(z, noise, t)
    output = model(z_t, t, y)
    eps, variance = output.chunk(2, dim=1)
    z_hat, _, _ = diffusion.denoised(output, z_t, t)
    # The bound trains the variance alone: the noise is taken as it is.
    _, mean, log_variance = diffusion.denoised(torch.cat([eps.detach(), variance], dim=1), z_t, t)
    true_mean, true_log_variance = diffusion.mean_before(z, z_t, t), diffusion.at("log_low", t, z)
    distance = (true_mean - mean) ** 2 / log_variance.exp()
    kl = 0.5 * ((true_log_variance - log_variance).exp() + distance - 1 + log_variance - true_log_variance)
    first = (t == 0)[:, None, None, None]
    bound = torch.where(first, _decoder_term(z, mean, log_variance), kl) / math.log(2)
    return ((noise - eps) ** 2).mean(dim=(1, 2, 3)), bound.mean(dim=(1, 2, 3)), z_hat


def _decoder_term(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """−log p of values −1 … 1 in steps of 2 / 255, with the tanh form of the normal distribution function."""
    std = (0.5 * log_variance).exp()
    low, high = (
        0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
        for v in ((z - mean - 1 / 255) / std, (z - mean + 1 / 255) / std)
    )
    low, high = torch.where(z < -0.999, 0, low), torch.where(z > 0.999, 1, high)  # the outermost steps have no end
    return -(high - low).clamp(min=1e-12).log()


class PlainMinimax:
    """The Minimax losses, unweighted, with their memories of real and of predicted latents.

    Args:
        size: latents a class that each memory keeps, first in first out.
    """

    def __init__(self, size: int = 64) -> None:
        self.real: dict[int, deque[Tensor]] = defaultdict(lambda: deque(maxlen=size))
        self.predicted: dict[int, deque[Tensor]] = defaultdict(lambda: deque(maxlen=size))

    def __call__(self, z_hat: Tensor, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """`mean(1 − min cos(ẑ, real))` and `mean(max cos(ẑ, predicted))` over the classes present; then remembers."""
        pull = push = z_hat.new_zeros(())
        classes = sorted(set(labels.tolist()))
        for c in classes:
            of_class = z_hat[labels == c].flatten(1)
            if self.real[c]:  # a class that is new counts with 0
                pull = pull + 1 - _cosines(of_class, self.real[c]).min()
                push = push + _cosines(of_class, self.predicted[c]).max()
            self.real[c].extend(z[labels == c].flatten(1))
            self.predicted[c].extend(of_class.detach())
        return pull / len(classes), push / len(classes)


def _cosines(latents: Tensor, memory: deque[Tensor]) -> Tensor:
    """Of all latents `(n, d)` with all remembered ones: `(n, m)`."""
    return F.cosine_similarity(latents[:, None], torch.stack([*memory])[None], dim=2)


def difffit_parameters(model: PlainDiT) -> dict[str, nn.Parameter]:
    """Name → parameter of what DiffFit trains: every bias, the class table and the gammas; the others are frozen."""
    table = "y_embedder.embedding_table.weight"
    trained = {n: p for n, p in model.named_parameters() if n.endswith("bias") or "gamma" in n or n == table}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    return trained


def plain_trajectory(
    model: PlainDiT,
    average: PlainDiT,
    batches: Iterable[TrainingBatch],
    *,
    learning_rate: float = 1e-3,
    ema_decay: float = 0.9999,
    memory_size: int = 64,
    representativeness_weight: float = 0.002,
    diversity_weight: float = 0.008,
) -> Iterator[dict[str, float]]:
    """Minimax fine-tuning with DiffFit, one step for each that is taken from the iterator; in place.

    Args:
        model: is trained.
        average: a copy of it, which becomes the EMA of all weights, trained or not.
        batches: clean latents and noise, each `(B, C, h, w)`; timesteps, true classes, and the classes with some of
            them replaced by the null class, each `(B,)`.
        learning_rate: of AdamW without weight decay.
        ema_decay: the same from the first step on.
        memory_size: latents a class.
        representativeness_weight: λ_r.
        diversity_weight: λ_d.

    Yields:
        The losses of a step: `diffusion`, and `representativeness` and `diversity` with their weights.
    """
    optimizer = torch.optim.AdamW(difffit_parameters(model).values(), lr=learning_rate, weight_decay=0)
    minimax = PlainMinimax(memory_size)
    for z, noise, t, labels, conditions in batches:
        mse, bound, z_hat = plain_losses(model, z, noise, t, conditions)
        pull, push = minimax(z_hat, z, labels)
        losses = {
            "diffusion": (mse + bound).mean(),
            "representativeness": representativeness_weight * pull,
            "diversity": diversity_weight * push,
        }
        optimizer.zero_grad()
        torch.stack([*losses.values()]).sum().backward()
        optimizer.step()
        with torch.no_grad():
            for mean, value in zip(average.parameters(), model.parameters(), strict=True):
                mean.mul_(ema_decay).add_(value, alpha=1 - ema_decay)
        yield {name: value.item() for name, value in losses.items()}
