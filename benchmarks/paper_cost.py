"""What Table 1 of the paper costs on this device: parts of every method are timed at full size, and the rest computed.

Nothing is trained to its end: a few steps of DM and of IDC-1 and a few epochs of each network on images of noise, which
take as long as real ones. Fine-tuning and generation have benchmarks of their own. `python -m benchmarks.paper_cost`
is meant for a GPU: on a CPU a single part takes many minutes.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from benchmarks.measure import best_device, synchronize
from ddgs_hub.baselines import RealImages, learn_dm, learn_idc
from ddgs_hub.core.processes import get_accelerator
from ddgs_hub.evaluation import IMAGENET_MEAN, IMAGENET_STD, Embedding, Examples, build_network, train_network
from ddgs_hub.recipe import DMSettings, IDCSettings, Protocol

CLASSES, IMAGES, TESTS = 10, 12_454, 500  # of ImageWoof, as ImageNet has it
IPCS, NETWORKS, REPEATS = (10, 20, 50), ("convnet", "resnetap10", "resnet18"), 3
HOUR = 3600


def seconds_of(work: Callable[[], object], device: str) -> float:
    """How long a call takes."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def per_unit(work: Callable[[int], object], units: int, device: str) -> float:
    """Seconds that `work(n)` takes for each of n, without what it takes whatever n is; the first call warms up."""
    work(1)
    return (seconds_of(lambda: work(1 + units), device) - seconds_of(lambda: work(1), device)) / units


def real_images(image_size: int, per_class: int, device: str) -> RealImages:
    """Noise in the place of original images."""
    images = torch.randint(256, (CLASSES * per_class, 3, image_size, image_size), dtype=torch.uint8)
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    names = [str(label) for label in range(CLASSES)]
    return RealImages.of(images, labels, names, mean=IMAGENET_MEAN, std=IMAGENET_STD, device=device)


def dm_step(image_size: int, ipc: int, device: str) -> float:
    """Seconds of a step of DM."""
    real, settings = real_images(image_size, 256, device), DMSettings()

    def build(_: int) -> torch.nn.Module:
        return Embedding(build_network(settings.network, CLASSES, image_size, width=settings.network_width))

    return per_unit(lambda n: learn_dm(real, replace(settings, steps=n), build, ipc=ipc), 4, device)


def idc_seconds(image_size: int, ipc: int, device: str) -> float:
    """Seconds of an outer iteration of IDC-1 on ImageWoof: early training, and the inner loop."""
    real, settings = real_images(image_size, 128, device), replace(IDCSettings(), outer_iterations=1, early=0)

    def learn(settings: IDCSettings) -> object:
        return learn_idc(real, settings, partial(_plain, settings.network, image_size), ipc=ipc)

    inner = per_unit(lambda n: learn(replace(settings, inner_loop=n)), 4, device)
    epoch = per_unit(lambda n: learn(replace(settings, inner_loop=1, early=n)), 1, device)
    published = IDCSettings()
    return published.inner_loop * inner + published.early * epoch * IMAGES / len(real.images)


def _plain(network: str, image_size: int, _: int) -> torch.nn.Module:
    return build_network(network, CLASSES, image_size)


def examples(count: int, side: int, device: str) -> Examples:
    """Noise in the place of a set of images."""
    pixels = torch.randint(256, (count * 3 * side * side,), dtype=torch.uint8).to(device)
    return Examples(pixels, torch.full((count, 2), side), (torch.arange(count) % CLASSES).to(device))


def evaluation_seconds(network: str, image_size: int, count: int, epochs: int, device: str) -> float:
    """Seconds of one network: all epochs, and the protocol's tests."""
    protocol = Protocol(network=network, image_size=image_size, evaluations=1, repeats=1)
    images, tests = examples(count, round(image_size * 8 / 7), device), examples(TESTS, image_size, device)
    timed = max(2, min(20, 4000 // count))

    def train(n: int, tests: Examples = tests) -> object:
        return train_network(images, tests, protocol, CLASSES, epochs=n, seed=0)

    epoch = per_unit(train, timed, device)
    twice = examples(4 * TESTS, image_size, device)
    test = (seconds_of(lambda: train(1, twice), device) - seconds_of(lambda: train(1), device)) / 3
    return epochs * epoch + len(Protocol().evaluation_epochs(epochs)) * max(test, 0.0)


def main() -> None:
    """Prints what was timed, and the hours that follow from it."""
    device = best_device()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=224, help="px")
    size = parser.parse_args().image_size
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"Timed at {size} px on {name}, {get_accelerator().mixed_precision}; hours are computed from it")
    total = 0.0
    for ipc in IPCS:
        step, iteration = dm_step(size, ipc, device), idc_seconds(size, ipc, device)
        hours = DMSettings().steps * step / HOUR, IDCSettings().outer_iterations * iteration / HOUR
        total += sum(hours)
        print(f"  IPC {ipc:<3} DM {step:7.3f} s a step: {hours[0]:6.1f} h   IDC-1 {iteration:7.1f} s an outer ", end="")
        print(f"iteration: {hours[1]:6.1f} h", flush=True)
    sets = {**dict.fromkeys(IPCS, 8), IMAGES // CLASSES: 1}  # methods that have a set of this size
    for network in NETWORKS:
        for ipc, methods in sets.items():
            count, epochs = ipc * CLASSES, Protocol().epochs_for(ipc)
            seconds = evaluation_seconds(network, size, count, epochs, device)
            hours_of_all = seconds * REPEATS * methods / HOUR
            total += hours_of_all
            print(f"  {network:<11} {count:6,} images, {epochs:5,} epochs: {seconds / 60:6.1f} min a network; ", end="")
            print(f"{methods} methods, {REPEATS} repeats: {hours_of_all:6.1f} h", flush=True)
    print(f"  all: {total:.0f} h on one such device, fine-tuning, generation and scoring aside")


if __name__ == "__main__":
    main()
