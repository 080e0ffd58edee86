"""Mode guidance (MGD³): modes of a class in latent space pull the first steps of the denoising, without fine-tuning.

Chan-Santiago et al. 2025, "MGD³: Mode-Guided Dataset Distillation using Diffusion Models" (arXiv 2505.18963, ICML).
Mode discovery: k-means of a class's latents, as many clusters as images are wanted. Mode guidance: the mean of a step
is shifted by

    λ σ_t (m − ẑ_0),

as the published sampler computes it, with the mode m of the image and the learned standard deviation σ_t. Stop
guidance: only the first steps are shifted, those before t_stop; the others are free to make a clean image. λ = 0.1, and
t_stop = 25 of 50 steps, are the published defaults.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.diffusion.guides import DenoisingStep, Shift

FARTHEST = 1e3  # numbers of latents are of order 1


class ModeGuide:
    """Pulls image `pool_index` of a class to mode `pool_index` mod K; see the module.

    Its shifts raise an InputError where the latents diverge.

    Args:
        modes: of each label, `(K, C, h, w)`, in the scale of the DiT's latents; K may differ.
        strength: λ.
        share: of the chain, from its first step on, that is guided: step i of T where i > (1 − share) T.
    """

    def __init__(self, modes: Sequence[Tensor], *, strength: float = 0.1, share: float = 0.5) -> None:
        self.modes = list(modes)
        self.strength = strength
        self.share = share

    @property
    def identity(self) -> str:
        """See `Guide`."""
        return fingerprint(*self.modes, ["modes", self.strength, self.share, [len(modes) for modes in self.modes]])

    def of(self, labels: Sequence[int], pool_indices: Sequence[int]) -> Shift:
        """See `Guide`."""
        own = [self.modes[label] for label in labels]
        modes = torch.stack([mine[index % len(mine)] for mine, index in zip(own, pool_indices, strict=True)])

        def shift(step: DenoisingStep) -> Tensor | None:
            free = (1 - self.share) * step.num_steps
            if step.index <= free:
                if step.index + 1 > free:  # the first that is free; every look at numbers waits for the device
                    self._check(step.z_hat)
                return None
            return self.strength * step.deviation * (modes.to(step.z_hat) - step.z_hat)

        return shift

    def _check(self, z_hat: Tensor) -> None:
        """Refuses latents that have left all bounds: beyond a strength, a shift overshoots more than the one before."""
        if not z_hat.abs().max() < FARTHEST:  # NaN is refused, too
            raise InputError(
                f"the latents diverge under mode guidance of strength {self.strength:g}: "
                "set pool.modes.strength lower; the paper's is 0.1"
            )


def find_modes(latents: Tensor, count: int, seed: int = 0) -> Tensor:
    """The k-means centres of a class's latents, that of the largest cluster first.

    So the first images of a pool, which smaller sets are, have the modes of most images.

    Args:
        latents: of the images of one class, `(N, C, h, w)`.
        count: K. Where there are no more different images, each is a mode of its own.
        seed: of k-means++.

    Returns:
        float32, `(K, C, h, w)`.
    """
    points = latents.flatten(1).double().numpy()
    count = min(count, len(np.unique(points, axis=0)))
    cluster = KMeans(count, n_init="auto", random_state=seed).fit(points).labels_
    sizes = np.bincount(cluster, minlength=count)
    # Averaged here: scikit-learn's threads sum in any order, and a rounding would make a killed pool begin anew.
    centres = [points[cluster == k].mean(axis=0) for k in np.argsort(-sizes, kind="stable") if sizes[k]]
    return torch.from_numpy(np.stack(centres)).float().unflatten(1, latents.shape[1:])
