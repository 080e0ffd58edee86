"""Difficulty guidance: each image is pulled, while it is denoised, to a difficulty drawn from the original's.

Classifier guidance (Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", Algorithm 1) draws z_{t−1}
from N(μ + s Σ ∇ log p(y | z_t), Σ). Universal guidance (Bansal et al. 2023, arXiv 2302.07121) takes a classifier of
clean images instead, and asks it about what the prediction ẑ_0 implies. Here it is asked for the margin
m = log(D / (1 − D)) of the difficulty D of the decoded image, and p is a Gaussian around the margin m* that is wanted:

    log p = −½ (m(ẑ_0) − m*)²,     g = ∇_{ẑ_0} m,     shift = s Σ_t g.

The gradient is that in ẑ_0, as in manifold preserving guided diffusion (He et al. 2024, arXiv 2311.16424): nothing goes
back through the DiT. The scale s, which those papers tune, is computed for each image and step: the one at which the
linearised margin of ẑ_0 + shift is m*, limited so that the shift is at most `strength` standard deviations of the step
long (root mean square over a latent's numbers):

    s = (m* − m) / gᵀΣg,     |s| ≤ strength · √d / ‖σ g‖.

So the shift ends where the difficulty is the one that is wanted.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.diffusion.codec import Codec
from ddgs_hub.diffusion.guides import DenoisingStep, Shift

# Images (B, 3, H, W), −1 … 1, and their labels → margins (B,), differentiable in the images.
MarginsOf: TypeAlias = Callable[[Tensor, Sequence[int]], Tensor]
GOLDEN = (5**0.5 - 1) / 2


class DifficultyGuide:
    """Pulls each image to a difficulty that an image of the original has; see the module.

    Args:
        codec: its decoder makes the images that the classifier sees.
        margins: of images; see `MarginsOf`.
        wanted: of each label, the margins of the original's images, in any order; none is infinite.
        classifier: a fingerprint of what `margins` computes.
        strength: the longest shift of a step, in standard deviations of its noise.
        begin: the share of the chain after which steps are guided.
        end: the share after which they are not any more.
    """

    def __init__(
        self,
        codec: Codec,
        margins: MarginsOf,
        wanted: Sequence[NDArray[np.float64]],
        *,
        classifier: str,
        strength: float,
        begin: float,
        end: float,
    ) -> None:
        self.codec = codec
        self.margins = margins
        self.wanted = [np.sort(of_class) for of_class in wanted]
        self.classifier = classifier
        self.strength = strength
        self.begin, self.end = begin, end

    @property
    def identity(self) -> str:
        """See `Guide`."""
        settings = ["difficulty", self.classifier, self.strength, self.begin, self.end]
        return fingerprint(*(torch.from_numpy(of_class) for of_class in self.wanted), settings)

    def target(self, label: int, pool_index: int) -> float:
        """The margin that an image is pulled to: a quantile of its class's.

        Shares of the golden ratio spread the images of every beginning of a pool evenly over the quantiles.
        """
        of_class = self.wanted[label]
        return float(of_class[int((0.5 + pool_index * GOLDEN) % 1 * len(of_class))])

    def of(self, labels: Sequence[int], pool_indices: Sequence[int]) -> Shift:
        """See `Guide`."""
        targets = torch.tensor([self.target(*which) for which in zip(labels, pool_indices, strict=True)])

        def shift(step: DenoisingStep) -> Tensor | None:
            if not self.begin <= step.done < self.end:
                return None
            margins, gradient = self._gradient(step.z_hat, labels)
            return limited(targets.to(margins) - margins, gradient, step.deviation, self.strength)

        return shift

    def _gradient(self, z_hat: Tensor, labels: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Margins `(B,)` of the images of latents, and their gradient in the latents, `(B, C, h, w)`."""
        margins, gradients = list[Tensor](), list[Tensor]()
        together = self.codec.decoded_together(z_hat)
        for start in range(0, len(z_hat), together):
            # The sampler works in inference mode, whose tensors no gradient can go through; a copy outside is usual.
            with torch.inference_mode(False), torch.enable_grad():
                part = z_hat[start : start + together].clone().requires_grad_()
                margin = self.margins(self.codec.pixels(part), labels[start : start + together])
                gradients += torch.autograd.grad(margin.sum(), part)
            margins.append(margin.detach())
        return torch.cat(margins), torch.cat(gradients)


def limited(missing: Tensor, gradient: Tensor, deviation: Tensor, strength: float) -> Tensor:
    """The shift s Σ g at which the linearised margin is the one that is wanted, or the longest that is allowed.

    Args:
        missing: m* − m, `(B,)`.
        gradient: g, `(B, C, h, w)`.
        deviation: σ, of the same shape.
        strength: the largest root mean square of the shift, in units of σ.
    """
    whitened = deviation * gradient
    length = whitened.flatten(1).norm(dim=1).clamp_min(torch.finfo(whitened.dtype).tiny ** 0.5)
    longest = strength * gradient[0].numel() ** 0.5
    scale = (missing / length).clamp(-longest, longest) / length
    return scale[:, None, None, None] * deviation * whitened
