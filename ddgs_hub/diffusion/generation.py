"""Generation of the pool: n × IPC images a class, one seed per image."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Features, Image, Value
from diffusers import DiTTransformer2DModel
from numpy.typing import NDArray
from PIL import Image as PILImage

from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.parts import Parts, Writers
from ddgs_hub.core.processes import compiled, get_state
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.tracking import track_images
from ddgs_hub.diffusion.codec import Codec
from ddgs_hub.diffusion.ddpm import sample_latents
from ddgs_hub.diffusion.denoiser import denoise
from ddgs_hub.diffusion.guides import Guide
from ddgs_hub.diffusion.pool_classes import PoolClasses

ScoreImages: TypeAlias = Callable[[Sequence[bytes], Sequence[int]], NDArray[np.float32]]


def pool_features(names: list[str], *, scored: bool = False) -> Features:
    """Columns of a pool: `image` (PNG), `label`, `wnid`, `pool_index` (within its class), `seed`, and `difficulty`."""
    columns = {"image": Image(), "label": ClassLabel(names=names), "wnid": Value("string")}
    columns |= {"pool_index": Value("int64"), "seed": Value("int64")}
    return Features(columns | ({"difficulty": Value("float32")} if scored else {}))


def image_seed(run_seed: int, label: int, pool_index: int) -> int:
    """The seed of one pool image, 0 … 2⁶³ − 1. The seed, the class and the DiT are enough to make the image again."""
    state = np.random.SeedSequence([run_seed, label, pool_index]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generate_pool(
    dit: DiTTransformer2DModel,
    codec: Codec,
    output: str | Path,
    classes: PoolClasses,
    *,
    per_class: int,
    seed: int = 0,
    num_steps: int = 50,
    guidance_scale: float = 4.0,
    guidance_channels: int | Literal["all"] = 3,
    batch_size: int = 50,
    score_images: ScoreImages | None = None,
    guide: Guide | None = None,
) -> int:
    """Generates a pool and writes it to `output` as Parquet with PNG images, in Hub layout.

    The images are ordered by `pool_index`, then by class, and denoised in this order. So all batches but the last are
    full, and a larger pool of the same seed begins with the smaller one. While the device works on one batch, threads
    encode the images of the batch before. Each finished batch is a file beside `output` until the pool is whole: a
    killed run resumes after the last one. Several processes share the batches, which do not depend on their number.

    Args:
        dit: the model, on its device, in its working precision.
        codec: its decoder makes the images.
        output: the folder to write.
        classes: names, wnids and DiT class indices.
        per_class: images a class (n × IPC).
        seed: of the run; see `image_seed`.
        num_steps: respaced DDPM steps.
        guidance_scale: of classifier-free guidance.
        guidance_channels: see `sample_latents`.
        batch_size: images that are denoised together.
        score_images: encoded images and their labels → difficulties, for the column `difficulty`; None: none.
        guide: steers each image by its label and number.

    Returns:
        The number of images.
    """
    features = pool_features(classes.names, scored=score_images is not None)
    batches = _batches(len(classes.names), per_class, batch_size)
    settings = [asdict(classes), per_class, seed, num_steps, guidance_scale, guidance_channels, batch_size]
    dtype, steered = str(dit.transformer_blocks[0].attn1.to_q.weight.dtype), [guide.identity] if guide else []
    settings += [dtype, list(features), *steered]
    parts = Parts(Path(output), fingerprint(dit, codec.decoder, settings), len(batches))
    how: dict[str, Any] = {"num_steps": num_steps, "guidance_scale": guidance_scale, "denoiser": compiled(denoise)}
    how["guidance_channels"] = guidance_channels
    todo, count = parts.todo(), len(classes.names) * per_class
    with _progress([len(batches[k]) for k in todo], count) as progress, Writers(parts.write) as writers:
        for k in todo:
            seeds = [image_seed(seed, label, index) for label, index in batches[k]]
            how["guide"] = guide.of(*zip(*batches[k], strict=True)) if guide else None
            ids = [classes.dit_ids[label] for label, _ in batches[k]]
            images = codec.decode(sample_latents(dit, ids, seeds, **how))
            writers.submit(k, partial(_rows, images, batches[k], seeds, classes, features, score_images))
            if k == todo[0]:
                track_images(f"{progress.title}/images", images)
            progress.update(len(images))
    parts.finish(features)
    return count


def _progress(sizes: list[int], count: int) -> Progress:
    """Counts the images of a pool in a launch, in which this process makes batches of these sizes."""
    world = get_state().num_processes
    return Progress("generate", count, unit="image", done=max(count - world * sum(sizes), 0), processes=world)


def _batches(num_classes: int, per_class: int, size: int) -> list[list[tuple[int, int]]]:
    """Label and `pool_index` of every image, ordered by `pool_index`, then by class, `size` at a time."""
    images = [(label, index) for index in range(per_class) for label in range(num_classes)]
    return [images[start : start + size] for start in range(0, len(images), size)]


def _rows(
    images: NDArray[np.uint8],
    batch: list[tuple[int, int]],
    seeds: list[int],
    classes: PoolClasses,
    features: Features,
    score_images: ScoreImages | None,
) -> pa.Table:
    """The rows of a batch of decoded images `(B, H, W, 3)`, with their labels and numbers in the pool."""
    encoded, labels = [_png(image) for image in images], [label for label, _ in batch]
    columns = {
        "image": [{"bytes": png, "path": None} for png in encoded],
        "label": labels,
        "wnid": [classes.wnids[label] for label in labels],
        "pool_index": [index for _, index in batch],
        "seed": seeds,
    }
    if score_images is not None:
        columns["difficulty"] = score_images(encoded, labels)
    return pa.table(columns, schema=features.arrow_schema)


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    PILImage.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
