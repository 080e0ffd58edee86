"""Training images of the protocol: random crop, flip, color jitter, PCA lighting and CutMix, a batch at a time.

torchvision's transforms draw one set of parameters for a whole batch, or work on one image at a time; for small images
the latter takes longer than the network. Here every image of a batch has its own parameters, and the pixels of all are
computed together. The formulas are torchvision's (the tests compare them). Only the random order of brightness,
contrast and saturation is drawn once for a batch. All draws are from torch's default generator, on the CPU, so they do
not depend on the device.
"""

import math
from collections.abc import Callable

import torch
from torch.nn.functional import one_hot
from torchvision.transforms.v2 import CutMix
from torchvision.transforms.v2.functional import rgb_to_grayscale

from ddgs_hub.evaluation.tensors import Examples
from ddgs_hub.recipe import Protocol

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB, range 0 … 1
# Principal components of ImageNet's RGB values in 0 … 1: column k of the vectors belongs to value k (AlexNet, 2012).
LIGHTING_VALUES = (0.2175, 0.0188, 0.0045)
LIGHTING_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
ASPECT_RATIOS = (3 / 4, 4 / 3)  # of a crop, width / height
CROP_ATTEMPTS = 10


def augment(examples: Examples, chosen: torch.Tensor, protocol: Protocol) -> torch.Tensor:
    """One random view of each chosen image.

    Args:
        examples: the images, of any sizes.
        chosen: int64 `(B,)`, on the CPU: which of them.
        protocol: says which augmentations, and how strong.

    Returns:
        float32 `(B, 3, image_size, image_size)`, RGB in 0 … 1; lighting noise may leave this range.
    """
    boxes = random_crop_boxes(examples.sizes[chosen].double(), protocol.crop_scale)
    flips = torch.rand(len(chosen)) < 0.5 if protocol.flip else torch.zeros(len(chosen), dtype=torch.bool)
    views = crop_and_resize(examples, chosen, boxes, flips, protocol.image_size)
    if protocol.color_jitter:
        views = color_jitter(views, protocol.color_jitter)
    if protocol.lighting:
        views = views + lighting_noise(len(views), protocol.lighting).to(views.device)
    return views


def mix(
    images: torch.Tensor, labels: torch.Tensor, num_classes: int, protocol: Protocol
) -> tuple[torch.Tensor, torch.Tensor]:
    """CutMix of a batch, with the protocol's probability.

    Args:
        images: float `(B, 3, h, w)`.
        labels: int64 `(B,)`; or soft ones, float32 `(B, num_classes)`, which are mixed as one-hot vectors are.
        num_classes: columns of the targets.
        protocol: says how often, and how much of an image may come from another one.

    Returns:
        The images, and float32 targets `(B, num_classes)` whose rows sum to 1.
    """
    targets = labels if labels.is_floating_point() else one_hot(labels, num_classes).float()
    if torch.rand(()) < protocol.cutmix:
        images, targets = CutMix(alpha=protocol.cutmix_beta)(images, targets)
    return images, targets


def normalize(images: torch.Tensor) -> torch.Tensor:
    """RGB `(B, 3, h, w)`, float in 0 … 1, minus ImageNet's mean, divided by its standard deviation."""
    mean, std = images.new_tensor((IMAGENET_MEAN, IMAGENET_STD))[:, :, None, None]
    return (images - mean) / std


def random_crop_boxes(sizes: torch.Tensor, smallest: float) -> torch.Tensor:
    """Boxes as `torchvision.transforms.v2.RandomResizedCrop` draws them, for all images at once.

    Args:
        sizes: float64 `(B, 2)`, height and width of each image in px.
        smallest: smallest area of a box, as a share of its image.

    Returns:
        float64 `(B, 4)`: top, left, height and width in px, whole numbers inside the image.
    """
    attempts = (CROP_ATTEMPTS, len(sizes))
    area = sizes.prod(1) * torch.empty(attempts, dtype=torch.float64).uniform_(smallest, 1)
    lowest, highest = (math.log(ratio) for ratio in ASPECT_RATIOS)
    ratio = torch.empty(attempts, dtype=torch.float64).uniform_(lowest, highest).exp()
    drawn = torch.stack([(area / ratio).sqrt().round(), (area * ratio).sqrt().round()], dim=-1)  # heights, widths
    fits = ((drawn > 0) & (drawn <= sizes)).all(-1)
    # No attempt may fit an image that is much wider or higher than a crop: then the largest central box is taken.
    height, width = sizes.unbind(1)
    largest = torch.stack(
        [
            torch.minimum(height, (width / ASPECT_RATIOS[0]).round()),
            torch.minimum(width, (height * ASPECT_RATIOS[1]).round()),
        ],
        dim=1,
    )
    first = drawn[fits.int().argmax(0), torch.arange(len(sizes))]
    extent = torch.where(fits.any(0)[:, None], first, largest)
    corner = (torch.rand(sizes.shape, dtype=torch.float64) * (sizes - extent + 1)).floor()
    corner = torch.where(fits.any(0)[:, None], corner, ((sizes - extent) / 2).floor())
    return torch.cat([corner, extent], dim=1)


def crop_and_resize(
    examples: Examples, chosen: torch.Tensor, boxes: torch.Tensor, flips: torch.Tensor, size: int
) -> torch.Tensor:
    """Cuts a box out of each chosen image and resizes it bilinearly, with antialiasing, as two matrix products.

    Args:
        examples: the images.
        chosen: int64 `(B,)`: which of them.
        boxes: float64 `(B, 4)`: top, left, height and width in px, whole numbers.
        flips: bool `(B,)`: which views to mirror left to right.
        size: height and width of the result, px.

    Returns:
        float32 `(B, 3, size, size)` in 0 … 1.
    """
    device = examples.pixels.device
    if examples.stack is None:
        canvas = _cut(examples, chosen, boxes.long())
        boxes = boxes * boxes.new_tensor((0, 0, 1, 1))  # the box now begins at the corner
    else:
        canvas = examples.stack[chosen.to(device)]
    top, left, box_height, box_width = boxes.float().to(device).unbind(1)
    rows = _resize_weights(top, box_height, size, canvas.shape[2])
    columns = _resize_weights(left, box_width, size, canvas.shape[3])
    columns = torch.where(flips.to(device)[:, None, None], columns.flip(1), columns)
    return rows[:, None] @ (canvas.float() / 255) @ columns.transpose(1, 2)[:, None]


def _cut(examples: Examples, chosen: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """uint8 `(B, 3, h, w)`: int64 boxes of images of any sizes, in the corners of canvases for the largest of them.

    Beside and below a smaller box lie other pixels of the set: they are given no weight.
    """
    device = examples.pixels.device
    height, width = boxes[:, 2:].amax(0).tolist()
    heights, widths = examples.sizes[chosen].unbind(1)
    first = examples.starts[chosen] + boxes[:, 0] * widths + boxes[:, 1]
    first, widths, area = (values.to(device)[:, None, None] for values in (first, widths, heights * widths))
    places = first + torch.arange(height, device=device)[:, None] * widths + torch.arange(width, device=device)
    places = places[:, None] + torch.arange(3, device=device)[:, None, None] * area[:, None]
    return examples.pixels.take(places.clamp_(max=len(examples.pixels) - 1))


def _resize_weights(start: torch.Tensor, length: torch.Tensor, size: int, extent: int) -> torch.Tensor:
    """`(B, size, extent)`: how much each of `extent` pixels gives to each of `size`, inside `start … + length`."""
    pixels = torch.arange(extent, device=start.device) + 0.5
    scale = (length / size)[:, None, None]
    centers = start[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale
    weights = (1 - (pixels - centers).abs() / scale.clamp(min=1)).clamp(min=0)
    inside = (pixels > start[:, None]) & (pixels < (start + length)[:, None])
    weights = weights * inside[:, None]
    return weights / weights.sum(2, keepdim=True)


def brightness(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """RGB `(B, 3, h, w)` in 0 … 1 times `factor` `(B, 1, 1, 1)`, clipped."""
    return (images * factor).clamp(0, 1)


def contrast(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """RGB `(B, 3, h, w)` in 0 … 1, its distance from the image's mean gray times `factor` `(B, 1, 1, 1)`, clipped."""
    return torch.lerp(rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True), images, factor).clamp(0, 1)


def saturation(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """RGB `(B, 3, h, w)` in 0 … 1, its distance from its own gray times `factor` `(B, 1, 1, 1)`, clipped."""
    return torch.lerp(rgb_to_grayscale(images), images, factor).clamp(0, 1)


JITTERS: tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ...] = (brightness, contrast, saturation)


def color_jitter(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Brightness, contrast and saturation in random order, each with a factor of U(1 − strength, 1 + strength)."""
    factors = torch.empty(len(JITTERS), len(images), 1, 1, 1).uniform_(1 - strength, 1 + strength).to(images.device)
    for k in torch.randperm(len(JITTERS)).tolist():
        images = JITTERS[k](images, factors[k])
    return images


def lighting_noise(count: int, std: float) -> torch.Tensor:
    """`(count, 3, 1, 1)`: an RGB shift per image along the principal components, as AlexNet's."""
    amounts = torch.empty(count, 3).normal_(0, std) * torch.tensor(LIGHTING_VALUES)
    return (amounts @ torch.tensor(LIGHTING_VECTORS).T)[:, :, None, None]
