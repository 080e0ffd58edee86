"""How well a dataset trains a classifier: networks from scratch on it, tested on real validation images."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch.nn import functional as F

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import compiled, get_accelerator
from ddgs_hub.core.progress import Progress
from ddgs_hub.evaluation.augmentation import augment, mix, normalize
from ddgs_hub.evaluation.networks import build_network
from ddgs_hub.evaluation.tensors import Examples, default_device, images_per_class, load_examples, same_classes
from ddgs_hub.recipe import Protocol

TEST_BATCH = 256  # images; no gradients are kept
CPU_BYTES = 2**23  # of the largest feature map of a pass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore"))  # `to_dict` adds derived keys
class Evaluation:
    """Top-1 accuracies in % of the networks that were trained on one dataset.

    Read it with `core.schema.read_values` from what `to_dict` gave.
    """

    protocol: Protocol
    ipc: int  # images per class that the epochs were chosen for
    seed: int  # repeat r draws everything from seed + r
    epochs: int
    num_classes: int
    train_images: int
    validation_images: int
    evaluation_epochs: list[int]  # finished epochs at each test
    accuracies: list[list[float]]  # [repeat][test], %

    @property
    def best(self) -> list[float]:
        """The highest of each repeat's tests, %, as the paper reports it: it is chosen on the validation images."""
        return [max(accuracies) for accuracies in self.accuracies]

    @property
    def last(self) -> list[float]:
        """Each repeat's test after the last epoch, %."""
        return [accuracies[-1] for accuracies in self.accuracies]

    def mean_std(self, which: str) -> tuple[float, float]:
        """Mean and population standard deviation (divided by the number of repeats) of `best` or `last`, %."""
        values = {"best": self.best, "last": self.last}[which]
        return float(np.mean(values)), float(np.std(values))

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values, with `best`, `last`, and their means and standard deviations."""
        derived: dict[str, Any] = {}
        for which, values in (("best", self.best), ("last", self.last)):
            mean, std = self.mean_std(which)
            derived |= {which: values, f"{which}_mean": mean, f"{which}_std": std}
        return dataclasses.asdict(self) | derived


def evaluate(
    train: Dataset,
    validation: Dataset,
    protocol: Protocol,
    *,
    ipc: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Trains `protocol.repeats` networks from scratch on `train` and tests them on `validation`.

    To train several networks on one dataset, load it once: see `load_examples` and `train_networks`.

    Args:
        train: columns `image`, `label`, and those of soft labels where the protocol trains on them; every row is used.
        validation: the same, with the same classes in the same order.
        protocol: the network and how it is trained.
        ipc: images per class; decides the epochs where the protocol does not. None: those of `train`, see
            `images_per_class`.
        seed: of the first repeat.
        device: where to train; None: a GPU where there is one.
        on_progress: called after every epoch with the number of epochs done and the number of all, over the repeats.

    Raises:
        InputError: `ipc` is not positive, a dataset is empty or lacks a column, an image cannot be decoded, a label is
            none of the classes, or the two do not have the same classes.
    """
    classes = same_classes(train, validation)
    ipc = images_per_class(train) if ipc is None else ipc
    if ipc < 1:
        raise InputError(f"ipc is {ipc}: give the number of training images per class, at least 1")
    device = device or default_device()
    examples = load_examples(train, protocol, training=True, where="the training images", device=device)
    tests = load_examples(validation, protocol, training=False, where="the validation images", device=device)
    return train_networks(examples, tests, protocol, len(classes), ipc=ipc, seed=seed, on_progress=on_progress)


def train_networks(
    examples: Examples,
    tests: Examples,
    protocol: Protocol,
    num_classes: int,
    *,
    ipc: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Trains the network of each repeat on images that are loaded; see `evaluate` and `train_network`.

    Repeat r draws its weights, batches and augmentations from seed + r. So datasets that are compared with one seed get
    the same networks and, if they have the same number of images, the same batches and crops.
    """
    epochs = protocol.epochs_for(ipc)
    total = protocol.repeats * epochs
    accuracies: list[list[float]] = []
    with Progress(f"train {protocol.network}", total, unit="epoch", images=len(examples)) as progress:

        def after_epoch(epoch: int, values: Mapping[str, Any]) -> None:
            progress.add(**values)
            progress.update()
            if on_progress:
                on_progress(len(accuracies) * epochs + epoch, total)

        for number in range(seed, seed + protocol.repeats):
            arguments = (examples, tests, protocol, num_classes)
            accuracies.append(train_network(*arguments, epochs=epochs, seed=number, after_epoch=after_epoch))
    return Evaluation(
        protocol=protocol,
        ipc=ipc,
        seed=seed,
        epochs=epochs,
        num_classes=num_classes,
        train_images=len(examples),
        validation_images=len(tests),
        evaluation_epochs=protocol.evaluation_epochs(epochs),
        accuracies=accuracies,
    )


def train_network(
    examples: Examples,
    tests: Examples,
    protocol: Protocol,
    num_classes: int,
    *,
    epochs: int,
    seed: int,
    after_epoch: Callable[[int, Mapping[str, Any]], None] | None = None,
    on_test: Callable[[torch.nn.Module], None] | None = None,
) -> list[float]:
    """Trains one network from scratch: one repeat of an evaluation.

    Everything is drawn from `seed`, on the CPU whatever the device. The state of torch's global generator is neither
    used nor changed. Precision and compilation are accelerate's settings, see `get_accelerator` and `compiled`.

    Args:
        examples: training images, as `load_examples` gives them; every one is used in each epoch.
        tests: validation images, on the same device.
        protocol: the network and how it is trained; the two above were loaded under one of its `image_size`.
        num_classes: of the labels of both.
        epochs: how long, see `Protocol.epochs_for`.
        seed: of the weights, batches and augmentations.
        after_epoch: called after every epoch with the number of epochs done, and its values: `loss`, that of its last
            batch, a tensor; and after a test `accuracy` in %.
        on_test: called with the network at each of the protocol's tests, to test it on more images, see `accuracy`.

    Returns:
        Top-1 accuracy in % at each of the protocol's tests.

    Raises:
        InputError: `tests` were loaded at another size, `examples` without the labels of the protocol, or the
            protocol's network cannot take images of its size.
    """
    expected = (len(tests), 3, protocol.image_size, protocol.image_size)
    if tests.stack is None or tests.stack.shape != expected:
        raise InputError(
            f"the validation images were not loaded at {protocol.image_size} px: load them under this protocol"
        )
    # All draws are from torch's CPU generator, on every device; its state is restored afterwards.
    with torch.random.fork_rng(devices=[]), _deterministic(examples.labels.device):
        torch.default_generator.manual_seed(seed)
        network = build_network(protocol.network, num_classes, protocol.image_size, width=protocol.width)
        network = compiled(network.to(examples.labels.device))
        tested_after, accuracies = set(protocol.evaluation_epochs(epochs)), []
        for epoch, loss in _epochs(network, examples, protocol, num_classes, epochs):
            values: dict[str, Any] = {"loss": loss}
            if epoch in tested_after:
                values["accuracy"] = accuracy(network, tests)
                accuracies.append(values["accuracy"])
                if on_test:
                    on_test(network)
            if after_epoch:
                after_epoch(epoch, values)
    return accuracies


def _epochs(
    network: torch.nn.Module, examples: Examples, protocol: Protocol, num_classes: int, epochs: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Trains a network; yields the number of epochs done after each, and the loss of its last batch."""
    goals, precision = _goals(examples, protocol), _precision(examples.labels.device)
    at_once = images_at_once(network, protocol.image_size, protocol.batch_size)
    optimizer = torch.optim.SGD(
        network.parameters(), protocol.learning_rate, protocol.momentum, weight_decay=protocol.weight_decay
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(protocol.milestones(epochs)), protocol.lr_decay)
    for epoch in range(1, epochs + 1):
        network.train()
        for batch in torch.randperm(len(examples)).split(protocol.batch_size):
            inputs = normalize(augment(examples, batch, protocol))
            inputs, targets = mix(inputs, goals[batch.to(goals.device)], num_classes, protocol)
            optimizer.zero_grad(set_to_none=True)
            total = torch.zeros((), device=goals.device)
            for part, wanted in zip(inputs.split(at_once), targets.split(at_once), strict=True):
                with precision():
                    loss = F.cross_entropy(network(part), wanted, reduction="sum") / len(batch)
                loss.backward()
                total += loss.detach()
            optimizer.step()
        schedule.step()
        yield epoch, total


def _goals(examples: Examples, protocol: Protocol) -> torch.Tensor:
    """What the protocol trains on: int64 `(N,)`, or soft labels, float32 `(N, classes)`."""
    if protocol.labels == "hard":
        return examples.labels
    if examples.targets is None:
        raise InputError("the training images were loaded without soft labels: load them under this protocol")
    return examples.targets


@torch.inference_mode()
def accuracy(network: torch.nn.Module, tests: Examples) -> float:
    """Top-1 accuracy in % of a network on images of one size."""
    network.eval()
    precision = _precision(tests.labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=tests.labels.device)  # read once: a GPU need not be waited for
    images = tests.pixels.view(len(tests), 3, *tests.sizes[0].tolist())
    at_once = images_at_once(network, images.shape[-1], TEST_BATCH)
    for batch, labels in zip(images.split(at_once), tests.labels.split(at_once), strict=True):
        with precision():
            predicted = network(normalize(batch.float() / 255)).argmax(1)
        correct += (predicted == labels).sum()
    return 100 * int(correct) / len(tests)


def images_at_once(network: torch.nn.Module, image_size: int, most: int) -> int:
    """How many images to give a network in one pass, `most` or fewer.

    On a CPU a pass whose feature maps outgrow the cache, and then the allocator, which fetches large blocks from the
    system anew each time, takes up to twice as long. Instance norm keeps images apart, so the gradient of a batch is
    the sum of those of its parts.
    """
    convolution = next((module for module in network.modules() if isinstance(module, torch.nn.Conv2d)), None)
    if convolution is None or convolution.weight.device.type != "cpu":
        return most
    largest_map = convolution.out_channels * (image_size // convolution.stride[0]) ** 2 * 4  # bytes of an image
    return min(max(CPU_BYTES // largest_map, 1), most)


def _precision(device: torch.device) -> Any:
    """Makes contexts in the precision that accelerate is configured for; see `get_accelerator`.

    Where nothing is said that is bfloat16 on a GPU which has it, and float32 on a CPU, whose results then do not depend
    on what it is. float16 would need its losses scaled; here it is float32.
    """
    accelerator = get_accelerator()
    half = accelerator.mixed_precision == "bf16" and accelerator.device.type == device.type
    return partial(torch.autocast, device.type, torch.bfloat16, enabled=half)


def _deterministic(device: torch.device) -> Any:
    """Keeps cuDNN to algorithms that give the same sums every time."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False)  # its default is to switch off
