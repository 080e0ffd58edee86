"""Distribution matching, DM (Zhao and Bilen, WACV 2023, arXiv 2110.04181): one step of it.

Random networks embed real and synthetic images; the synthetic images move so that their mean embedding comes close to
the real one, class by class. No network is trained, and each step has a new one. Networks, batches and draws are
arguments: this module draws nothing, and does not know what a network is made of.
"""

from collections.abc import Callable, Sequence

import torch

from ddgs_hub.baselines.learnt import LearntImages, moved
from ddgs_hub.baselines.shares import ALONE, Shares
from ddgs_hub.baselines.siamese import Draws, augment
from ddgs_hub.recipe import DMSettings

Embedding = Callable[[torch.Tensor], torch.Tensor]


def embedding_distance(embed: Embedding, real: torch.Tensor, synthetic: torch.Tensor, draws: Draws) -> torch.Tensor:
    """‖ mean of ψ(A(x)) over real x − mean of ψ(A(s)) over synthetic s ‖², summed over features: the objective of DM.

    Args:
        embed: ψ, from `(N, 3, H, W)` to `(N, …)`; for DM the flattened features before the linear layer.
        real: `(B, 3, H, W)` of one class, normalised; no gradient goes there.
        synthetic: `(S, 3, H, W)` of the same class, normalised.
        draws: of one row: A, the same for real and synthetic images.

    Returns:
        A scalar, float32 or finer.
    """
    with torch.no_grad():
        target = _mean(embed(augment(real, draws)))
    return (target - _mean(embed(augment(synthetic, draws)))).square().sum()


def dm_gradient(
    embed: Embedding, images: torch.Tensor, real: Sequence[torch.Tensor | None], draws: Sequence[Draws]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of a step, summed over the classes, and its gradient by all synthetic images.

    The classes are worked through one after another, which gives the gradient of the sum and needs memory for one.

    Args:
        embed: ψ, the network of this step; see `embedding_distance`.
        images: `(C, ipc, 3, H, W)`, normalised, synthetic.
        real: for each class `(B, 3, H, W)`, normalised; B may differ. None: another process has this class; here its
            loss and its gradient are zero.
        draws: for each class draws of one row.

    Returns:
        The loss, a scalar, and the gradient `(C, ipc, 3, H, W)`.
    """
    losses, gradients = [], []
    for synthetic, batch, shared in zip(images, real, draws, strict=True):
        if batch is None:
            losses.append(images.new_zeros((), dtype=torch.promote_types(images.dtype, torch.float32)))
            gradients.append(torch.zeros_like(synthetic))
            continue
        leaf = synthetic.detach().requires_grad_()
        loss = embedding_distance(embed, batch, leaf, shared)
        gradients += torch.autograd.grad(loss, leaf)
        losses.append(loss.detach())
    return torch.stack(losses).sum(), torch.stack(gradients)


def dm_step(
    embed: Embedding,
    learnt: LearntImages,
    real: Sequence[torch.Tensor | None],
    draws: Sequence[Draws],
    settings: DMSettings,
    shares: Shares = ALONE,
) -> tuple[LearntImages, torch.Tensor]:
    """One step of DM: the images after one SGD step for all classes together, and the loss before it.

    The images are not clipped, here or anywhere while they are learnt. Arguments as in `dm_gradient`; of several
    processes, each gives the classes of its own, and all get the same result.
    """
    loss, gradient = shares.summed(dm_gradient(embed, learnt.images, real, draws))
    return moved(learnt, gradient, settings.lr, settings.momentum), loss


def _mean(embeddings: torch.Tensor) -> torch.Tensor:
    """Over the batch; in float32 at least, because a difference of means is small beside them."""
    return embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)).mean(0)
