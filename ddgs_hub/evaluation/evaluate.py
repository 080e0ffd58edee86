"""How well a dataset trains a classifier: networks from scratch on it, tested on real validation images."""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch.nn import functional as F
from tqdm import tqdm

from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation.augmentation import augment, mix, normalize
from ddgs_hub.evaluation.networks import build_network
from ddgs_hub.evaluation.tensors import for_training, for_validation, same_classes, to_tensors
from ddgs_hub.recipe import Protocol

Examples = tuple[list[torch.Tensor], torch.Tensor]  # uint8 (3, h, w) each, and int64 (N,)


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
    ipc: int,
    seed: int = 0,
    device: torch.device | str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Trains `protocol.repeats` networks from scratch on `train` and tests them on `validation`.

    Repeat r draws its weights, batches and augmentations from seed + r. So datasets that are compared with one seed get
    the same networks and, if they have the same number of images, the same batches and crops. The state of torch's
    global generator is neither used nor changed. Both sets of images are held in memory.

    Args:
        train: columns `image`, `label`; every row is used.
        validation: the same, with the same classes in the same order.
        protocol: the network and how it is trained.
        ipc: images per class; decides the epochs where the protocol does not.
        seed: of the first repeat.
        device: where to train; None: a GPU where there is one.
        on_progress: called after every epoch with the number of epochs done and the number of all, over the repeats.

    Raises:
        InputError: `ipc` is not positive, a dataset is empty or lacks a column, an image cannot be decoded, a label is
            none of the classes, or the two do not have the same classes.
    """
    if ipc < 1:
        raise InputError(f"ipc is {ipc}: give the number of training images per class, at least 1")
    classes = same_classes(train, validation)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    examples = to_tensors(train, for_training(protocol), where="the training images", device=device)
    tests = to_tensors(validation, for_validation(protocol), where="the validation images", device=device)
    epochs = protocol.epochs_for(ipc)
    accuracies = _train_repeats(examples, tests, protocol, len(classes), epochs, seed, on_progress)
    return Evaluation(
        protocol=protocol,
        ipc=ipc,
        seed=seed,
        epochs=epochs,
        num_classes=len(classes),
        train_images=len(train),
        validation_images=len(validation),
        evaluation_epochs=protocol.evaluation_epochs(epochs),
        accuracies=accuracies,
    )


def _train_repeats(
    examples: Examples,
    tests: Examples,
    protocol: Protocol,
    num_classes: int,
    epochs: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None,
) -> list[list[float]]:
    """Trains the network of each repeat, one after the other; returns the accuracies of each."""
    total = protocol.repeats * epochs
    accuracies: list[list[float]] = []
    with tqdm(total=total, desc=f"train {protocol.network}", unit="epoch", leave=False, delay=2, disable=None) as bar:

        def after_epoch(epoch: int) -> None:
            bar.update()
            if on_progress:
                on_progress(len(accuracies) * epochs + epoch, total)

        for repeat in range(protocol.repeats):
            # All draws are from torch's CPU generator, on every device; its state is restored afterwards.
            with torch.random.fork_rng(devices=[]), _deterministic(examples[1].device):
                torch.default_generator.manual_seed(seed + repeat)
                accuracies.append(_train(examples, tests, protocol, num_classes, epochs, after_epoch))
    return accuracies


def _train(
    examples: Examples,
    tests: Examples,
    protocol: Protocol,
    num_classes: int,
    epochs: int,
    after_epoch: Callable[[int], None],
) -> list[float]:
    """Trains one network; returns its accuracy in % at each of the protocol's tests."""
    images, labels = examples
    tested_after = set(protocol.evaluation_epochs(epochs))
    network = build_network(protocol.network, num_classes, protocol.image_size, width=protocol.width)
    network.to(labels.device)
    optimizer = torch.optim.SGD(
        network.parameters(), protocol.learning_rate, protocol.momentum, weight_decay=protocol.weight_decay
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(protocol.milestones(epochs)), protocol.lr_decay)
    accuracies = []
    for epoch in range(1, epochs + 1):
        network.train()
        for batch in torch.randperm(len(images)).split(protocol.batch_size):
            inputs = normalize(augment([images[row] for row in batch.tolist()], protocol))
            inputs, targets = mix(inputs, labels[batch.to(labels.device)], num_classes, protocol)
            with _precision(labels.device):
                loss = F.cross_entropy(network(inputs), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        schedule.step()
        if epoch in tested_after:
            accuracies.append(accuracy(network, tests, protocol.batch_size))
        after_epoch(epoch)
    return accuracies


@torch.inference_mode()
def accuracy(network: torch.nn.Module, tests: Examples, batch_size: int) -> float:
    """Top-1 accuracy in % of a network on images of one size, uint8 `(3, h, w)` each, and their labels `(N,)`."""
    images, labels = tests
    network.eval()
    correct = 0
    for start in range(0, len(images), batch_size):
        inputs = normalize(torch.stack(images[start : start + batch_size]).float() / 255)
        with _precision(labels.device):
            predicted = network(inputs).argmax(1)
        correct += int((predicted == labels[start : start + batch_size]).sum())
    return 100 * correct / len(images)


def _precision(device: torch.device) -> Any:
    """bfloat16 where a GPU has it; float32 on the CPU, where half precision gains nothing at these sizes."""
    half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast("cuda", torch.bfloat16) if half else nullcontext()


def _deterministic(device: torch.device) -> Any:
    """Keeps cuDNN to algorithms that give the same sums every time."""
    return torch.backends.cudnn.flags(deterministic=True, benchmark=False) if device.type == "cuda" else nullcontext()
