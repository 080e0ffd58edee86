"""Fine-tuning steps of DiT-XL/2 at 256 px against the published way: `python -m benchmarks.finetuning`.

The plain way is written by us (`benchmarks.published`): float32 (TF32 on a GPU), every step encodes its images with
the autoencoder, and the EMA runs over all weights. In between: the same with latents that are encoded already, which
shows what the cache alone brings. Ours is `finetune`, with bfloat16 where the device has it.
"""

import argparse
import copy
import time
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator

from benchmarks import xl
from benchmarks.measure import best_device, flops, in_subprocess, matrix_rate, synchronize
from benchmarks.published import TrainingBatch, plain_trajectory
from ddgs_hub.difficulty.margins import has_bfloat16
from ddgs_hub.diffusion import Codec, LatentCache, add_difffit, finetune
from ddgs_hub.recipe import FinetuneSettings

CLASSES = 10
WARM_UP = 2  # steps that are not counted


def plain(device: str, batch_size: int, steps: int, encoded: bool, size: str = "xl") -> dict[str, float]:
    """Seconds a step of the published way; `encoded`: with latents from memory."""
    torch.backends.cuda.matmul.allow_tf32 = True
    model = xl.plain_dit(device, gammas=True, size=size)
    codec, pixels = Codec(xl.autoencoder(device, size)), xl.SIZES[size].image_size
    images = torch.rand(batch_size, 3, pixels, pixels, device=device) * 2 - 1
    labels = torch.arange(batch_size, device=device) % CLASSES
    posterior = codec.encode(images) if encoded else None
    if encoded:
        del codec

    def batches() -> Iterator[TrainingBatch]:
        while True:
            mean, log_variance = posterior or codec.encode(images)
            z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
            yield z, torch.randn_like(z), torch.randint(1000, (batch_size,), device=device), labels, labels

    trajectory = plain_trajectory(model, copy.deepcopy(model), batches())
    for _ in range(WARM_UP):
        next(trajectory)
    synchronize(device)
    start = time.perf_counter()
    for _ in range(steps):
        next(trajectory)
    synchronize(device)
    return {"seconds": (time.perf_counter() - start) / steps}


class _Clocked(Accelerator):
    """An accelerator that knows when the steps before `first` and `last` were done, in seconds.

    One training is timed from within: where it is compiled, that takes longer than the steps, and not always as long.
    """

    def __init__(self, *, first: int, last: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.marks, self.count, self.moments = (first, last), 0, list[float]()

    def backward(self, loss: torch.Tensor, **settings: Any) -> None:
        """Of one step."""
        if self.count in self.marks:
            synchronize(self.device)
            self.moments.append(time.perf_counter())
        self.count += 1
        super().backward(loss, **settings)


def ours(device: str, batch_size: int, steps: int, size: str = "xl") -> dict[str, float]:
    """Seconds a step of `finetune` on a latent cache, from the backward pass of one step to that of a later one."""
    mixed_precision = "bf16" if has_bfloat16(torch.device(device)) else "no"
    marks = {"first": WARM_UP, "last": WARM_UP + steps}
    accelerator = _Clocked(cpu=device == "cpu", mixed_precision=mixed_precision, **marks)
    mean = torch.randn(2, CLASSES * batch_size, *xl.SIZES[size].latents)
    cache = LatentCache(mean, torch.full_like(mean, -6.0), torch.arange(mean.shape[1]) % CLASSES)
    epochs = (WARM_UP + steps + 1) / CLASSES
    settings = FinetuneSettings(epochs=epochs, batch_size=batch_size)
    finetune(xl.dit(device, size), cache, settings, accelerator=accelerator)
    begun, ended = accelerator.moments
    return {"seconds": (ended - begun) / steps}


def operations(batch_size: int) -> float:
    """Floating-point operations of a step on latents: forward and backward through what DiffFit trains."""
    dit = add_difffit(xl.dit("meta")).train()
    z, labels = torch.empty(1, *xl.LATENTS, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    return batch_size * flops(lambda: dit(z, labels, labels).sample.sum().backward())


def main() -> None:
    """Prints steps per second of the three ways, their ratios, memory, and the share of the matrix rate."""
    device = best_device()
    on_gpu = device == "cuda"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20 if on_gpu else 2, help="steps that are timed")
    options = parser.parse_args()
    common = {"device": device, "batch_size": options.batch_size, "steps": options.steps}
    dtype = torch.bfloat16 if has_bfloat16(torch.device(device)) else torch.float32
    ways = {
        "re-encoding, float32, EMA of all": in_subprocess("benchmarks.finetuning", "plain", **common, encoded=False),
        "the same with latents at hand": in_subprocess("benchmarks.finetuning", "plain", **common, encoded=True),
        f"finetune(), {str(dtype).removeprefix('torch.')}": in_subprocess("benchmarks.finetuning", "ours", **common),
    }
    print(f"Fine-tuning DiT-XL/2 at 256 px, random weights, batch {options.batch_size}, {device}")
    slowest = max(way["seconds"] for way in ways.values())
    for name, way in ways.items():
        print(
            f"  {name:<34}{way['seconds']:7.2f} s a step  {1 / way['seconds']:7.3f} steps/s  "
            f"{slowest / way['seconds']:5.2f}x  {way['peak_memory']:5.1f} GiB at peak"
        )
    reached = operations(options.batch_size) / way["seconds"]
    rate = matrix_rate(device, dtype)
    print(
        f"  finetune() does {reached / 1e12:.2f} TFLOP/s, {100 * reached / rate:.0f} % of the {rate / 1e12:.2f} that a "
        "large matrix product reaches"
    )


if __name__ == "__main__":
    main()
