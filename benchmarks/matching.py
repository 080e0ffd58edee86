"""Steps of DM and of IDC-1 against the published loops, written plainly: `python -m benchmarks.matching`.

The plain way is float32 throughout: originals are normalised up front and held as floats, every step of DM builds its
network and moves it, the batches that IDC-1 trains on come from a `DataLoader` and are augmented image by image, and
the learnt images are a parameter of torch's SGD. Ours is `learn_dm` and `learn_idc`, with bfloat16 where the device
has it. Both do the same steps: of DM one of all classes; of IDC-1 a turn of the inner loop, which is a step of each
class and one pass of training.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.measure import best_device, in_subprocess, synchronize
from ddgs_hub.baselines import RealImages, augment, draw_chain, draw_one, learn_dm, learn_idc
from ddgs_hub.difficulty.margins import has_bfloat16
from ddgs_hub.evaluation import IMAGENET_MEAN, IMAGENET_STD, Embedding, build_network
from ddgs_hub.recipe import DMSettings, IDCSettings

CLASSES, IPC, PER_CLASS = 10, 10, 300
WARM_UP = 1  # steps that are not counted
REPEATS = 3  # of which the fastest counts


def originals(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random uint8 images `(N, 3, size, size)` and their labels, the classes one after the other."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (CLASSES * PER_CLASS, 3, size, size), generator=generator, dtype=torch.uint8)
    return images, torch.arange(CLASSES).repeat_interleave(PER_CLASS)


def settings_of(method: str, network: str, steps: int) -> Any:
    """The published settings, for a number of steps of the one network; IDC-1's without early training."""
    if method == "dm":
        return DMSettings(steps=steps, network=network)
    return IDCSettings(outer_iterations=1, inner_loop=steps, early=0, network=network)


def build(method: str, network: str, size: int, width: int | None) -> nn.Module:
    """A network as a method takes it, on the CPU."""
    built = build_network(network, CLASSES, size, width=width)
    return Embedding(built) if method == "dm" else built


def ours(method: str, network: str, device: str, size: int, width: int | None, steps: int) -> dict[str, float]:
    """Seconds a step: the difference of a longer and a shorter learning."""
    mixed_precision = "bf16" if has_bfloat16(torch.device(device)) else "no"
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)
    images, labels = originals(size)
    names = [str(label) for label in range(CLASSES)]
    real = RealImages.of(images, labels, names, mean=IMAGENET_MEAN, std=IMAGENET_STD, device=device)
    learn: Callable[..., Any] = learn_dm if method == "dm" else learn_idc

    def seconds(steps: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        settings = settings_of(method, network, steps)
        learn(real, settings, lambda _: build(method, network, size, width), ipc=IPC, accelerator=accelerator)
        synchronize(device)
        return time.perf_counter() - start

    seconds(WARM_UP)
    few, many = (min(seconds(count) for _ in range(REPEATS)) for count in (1, steps + 1))
    return {"seconds": (many - few) / steps}


def plain(method: str, network: str, device: str, size: int, width: int | None, steps: int) -> dict[str, float]:
    """Seconds a step of the published loop."""
    images, labels = originals(size)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    normalized = (images.float() / 255 - mean) / std
    loop = plain_dm if method == "dm" else plain_idc
    trajectory = loop(normalized, labels, lambda: build(method, network, size, width).to(device))
    for _ in range(WARM_UP):
        next(trajectory)
    seconds = []
    for _ in range(REPEATS):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(steps):
            next(trajectory)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds) / steps}


def plain_dm(images: torch.Tensor, labels: torch.Tensor, fresh: Callable[[], nn.Module]) -> Iterator[None]:
    """All originals on the device as floats, and one backward pass over the sum of all classes."""
    settings, generator = DMSettings(), torch.Generator().manual_seed(0)
    device, size = next(fresh().parameters()).device, images.shape[-1]
    images = images.to(device)
    rows_of = [(labels == label).nonzero()[:, 0] for label in range(CLASSES)]
    learnt = torch.stack([images[rows[:IPC]] for rows in rows_of]).requires_grad_()
    optimizer = torch.optim.SGD([learnt], lr=settings.lr, momentum=settings.momentum)
    while True:
        psi, loss = fresh(), torch.zeros((), device=device)
        for label, rows in enumerate(rows_of):
            batch = images[rows[torch.randperm(len(rows))[: settings.batch_real]].to(device)]
            draws = draw_one(settings.strategy, size, size, generator)
            target = psi(augment(batch, draws)).detach().mean(0)
            loss = loss + (target - psi(augment(learnt[label], draws)).mean(0)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        yield


def plain_idc(images: torch.Tensor, labels: torch.Tensor, fresh: Callable[[], nn.Module]) -> Iterator[None]:
    """Loaders with workers for matching and for training; every image of a training batch is augmented by itself."""
    settings, generator, theta = IDCSettings(), torch.Generator().manual_seed(0), fresh()
    device, size = next(theta.parameters()).device, images.shape[-1]
    sgd = torch.optim.SGD(theta.parameters(), settings.lr, settings.momentum, weight_decay=settings.weight_decay)
    weights = [weight for weight in theta.parameters() if weight.ndim == 4]
    learnt = torch.stack([images[labels == label][:IPC] for label in range(CLASSES)]).to(device).requires_grad_()
    lr = settings.image_lr(IPC, size)
    optimizer = torch.optim.SGD([learnt], lr=lr, momentum=settings.momentum_images)
    of_class = [images[labels == label] for label in range(CLASSES)]
    mixed = endless(TensorDataset(images, labels), settings.batch_real)

    def gradients(batch: torch.Tensor, label: int, create_graph: bool) -> tuple[torch.Tensor, ...]:
        loss = F.cross_entropy(theta(batch), torch.full((len(batch),), label, device=device))
        return torch.autograd.grad(loss, weights, create_graph=create_graph)

    while True:
        for label, own in enumerate(of_class):
            batch = own[torch.randperm(len(own))[: settings.batch_real]].to(device)
            draws = draw_chain(settings.strategy, 1, size, size, generator)
            targets = gradients(augment(batch, draws), label, create_graph=False)
            found = gradients(augment(learnt[label], draws), label, create_graph=True)
            distance = torch.stack([(a - b).abs().sum() for a, b in zip(targets, found, strict=True)]).sum()
            optimizer.zero_grad()
            distance.backward(inputs=[learnt])
            optimizer.step()
            distance.item()
        taken = 0
        while taken < settings.images_per_pass:
            batch, targets_of = next(mixed)
            views = [
                augment(image[None], draw_chain(settings.training_strategy, 1, size, size, generator))
                for image in batch.to(device)
            ]
            loss = F.cross_entropy(theta(cut_mixed(torch.cat(views))), targets_of.to(device))
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            loss.item()
            taken += len(batch)
        yield


def cut_mixed(images: torch.Tensor) -> torch.Tensor:
    """A quarter of each image is of another one: what CutMix costs, its labels apart."""
    half, views = images.shape[-1] // 2, images.clone()
    views[:, :, :half, :half] = images[torch.randperm(len(images)), :, :half, :half]
    return views


def endless(rows: TensorDataset, batch_size: int) -> Iterator[Any]:
    """Batches of a loader with workers, epoch after epoch."""
    loader = DataLoader(rows, batch_size, shuffle=True, num_workers=2, persistent_workers=True)
    while True:
        yield from loader


def main() -> None:
    """Prints seconds a step of both ways, their ratio, and memory."""
    device = best_device()
    on_gpu = device == "cuda"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224 if on_gpu else 16, help="px")
    parser.add_argument(
        "--width", type=int, default=None if on_gpu else 16, help="channels; default on a GPU: 128 and 64"
    )
    parser.add_argument("--steps", type=int, default=20 if on_gpu else 3, help="steps that are timed")
    options = parser.parse_args()
    common = {"device": device, "size": options.size, "width": options.width, "steps": options.steps}
    print(
        f"DM and IDC-1, {CLASSES} classes of {PER_CLASS} images, {IPC} a class, {options.size} px, "
        f"width {options.width or 'as published'}, {device}"
    )
    for method, network in (("dm", "convnet"), ("idc-1", "resnetap10")):
        ways = {
            way: in_subprocess("benchmarks.matching", way, method=method, network=network, **common)
            for way in ("plain", "ours")
        }
        for name, way in ways.items():
            print(
                f"  {method:<6}{network:<11}{name:<6}{way['seconds']:8.3f} s a step  "
                f"{ways['plain']['seconds'] / way['seconds']:5.2f}x  {way['peak_memory']:5.2f} GiB at peak"
            )


if __name__ == "__main__":
    main()
