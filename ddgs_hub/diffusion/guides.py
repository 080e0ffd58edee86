"""What can steer the denoising: one hook, which shifts the mean of a step before its noise is added.

z_{t−1} ~ N(μ_t + shift, Σ_t), as in classifier guidance (Dhariwal & Nichol 2021, Algorithm 1), whatever makes the
shift. `mode_guidance` and `difficulty_guidance` are guides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch import Tensor


@dataclass(frozen=True)
class DenoisingStep:
    """What the sampler knows before it draws z_{t−1}; tensors are `(B, C, h, w)`, on the DiT's device.

    Attributes:
        index: of the step in the respaced chain: `num_steps` − 1 is the first and noisiest, 0 the last.
        num_steps: of the chain.
        z: z_t.
        z_hat: ẑ_0, the clean latents that the prediction implies.
        mean: μ_t, the posterior mean.
        deviation: σ_t, the learned standard deviation.
    """

    index: int
    num_steps: int
    z: Tensor
    z_hat: Tensor
    mean: Tensor
    deviation: Tensor

    @property
    def done(self) -> float:
        """The share of the chain that lies behind this step: 0 at the first, below 1 at the last."""
        return 1 - (self.index + 1) / self.num_steps


# The shift of a step's mean, `(B, C, h, w)`; None: this step is not guided.
Shift: TypeAlias = Callable[[DenoisingStep], Tensor | None]


class Guide(Protocol):
    """Steers the images of a pool. How it steers one follows from its label and number alone, not from its batch."""

    @property
    def identity(self) -> str:
        """A fingerprint of all that decides its shifts, beside the step."""

    def of(self, labels: Sequence[int], pool_indices: Sequence[int]) -> Shift:
        """What shifts a batch.

        Args:
            labels: of each image in the pool, length B.
            pool_indices: the number of each image within its class.
        """
