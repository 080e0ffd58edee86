"""The classifiers that distilled datasets are validated with: ConvNet, ResNetAP-10 and ResNet-18, with instance norm.

Names, shapes and order of the weights are those of the published validation code (Efficient-Dataset-Condensation), so
that weights can be exchanged with it.
"""

import math
from typing import Any, cast

import torch
from torch import nn

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe import Protocol, parse_network_name

SMALLEST = 16  # px: below it the last stage of a ResNet is one pixel, which instance norm makes zero for every image
LARGE, MEDIUM = 128, 64  # px: above LARGE the ResNets have their ImageNet stem, above MEDIUM one halving, below none
RESNETS: dict[str, Any] = {
    "resnetap10": {"blocks": 1, "average_pooling": True},
    "resnet18": {"blocks": 2, "average_pooling": False},
}


def instance_norm(channels: int) -> nn.GroupNorm:
    """Instance normalisation with scale and shift: group normalisation with one channel a group."""
    return nn.GroupNorm(channels, channels)


class ConvNet(nn.Module):
    """`depth` blocks of 3×3 convolution, instance norm, ReLU and 2×2 average pooling, then one linear layer.

    Args:
        num_classes: number of logits.
        image_size: height and width of the images, px.
        in_channels: channels of the images.
        depth: number of blocks; each halves the feature map, rounding down.
        width: channels of every block.
    """

    def __init__(self, num_classes: int, image_size: int, in_channels: int, depth: int, width: int):
        super().__init__()
        inputs = [in_channels] + [width] * (depth - 1)
        self.layers = nn.ModuleDict(
            {
                "conv": nn.ModuleList(nn.Conv2d(channels, width, 3, padding=1) for channels in inputs),
                "norm": nn.ModuleList(instance_norm(width) for _ in range(depth)),
                "pool": nn.ModuleList(nn.AvgPool2d(2) for _ in range(depth)),
            }
        )
        self.classifier = nn.Linear(width * (image_size >> depth) ** 2, num_classes)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Output of every block, `(B, width, h, w)`, for images `(B, in_channels, image_size, image_size)`."""
        outputs = []
        for conv, norm, pool in zip(*self.layers.values(), strict=True):
            images = pool(torch.relu(norm(conv(images))))
            outputs.append(images)
        return outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `(B, num_classes)` of normalised images `(B, in_channels, image_size, image_size)`."""
        logits: torch.Tensor = self.classifier(self.features(images)[-1].flatten(1))
        return logits


class Stem(nn.Module):
    """The first convolution of a ResNet, with the reductions that the image size asks for."""

    def __init__(self, in_channels: int, width: int, image_size: int, average_pooling: bool):
        super().__init__()
        large = image_size > LARGE
        stride = 2 if large and not average_pooling else 1
        self.conv1 = nn.Conv2d(in_channels, width, 7 if large else 3, stride, padding=3 if large else 1, bias=False)
        self.bn1 = instance_norm(width)
        self.pool: nn.Module = nn.Identity()
        if image_size > MEDIUM:
            self.pool = nn.AvgPool2d(4 if large else 2) if average_pooling else nn.MaxPool2d(3, 2, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features `(B, width, h, w)` of images `(B, in_channels, H, W)`."""
        features: torch.Tensor = self.pool(torch.relu(self.bn1(self.conv1(images))))
        return features


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; with `average_pooling` a stride is an average pooling instead."""

    def __init__(self, in_channels: int, width: int, stride: int, average_pooling: bool):
        super().__init__()
        pooled = stride if average_pooling else 1
        stride = stride // pooled
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = instance_norm(width)
        self.pool = nn.AvgPool2d(pooled) if pooled > 1 else nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = instance_norm(width)
        self.downsample = nn.Sequential()
        if in_channels != width:
            pools = [nn.AvgPool2d(pooled)] if average_pooling else []
            projection = nn.Conv2d(in_channels, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, *pools, instance_norm(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features `(B, width, h / stride, w / stride)` of features `(B, in_channels, h, w)`."""
        branch = self.pool(torch.relu(self.bn1(self.conv1(features))))
        return torch.relu(self.bn2(self.conv2(branch)) + self.downsample(features))


class ResNet(nn.Module):
    """Four stages of basic blocks, global average pooling and one linear layer.

    Args:
        num_classes: number of logits.
        image_size: height and width of the images, px; decides the stem.
        in_channels: channels of the images.
        blocks: blocks of each stage; 1 makes ten layers, 2 eighteen.
        width: channels of the first stage; each later one doubles them and halves the feature map.
        average_pooling: every stride is an average pooling instead ("AP").
    """

    def __init__(
        self, num_classes: int, image_size: int, in_channels: int, blocks: int, width: int, average_pooling: bool
    ):
        super().__init__()
        if image_size < SMALLEST:
            raise InputError(f"a ResNet needs images of {SMALLEST} px or more, not {image_size}: choose convnet")
        self.layer0 = Stem(in_channels, width, image_size, average_pooling)
        self.layer1 = self._stage(width, width, blocks, 1, average_pooling)
        self.layer2 = self._stage(width, 2 * width, blocks, 2, average_pooling)
        self.layer3 = self._stage(2 * width, 4 * width, blocks, 2, average_pooling)
        self.layer4 = self._stage(4 * width, 8 * width, blocks, 2, average_pooling)
        self.fc = nn.Linear(8 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")  # N(0, 2 / fan_out)

    @staticmethod
    def _stage(in_channels: int, width: int, blocks: int, stride: int, average_pooling: bool) -> nn.Sequential:
        first = BasicBlock(in_channels, width, stride, average_pooling)
        return nn.Sequential(first, *(BasicBlock(width, width, 1, average_pooling) for _ in range(blocks - 1)))

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Output of the stem and of each stage, `(B, channels, h, w)`, for images `(B, in_channels, H, W)`."""
        outputs = []
        for stage in (self.layer0, self.layer1, self.layer2, self.layer3, self.layer4):
            images = stage(images)
            outputs.append(images)
        return outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `(B, num_classes)` of normalised images `(B, in_channels, image_size, image_size)`."""
        # A mean, not nn.AdaptiveAvgPool2d: that one's backward pass is not deterministic on CUDA.
        logits: torch.Tensor = self.fc(self.features(images)[-1].mean((2, 3)))
        return logits


class Embedding(nn.Module):
    """The output of a network's last block, flattened: what images are compared by. Its weights are not trained.

    Args:
        network: a ConvNet or a ResNet.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings `(B, D)` of normalised images `(B, in_channels, image_size, image_size)`."""
        network = cast("ConvNet | ResNet", self.network)
        return network.features(images)[-1].flatten(1)


def convnet_depth(image_size: int) -> int:
    """Blocks of a ConvNet that leave a map of 2 px or more: 3 at 16 and 32 px, 4 at 64, 5 at 128, 6 at 224 and 256."""
    return max(1, min(max(3, round(math.log2(image_size)) - 2), math.floor(math.log2(image_size)) - 1))


def build_network(
    name: str, num_classes: int, image_size: int = 224, in_channels: int = 3, width: int | None = None
) -> nn.Module:
    """Builds a classifier with fresh weights, drawn from torch's default generator.

    Args:
        name: `convnet` (depth by image size), `convnet6` and the like (that depth), `resnetap10` or `resnet18`.
        num_classes: number of logits.
        image_size: height and width of the images, px.
        in_channels: channels of the images.
        width: channels of a ConvNet, or of a ResNet's first stage; None: 128 and 64 as in the reference.

    Returns:
        A module from normalised images `(B, in_channels, image_size, image_size)` to logits `(B, num_classes)`.

    Raises:
        InputError: no network has that name, or the images are too small for its depth.
    """
    family, depth = parse_network_name(name)
    if family in RESNETS:
        return ResNet(num_classes, image_size, in_channels, width=width or 64, **RESNETS[family])
    depth = depth or convnet_depth(image_size)
    if image_size >> depth < 1:
        raise InputError(
            f"convnet{depth} halves an image {depth} times, which leaves nothing of {image_size} px: "
            f"choose convnet{convnet_depth(image_size)} or a larger image_size"
        )
    return ConvNet(num_classes, image_size, in_channels, depth, width or 128)


def check_network(protocol: Protocol) -> None:
    """Raises an InputError where the protocol's network cannot take images of its size; no weights are made."""
    with torch.device("meta"):
        build_network(protocol.network, 1, protocol.image_size, width=protocol.width)
