"""Generating a pool with DiT-XL/2 at 256 px, against one image at a time: `python -m benchmarks.generation`.

The plain way is the published recipe's, written by us (`benchmarks.published`): batch 1, float32 (TF32 on a GPU), the
conditions embedded in every step, decoded and saved before the next begins. Ours is `generate_pool`, with bfloat16
where the device has it, PNG encoding and Parquet included.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from benchmarks import xl
from benchmarks.measure import best_device, flops, in_subprocess, matrix_rate, synchronize
from benchmarks.published import plain_sample
from ddgs_hub.difficulty.margins import has_bfloat16
from ddgs_hub.diffusion import Codec, PoolClasses, cast_frozen, generate_pool

GUIDANCE = 4.0


def plain(device: str, images: int, steps: int, size: str = "xl") -> dict[str, float]:
    """Seconds an image, one at a time."""
    torch.backends.cuda.matmul.allow_tf32 = True
    model, vae = xl.plain_dit(device, size=size).eval(), xl.autoencoder(device, size)

    @torch.no_grad()
    def make(k: int, num_steps: int, folder: str) -> None:
        noise = torch.randn(num_steps + 1, 1, *xl.SIZES[size].latents, device=device)
        z = plain_sample(model, torch.tensor([k], device=device), noise, num_steps, GUIDANCE)
        image = vae.decode(z / vae.config.scaling_factor).sample[0]
        pixels = ((image + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        Image.fromarray(pixels).save(Path(folder) / f"{k}.png")

    with TemporaryDirectory() as folder:
        make(0, 2, folder)
        with timed(device) as seconds:
            for k in range(images):
                make(k, steps, folder)
    return {"seconds": seconds[0] / images}


def pooled(device: str, batch_size: int, batches: int, steps: int, size: str = "xl") -> dict[str, float]:
    """Seconds an image of `generate_pool`."""
    dit, codec = xl.dit(device, size).requires_grad_(False), Codec(xl.autoencoder(device, size)).to(device)
    if has_bfloat16(torch.device(device)):
        cast_frozen(dit, torch.bfloat16)
        codec.lower_decoder(torch.bfloat16)
    classes = PoolClasses([str(k) for k in range(batch_size)], [None] * batch_size, list(range(batch_size)))
    make = partial(generate_pool, dit, codec, classes=classes, guidance_scale=GUIDANCE, batch_size=batch_size)
    with TemporaryDirectory() as folder:
        make(Path(folder) / "warm-up", per_class=1, num_steps=2)
        with timed(device) as seconds:
            make(Path(folder) / "pool", per_class=batches, num_steps=steps)
    return {"seconds": seconds[0] / (batches * batch_size)}


@contextmanager
def timed(device: str) -> Iterator[list[float]]:
    """Seconds that the block took, as the only entry of the list."""
    seconds: list[float] = []
    synchronize(device)
    start = time.perf_counter()
    yield seconds
    synchronize(device)
    seconds.append(time.perf_counter() - start)


def operations(steps: int) -> float:
    """Floating-point operations of an image: `steps` denoising steps with guidance, and the decoding."""
    dit, vae = xl.dit("meta"), xl.autoencoder("meta")
    z, labels = torch.empty(2, *xl.LATENTS, device="meta"), torch.zeros(2, dtype=torch.long, device="meta")
    return steps * flops(lambda: dit(z, labels, labels)) + flops(lambda: vae.decode(z[:1]))


def main() -> None:
    """Prints images per second of both ways, their ratio, memory, and the share of the device's matrix rate."""
    device = best_device()
    on_gpu = device == "cuda"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50 if on_gpu else 2, help="denoising steps")
    parser.add_argument("--batch-size", type=int, default=64 if on_gpu else 4, help="images denoised together")
    parser.add_argument("--batches", type=int, default=2 if on_gpu else 1, help="batches of the pool")
    options = parser.parse_args()
    dtype = torch.bfloat16 if has_bfloat16(torch.device(device)) else torch.float32
    one = in_subprocess("benchmarks.generation", "plain", device=device, images=4 if on_gpu else 2, steps=options.steps)
    many = in_subprocess(
        "benchmarks.generation",
        "pooled",
        device=device,
        batch_size=options.batch_size,
        batches=options.batches,
        steps=options.steps,
    )
    rate, work = matrix_rate(device, dtype), operations(options.steps)
    print(f"Pool of DiT-XL/2 at 256 px, random weights, {options.steps} steps, guidance {GUIDANCE:g}, {device}")
    print(f"  one at a time, float32       {1 / one['seconds']:8.3f} images/s  {one['peak_memory']:5.1f} GiB at peak")
    kind = f"batches of {options.batch_size}, {str(dtype).removeprefix('torch.')}"
    print(f"  {kind:<27}  {1 / many['seconds']:8.3f} images/s  {many['peak_memory']:5.1f} GiB at peak")
    print(
        f"  ratio {one['seconds'] / many['seconds']:.2f}x; ours does {work / many['seconds'] / 1e12:.2f} TFLOP/s, "
        f"{100 * work / many['seconds'] / rate:.0f} % of the {rate / 1e12:.2f} that a large matrix product reaches"
    )


if __name__ == "__main__":
    main()
