"""The Minimax losses: representativeness (Eq. 3) and diversity (Eq. 4), with a memory of latents per class."""

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MinimaxCriterion(nn.Module):
    """Pulls generated latents towards the least similar real ones, and away from the most similar generated ones.

    For each class in a batch the minimum (maximum) of the cosine similarity is joint over its samples and its memory,
    as in the published code; the losses are means over the classes present, and a class whose memory is still empty
    counts with 0. Gu et al., "Efficient Dataset Distillation via Minimax Diffusion", CVPR 2024.

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
        self.real_memory: dict[int, Tensor] = defaultdict(lambda: torch.empty(0))  # M_r: class → (≤ size, C·h·w)
        self.generated_memory: dict[int, Tensor] = defaultdict(lambda: torch.empty(0))  # M_d

    def forward(self, z_hat: Tensor, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Both losses, weighted; afterwards the batch enters the memories.

        Args:
            z_hat: predicted clean latents, `(B, C, h, w)`, with gradient.
            z: real latents, `(B, C, h, w)`.
            labels: `(B,)`, the true classes: a sample whose label was dropped for guidance still counts for its class.

        Returns:
            `λ_r · mean(1 − min cos(ẑ, M_r))` and `λ_d · mean(max cos(ẑ, M_d))`, scalars.
        """
        z_hat, z = z_hat.flatten(1), z.flatten(1)
        classes = labels.unique().tolist()
        representativeness = diversity = z_hat.new_zeros(())
        for c in classes:
            own = z_hat[labels == c]
            if len(self.real_memory[c]):
                representativeness = representativeness + 1 - _cosine(own, self.real_memory[c]).min()  # Eq. 3
                diversity = diversity + _cosine(own, self.generated_memory[c]).max()  # Eq. 4
        for c in classes:
            self._remember(self.real_memory, c, z[labels == c])
            self._remember(self.generated_memory, c, z_hat[labels == c])
        return (
            self.representativeness_weight * representativeness / len(classes),
            self.diversity_weight * diversity / len(classes),
        )

    def _remember(self, memory: dict[int, Tensor], c: int, latents: Tensor) -> None:
        memory[c] = torch.cat([memory[c].to(latents), latents.detach()])[-self.memory_size :]


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of all rows of `a` (n, d) with all rows of `b` (m, d): (n, m)."""
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
