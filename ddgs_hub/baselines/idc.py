"""IDC (Kim et al., ICML 2022, arXiv 2205.14959), as IDC-1: multi-formation, gradient matching, training in between.

The synthetic images move so that a network's gradient on them comes close to its gradient on real images, class by
class; the network is trained on real images all the while. IDC-1, the "IDC-I" of the authors, has factor 1: a stored
image is a training image. Images are in [0, 1]; they are normalised on their way into a network.

Networks, batches and draws are arguments. Only `draw_cutmix` draws, from the generator it is given.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ddgs_hub.baselines.learnt import LearntImages, moved
from ddgs_hub.baselines.shares import ALONE, Shares
from ddgs_hub.baselines.siamese import Draws, augment
from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe import IDCSettings, Metric

METRICS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "l1": lambda gap: gap.abs().sum(),
    "mse": lambda gap: gap.square().sum(),  # a sum all the same, in spite of its published name
}
PADDING = 0.5  # mid grey, in [0, 1]


@dataclass(frozen=True)
class CutMix:
    """Parameters of one CutMix of a batch of N images (Yun et al., ICCV 2019)."""

    share: float  # λ, 0 … 1: of an image that stays, before its box is clipped
    partners: torch.Tensor  # (N,) int64, a permutation: the image that fills the box of each
    centre: tuple[int, int]  # row and column of the box, px


def decode(stored: torch.Tensor, factor: int) -> torch.Tensor:
    """Multi-formation: each stored image is cut into factor × factor pieces, enlarged bilinearly to its own size.

    Where the factor does not divide a side, grey is added below and at the right. Factor 1 changes nothing.

    Args:
        stored: float `(N, 3, S, S)` in [0, 1].
        factor: pieces along a side, 1 … S.

    Returns:
        `(factor² · N, 3, S, S)`: the upper left piece of all images, then the piece at its right, …

    Raises:
        InputError: the factor is outside 1 … S.
    """
    count, channels, size, _ = stored.shape
    if not 1 <= factor <= size:
        raise InputError(f"factor is {factor}: an image of {size} px can be cut into 1 … {size} pieces a side")
    if factor == 1:
        return stored
    piece = math.ceil(size / factor)
    missing = -size % factor
    padded = F.pad(stored, (0, missing, 0, missing), value=PADDING)
    tiles = padded.reshape(count, channels, factor, piece, factor, piece).permute(2, 4, 0, 1, 3, 5)
    tiles = tiles.reshape(factor**2 * count, channels, piece, piece)
    return F.interpolate(tiles, size=(size, size), mode="bilinear", align_corners=False)


def gradient_distance(
    network: nn.Module,
    real: torch.Tensor,
    synthetic: torch.Tensor,
    label: int,
    draws: Draws,
    metric: Metric = "l1",
    shares: Shares = ALONE,
) -> torch.Tensor:
    """Σ_w d(∇_w CE(θ; A(real)), ∇_w CE(θ; A(synthetic))) over the weights w of all convolutions: the objective of IDC.

    CE is the mean over a batch; d is Σ|a − b| or Σ(a − b)². Biases, norms and the linear layer do not count.

    Args:
        network: θ, from normalised images `(N, 3, H, W)` to logits.
        real: `(B, 3, H, W)` of one class, normalised; no gradient goes there.
        synthetic: `(S, 3, H, W)` of the same class, decoded and normalised.
        label: the class.
        draws: of one row: A, the same for real and synthetic images.
        metric: `l1` or `mse`.
        shares: of several processes, each has the gradient of its rows of `real`; the synthetic side is alike in all.

    Returns:
        A scalar, float32 or finer, which can be differentiated by `synthetic`.

    Raises:
        InputError: no metric has that name.
    """
    if metric not in METRICS:
        raise InputError(f"gradients can be compared by {' or '.join(METRICS)}, not by '{metric}'")
    weights = [weight for weight in network.parameters() if weight.ndim == 4]

    def gradients(images: torch.Tensor, create_graph: bool) -> tuple[torch.Tensor, ...]:
        labels = torch.full((len(images),), label, device=images.device)
        loss = F.cross_entropy(network(augment(images, draws)), labels)
        return torch.autograd.grad(loss, weights, create_graph=create_graph)

    own = real.detach()[shares.rows(len(real))]
    if len(own):
        targets = [len(own) / len(real) * part for part in gradients(own, create_graph=False)]
    else:
        targets = [torch.zeros_like(weight) for weight in weights]
    targets = shares.summed(targets)
    distances = []
    for target, gradient in zip(targets, gradients(synthetic, create_graph=True), strict=True):
        gap = (target - gradient).to(torch.promote_types(gradient.dtype, torch.float32))
        distances.append(METRICS[metric](gap))
    return torch.stack(distances).sum()


def idc_gradient(
    images: torch.Tensor, label: int, rows: torch.Tensor, distance: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of a step, which is of one class, and its gradient by the synthetic images of all classes.

    Args:
        images: `(C, ipc, 3, H, W)`, synthetic, in [0, 1] but for what steps since the last clamp did.
        label: the class, 0 … C − 1.
        rows: int64 `(S,)`: which images of the class are matched; all, or `batch_synthetic` of them, drawn.
        distance: the loss of stored images `(S, 3, H, W)`; for IDC-1 it decodes and normalises them, and gives
            their `gradient_distance` to real images.

    Returns:
        The loss, a scalar, and the gradient `(C, ipc, 3, H, W)`, zero but for the rows of the class.
    """
    leaf = images[label, rows].detach().requires_grad_()
    loss = distance(leaf)
    gradient = torch.zeros_like(images)
    (gradient[label, rows],) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def idc_step(
    learnt: LearntImages,
    label: int,
    rows: torch.Tensor,
    distance: Callable[[torch.Tensor], torch.Tensor],
    *,
    lr: float,
    momentum: float,
) -> tuple[LearntImages, torch.Tensor]:
    """One step of matching, for one class: the images after one SGD step for all classes, and the loss before it.

    One momentum buffer holds all classes: the images of the others move on as well. They are clamped to [0, 1] at the
    start of an outer iteration (`learnt.clamped`), not here.

    Args:
        learnt: before the step.
        label: as in `idc_gradient`, like `rows` and `distance`.
        rows: of the class.
        distance: the loss.
        lr: of the images; `IDCSettings.image_lr`.
        momentum: of the images.
    """
    loss, gradient = idc_gradient(learnt.images, label, rows, distance)
    return moved(learnt, gradient, lr, momentum), loss


def network_optimizer(network: nn.Module, settings: IDCSettings) -> torch.optim.SGD:
    """The optimiser of a fresh network. It is kept through the early epochs and all inner loops of the network."""
    return torch.optim.SGD(
        network.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


def training_step(
    network: Callable[[torch.Tensor], torch.Tensor],
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    draws: Draws,
    cutmix: CutMix | None,
    shares: Shares = ALONE,
) -> torch.Tensor:
    """Trains the network on one batch of real images of all classes, and returns the loss before.

    With CutMix the loss is r · CE(y) + (1 − r) · CE(y of the partner), where r is the share of the area that stayed
    after the box was clipped, not λ.

    Args:
        network: from normalised images to logits; its weights change.
        optimizer: of this network; its state changes.
        images: `(N, 3, H, W)`, normalised.
        labels: int64 `(N,)`.
        draws: of N rows.
        cutmix: of N images; None: as they are.
        shares: of several processes, each has the loss of its rows, and all take the step of the whole batch.
    """
    views, partners, stayed = augment(images, draws), labels, 1.0
    if cutmix is not None:
        views, stayed = mixed(views, cutmix)
        partners = labels[cutmix.partners.to(images.device)]
    own = shares.rows(len(images))
    optimizer.zero_grad(set_to_none=False)
    loss = images.new_zeros(())
    if len(labels[own]):
        logits = network(views[own])
        loss = stayed * F.cross_entropy(logits, labels[own])
        if cutmix is not None:
            loss = loss + (1 - stayed) * F.cross_entropy(logits, partners[own])
        loss = len(labels[own]) / len(labels) * loss
        loss.backward()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    *gradients, loss = shares.summed([*gradients, loss.detach()])
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    optimizer.step()
    return loss


def mixed(images: torch.Tensor, cutmix: CutMix) -> tuple[torch.Tensor, float]:
    """Images `(N, 3, H, W)` with the box of each filled from its partner, and the share of the area that stayed."""
    height, width = images.shape[2:]
    top, left, bottom, right = cutmix_box(cutmix, height, width)
    views = images.clone()
    views[:, :, top:bottom, left:right] = images[cutmix.partners.to(images.device), :, top:bottom, left:right]
    return views, 1 - (bottom - top) * (right - left) / (height * width)


def cutmix_box(cutmix: CutMix, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, bottom and right (exclusive) of the box, px: sides ⌊S · √(1 − λ)⌋, clipped to the image."""
    edges = []
    for centre, side in zip(cutmix.centre, (height, width), strict=True):
        half = int(side * math.sqrt(1 - cutmix.share)) // 2
        edges.append((max(centre - half, 0), min(centre + half, side)))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right


def draw_cutmix(count: int, height: int, width: int, generator: torch.Generator) -> CutMix:
    """CutMix of `count` images of `height` × `width` px: λ of Beta(1, 1), which is uniform, and a uniform centre."""
    share = float(torch.rand((), generator=generator, dtype=torch.float64))
    partners = torch.randperm(count, generator=generator)
    row, column = (int(torch.randint(side, (), generator=generator)) for side in (height, width))
    return CutMix(share, partners, (row, column))
