"""Evaluation against the published loop: `python -m benchmarks.evaluation`, on a GPU where there is one.

The published loop decodes and augments one image at a time in the workers of a DataLoader, at every epoch and at every
test, and validates without `no_grad`. It is timed with `no_grad`, too: whoever writes it anew would add that. Both get
the same images, network, epochs and number of tests: 100 PNGs of 64 px, as IPC 10 has, and one test for 20 epochs of
them, of JPEGs as large as those of the original.
"""

import os
import time
from io import BytesIO
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PILImage
from sklearn.datasets import load_sample_images
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.measure import best_device, in_subprocess, synchronize
from ddgs_hub.evaluation import Protocol, build_network, load_examples, train_network
from ddgs_hub.evaluation.augmentation import IMAGENET_MEAN, IMAGENET_STD, LIGHTING_VALUES, LIGHTING_VECTORS

MODULE = "benchmarks.evaluation"
SIZE, ORIGINAL_SIZE = 64, 224  # px, of distilled and of original images
TRAIN_IMAGES = 100
VALIDATION_IMAGES = {"cpu": 400, "cuda": 3925}  # of ImageNette's 3,925
EPOCHS = {"cpu": 2, "cuda": 20}  # 20 for a test, of which there is one: the same ratio of training to testing
WORKERS = 2
NETWORKS: tuple[tuple[str, int], ...] = (("convnet", 128), ("convnet", 32))  # the recipe's, and a lighter one


def protocol_of(network: str, width: int) -> Protocol:
    """The paper's, at 64 px, with one test at the end."""
    return Protocol(network=network, width=width, image_size=SIZE, evaluations=1, repeats=1)


def pictures(count: int, size: int, kind: str) -> Dataset:
    """Cuts of two photographs, encoded, with labels that mean nothing."""
    rng, photos, cells = np.random.default_rng(size), load_sample_images().images, []
    for k in range(count):
        top, left = (int(rng.integers(extent - size)) for extent in photos[k % 2].shape[:2])
        buffer = BytesIO()
        PILImage.fromarray(photos[k % 2][top : top + size, left : left + size]).save(buffer, kind)
        cells.append({"bytes": buffer.getvalue(), "path": None})
    features = Features(image=Image(), label=ClassLabel(names=[str(k) for k in range(10)]))
    return Dataset.from_dict({"image": cells, "label": [k % 10 for k in range(count)]}, features=features)


def both_sets(device: str, tests: int | None = None) -> tuple[Dataset, Dataset]:
    """Training images, and `tests` validation images, by default as many as the table above has."""
    return pictures(TRAIN_IMAGES, SIZE, "PNG"), pictures(tests or VALIDATION_IMAGES[device], ORIGINAL_SIZE, "JPEG")


class Encoded(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Decodes and transforms an image whenever it is asked for, as torchvision's ImageFolder."""

    def __init__(self, rows: Dataset, transform: transforms.Compose) -> None:
        self.cells = rows.cast_column("image", Image(decode=False))["image"][:]
        self.labels, self.transform = rows["label"][:], transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        with PILImage.open(BytesIO(self.cells[number]["bytes"])) as image:
            return self.transform(image.convert("RGB")), self.labels[number]


def lighting(image: torch.Tensor) -> torch.Tensor:
    """AlexNet's noise, of one image."""
    amounts = torch.normal(0.0, 0.1, (3,)) * torch.tensor(LIGHTING_VALUES)
    return image + (torch.tensor(LIGHTING_VECTORS) @ amounts)[:, None, None]


def mixed(images: torch.Tensor, labels: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """The loss of a batch under CutMix: one box for all, and two labels."""
    share = float(torch.rand(()))  # Beta(1, 1)
    other = torch.randperm(len(images), device=images.device)
    half, centre = SIZE * (1 - share) ** 0.5 / 2, torch.randint(SIZE, (2,))
    top, left = (centre - half).int().clip(0, SIZE).tolist()
    bottom, right = (centre + half).int().clip(0, SIZE).tolist()
    images[:, :, top:bottom, left:right] = images[other, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / SIZE**2
    logits = network(images)
    return F.cross_entropy(logits, labels) * kept + F.cross_entropy(logits, labels[other]) * (1 - kept)


def loaders(device: str, tests: int | None = None) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Both sets, with the published transforms; the workers live as long as the training."""
    end = [transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    augmented = [
        transforms.RandomResizedCrop(SIZE, scale=(0.5, 1)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.ColorJitter(0.4, 0.4, 0.4),
        lighting,
    ]
    centred = [transforms.Resize(protocol_of("convnet", 1).resize), transforms.CenterCrop(SIZE), transforms.ToTensor()]
    train, validation = both_sets(device, tests)
    settings: dict[str, Any] = {
        "batch_size": 64,
        "num_workers": WORKERS,
        "persistent_workers": True,
        "pin_memory": device == "cuda",
    }
    return (
        DataLoader(Encoded(train, transforms.Compose([*augmented, *end])), shuffle=True, **settings),
        DataLoader(Encoded(validation, transforms.Compose([*centred, *end])), **settings),
    )


def plain(
    device: str, network: str, width: int, no_grad: bool, epochs: int | None = None, tests: int | None = None
) -> dict[str, Any]:
    """The published loop, batch by batch, in float32."""
    train, validation = loaders(device, tests)
    for loader in (train, validation):
        next(iter(loader))  # the workers start before the clock does
    start, begun = time.perf_counter(), cpu_seconds()
    model = build_network(network, 10, SIZE, width=width).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(epochs or EPOCHS[device]):
        model.train()
        for images, labels in train:
            loss = mixed(images.to(device), labels.to(device), model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    correct = 0
    with torch.set_grad_enabled(not no_grad):
        for images, labels in validation:
            correct += int((model(images.to(device)).argmax(1).cpu() == labels).sum())
    synchronize(device)
    seconds = time.perf_counter() - start
    del train, validation  # ends the workers, which are counted then
    accuracy = 100 * correct / (tests or VALIDATION_IMAGES[device])
    return {"seconds": seconds, "cpu_seconds": cpu_seconds() - begun, "accuracy": accuracy}


def ours(
    device: str, network: str, width: int, configured: bool, epochs: int | None = None, tests: int | None = None
) -> dict[str, Any]:
    """`train_network` on what is loaded once, as each of thousands of epochs and of several networks finds it.

    Args:
        device: where.
        network: see `Protocol`.
        width: of the network.
        configured: accelerate is asked for bfloat16 and compilation; else nothing is said.
        epochs: that are trained; None: as the table above has it.
        tests: validation images; None: likewise.
    """
    if configured:
        os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
        os.environ.setdefault("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    protocol = protocol_of(network, width)
    train, validation = both_sets(device, tests)
    begun = time.perf_counter()
    examples = load_examples(train, protocol, training=True, where="the training images", device=device)
    tested = load_examples(validation, protocol, training=False, where="the validation images", device=device)
    synchronize(device)
    loaded = time.perf_counter()
    train_network(examples, tested, protocol, 10, epochs=1, seed=0)
    synchronize(device)
    start, cpu = time.perf_counter(), cpu_seconds()
    [accuracy] = train_network(examples, tested, protocol, 10, epochs=epochs or EPOCHS[device], seed=0)
    synchronize(device)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds() - cpu,
        "loading": loaded - begun,
        "first_epoch": start - loaded,
        "accuracy": accuracy,
    }


def cpu_seconds() -> float:
    """Of all cores, by this process and by its workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Prints the seconds of each way, each in a process of its own, and how they stand to each other."""
    device = best_device()
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    tests = VALIDATION_IMAGES[device]
    print(f"{EPOCHS[device]} epochs of {TRAIN_IMAGES} images and a test on {tests:,}, at {SIZE} px, {name}", flush=True)
    for network, width in NETWORKS:
        arguments = {"device": device, "network": network, "width": width}
        ways = {
            "published loop": in_subprocess(MODULE, "plain", **arguments, no_grad=False),
            "the same, with no_grad": in_subprocess(MODULE, "plain", **arguments, no_grad=True),
            "ddgs-hub": in_subprocess(MODULE, "ours", **arguments, configured=False),
            "bfloat16, compiled": in_subprocess(MODULE, "ours", **arguments, configured=True),
        }
        print(f"{network} of width {width}")
        published = ways["published loop"]
        for text, way in ways.items():
            ratios = [published[key] / way[key] for key in ("seconds", "cpu_seconds")]
            print(
                f"  {text:24} {way['seconds']:7.2f} s {ratios[0]:5.2f}×  {way['cpu_seconds']:7.2f} CPU s "
                f"{ratios[1]:5.2f}×  {way['peak_memory']:5.2f} GiB"
            )
        for text in ("ddgs-hub", "bfloat16, compiled"):
            once = ways[text]
            print(
                f"  once, not counted: {once['loading']:.2f} s to load, {once['first_epoch']:.1f} s until warm ({text})"
            )


if __name__ == "__main__":
    main()
