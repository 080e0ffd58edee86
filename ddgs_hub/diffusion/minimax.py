"""The Minimax losses: representativeness (Eq. 3) and diversity (Eq. 4), with a memory of latents per class."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Memory = dict[int, Tensor]  # class → (≤ memory size, C·h·w), the oldest first


class MinimaxCriterion(nn.Module):
    """Pulls generated latents towards the least similar real ones, and away from the most similar generated ones.

    For each class in a batch the minimum (maximum) of the cosine similarity is joint over its samples and its memory,
    as in the published code; the losses are means over the classes present, and a class whose memory is still empty
    counts with 0. Gu et al., "Efficient Dataset Distillation via Minimax Diffusion", CVPR 2024.

    The memories are part of `state_dict()`.

    Args:
        memory_size: latents that each memory keeps per class, first in first out.
        representativeness_weight: λ_r.
        diversity_weight: λ_d.
    """

    def __init__(
        self, memory_size: int = 64, representativeness_weight: float = 0.002, diversity_weight: float = 0.008
    ) -> None:
        super().__init__()
        self.memory_size = memory_size
        self.representativeness_weight = representativeness_weight
        self.diversity_weight = diversity_weight
        self.real_memory: Memory = {}  # M_r
        self.generated_memory: Memory = {}  # M_d

    def forward(self, z_hat: Tensor, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Both losses, weighted; afterwards the batch enters the memories.

        Args:
            z_hat: predicted clean latents, `(B, C, h, w)`, with gradient.
            z: real latents, `(B, C, h, w)`.
            labels: `(B,)`, the true classes: a sample whose label was dropped for guidance still counts for its class.
                On the CPU, so that the device is not waited for.

        Returns:
            `λ_r · mean(1 − min cos(ẑ, M_r))` and `λ_d · mean(max cos(ẑ, M_d))`, scalars.
        """
        z_hat, z = z_hat.flatten(1), z.flatten(1)
        members: dict[int, list[int]] = {}
        for row, c in enumerate(labels.tolist()):
            members.setdefault(c, []).append(row)
        representativeness = diversity = z_hat.new_zeros(())
        for c, rows in members.items():
            if c in self.real_memory:
                real, generated = (memory[c].to(z_hat) for memory in (self.real_memory, self.generated_memory))
                representativeness = representativeness + 1 - _cosine(z_hat[rows], real).min()  # Eq. 3
                diversity = diversity + _cosine(z_hat[rows], generated).max()  # Eq. 4
        for c, rows in members.items():
            self._remember(self.real_memory, c, z[rows])
            self._remember(self.generated_memory, c, z_hat[rows])
        return (
            self.representativeness_weight * representativeness / len(members),
            self.diversity_weight * diversity / len(members),
        )

    def get_extra_state(self) -> dict[str, Memory]:
        """Both memories, for `state_dict()`."""
        return {"real": dict(self.real_memory), "generated": dict(self.generated_memory)}

    def set_extra_state(self, state: Any) -> None:
        """Restores both memories, for `load_state_dict()`."""
        self.real_memory, self.generated_memory = dict(state["real"]), dict(state["generated"])

    def _remember(self, memory: Memory, c: int, latents: Tensor) -> None:
        latents = latents.detach()
        older = [memory[c].to(latents)] if c in memory else []
        memory[c] = torch.cat([*older, latents])[-self.memory_size :]


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of all rows of `a` (n, d) with all rows of `b` (m, d): (n, m)."""
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
