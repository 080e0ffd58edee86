"""Scoring (Eq. 6) against one image at a time in float32: `python -m benchmarks.scoring`, on a GPU where there is one.

The weights are random, so every image is clearly hard and, where there is bfloat16, none but the first batch is scored
in float32 too: of the few images that a CPU is given here that is a ninth, of a real dataset next to nothing. How many
a trained scorer scores twice depends on how many images it is undecided about.
"""

import time
from io import BytesIO
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import timm
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from numpy.typing import NDArray
from PIL import Image as PILImage
from sklearn.datasets import load_sample_images
from timm.models import save_for_hf
from torchvision import transforms

from benchmarks.measure import best_device, flops, in_subprocess, matrix_rate, synchronize
from ddgs_hub.core.image_batches import image_batches
from ddgs_hub.difficulty import Scorer, score
from ddgs_hub.difficulty.margins import Margins, has_bfloat16
from ddgs_hub.original import SUBSETS

MODULE = "benchmarks.scoring"
SUBSET = SUBSETS["imagenette"]
IMAGES = {"cpu": 288, "cuda": 16384}
PLAIN_IMAGES = {"cpu": 24, "cuda": 512}
BATCH_SIZE = {"cpu": 32, "cuda": 128}
WIDTH, HEIGHT = 500, 375  # px, as most of ImageNet's images are; cut out of two photographs
DIFFERENT = 64  # photographs that are encoded; each is decoded as often as there are images
WARM_UP = 2  # images of the plain loop


def photographs(count: int) -> Dataset:
    """`count` JPEGs, labelled as ImageNette's classes: which they are of, random weights do not know."""
    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    cells = []
    for k in range(min(count, DIFFERENT)):
        top, left = int(rng.integers(427 - HEIGHT)), int(rng.integers(640 - WIDTH))
        buffer = BytesIO()
        cut = photos[k % 2][top : top + HEIGHT, left : left + WIDTH]
        PILImage.fromarray(cut).save(buffer, "JPEG", quality=92)
        cells.append({"bytes": buffer.getvalue(), "path": None})
    labels = [k % 10 for k in range(count)]
    features = Features(image=Image(), label=ClassLabel(names=list(SUBSET.class_names)), wnid=Value("string"))
    columns = {
        "image": [cells[k % DIFFERENT] for k in range(count)],
        "label": labels,
        "wnid": [SUBSET.wnids[label] for label in labels],
    }
    return Dataset.from_dict(columns, features=features)


def resnet50(device: str) -> Scorer:
    """ResNet-50 with the preprocessing of the paper's weights, and random ones."""
    torch.manual_seed(0)
    model = timm.create_model("resnet50.tv_in1k", zero_init_last=False)
    with TemporaryDirectory() as folder:
        save_for_hf(model, folder, safe_serialization=True)
        return Scorer.from_pretrained(folder, device=device)


@torch.no_grad()
def plain(device: str, images: int | None = None) -> dict[str, Any]:
    """What one writes from the paper: open an image, predict, take the probability of its class, go on."""
    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    model = resnet50(device).models[0].to(memory_format=torch.contiguous_format)
    scores: list[float] = []
    start = 0.0
    count = images or PLAIN_IMAGES[device]
    for row in photographs(count + WARM_UP):
        if len(scores) == WARM_UP:
            start = time.perf_counter()
        probabilities = model(prepare(row["image"].convert("RGB"))[None].to(device)).softmax(1)
        scores.append(1 - probabilities[0, SUBSET.imagenet_indices[row["label"]]].item())
    return {"rate": count / (time.perf_counter() - start), "difficulty": scores}


def ours(device: str, images: int | None = None, batch_size: int | None = None) -> dict[str, Any]:
    """`score()`, as a user calls it; of `images` and in batches as the tables above have them if nothing is said."""
    rows, scorer = photographs(images or IMAGES[device]), resnet50(device)
    size = batch_size or BATCH_SIZE[device]
    score(rows.select(range(2 * size)), scorer, batch_size=size)  # float32, then bfloat16
    start = time.perf_counter()
    scored = score(rows, scorer, batch_size=size)
    seconds = time.perf_counter() - start
    return {"rate": len(rows) / seconds, "difficulty": np.asarray(scored["difficulty"]).tolist()}


def decoders(device: str) -> dict[str, Any]:
    """The same images through the same workers, and no model."""
    rows, scorer, size = photographs(IMAGES[device]), resnet50("cpu"), BATCH_SIZE[device]
    start = time.perf_counter()
    for _ in image_batches(rows, scorer.transform, _batches(len(rows), size)):
        pass
    return {"rate": len(rows) / (time.perf_counter() - start)}


def decoded(device: str) -> dict[str, Any]:
    """What is left of scoring where the images are decoded already: uint8, in memory."""
    scorer, size = resnet50(device), BATCH_SIZE[device]
    rows = photographs(size)
    images = torch.stack([scorer.transform(row["image"]) for row in rows])
    images = images.pin_memory() if device == "cuda" else images
    targets = torch.tensor([SUBSET.imagenet_indices[label] for label in rows["label"]])
    margins = Margins(scorer, 0)
    margins.calibrate(images, targets)

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            margins.settled(images, targets)
        synchronize(device)
        return count * size / (time.perf_counter() - start)

    run(1)
    return {"rate": run(IMAGES[device] // size // 2)}


def rates(device: str) -> dict[str, Any]:
    """FLOP/s of matrices, and FLOP of an image."""
    scorer = resnet50(device)
    dtype = torch.bfloat16 if has_bfloat16(scorer.device) else torch.float32
    image = torch.zeros(1, 3, 224, 224)
    return {
        "matrices": matrix_rate(device, dtype),
        "image": flops(lambda: scorer.logits(image)),
        "dtype": str(dtype).removeprefix("torch."),
    }


def _batches(count: int, size: int) -> list[NDArray[np.int64]]:
    return np.split(np.arange(count), range(size, count, size))


def main() -> None:
    """Prints the speed and the memory of each way, each in a process of its own, and how they stand to each other."""
    device = best_device()
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"ResNet-50 with random weights, {IMAGES[device]:,} JPEGs of {WIDTH} × {HEIGHT} px, {name}", flush=True)
    ways = {way: in_subprocess(MODULE, way, device=device) for way in ("plain", "ours", "decoders", "decoded")}
    rate = in_subprocess(MODULE, "rates", device=device)

    def line(text: str, way: str) -> None:
        speed, memory = ways[way]["rate"], ways[way]["peak_memory"]
        share = 100 * speed * rate["image"] / rate["matrices"]
        matrices = f"{share:5.1f} % of its {rate['dtype']} matrices" if way != "decoders" else ""
        print(f"  {text:34} {speed:8.1f} images/s  {memory:5.2f} GiB  {matrices}")

    line("one at a time, float32", "plain")
    line(f"score(), batches of {BATCH_SIZE[device]}", "ours")
    line("score() of decoded images", "decoded")
    line("decoders alone", "decoders")
    ours, plain = (np.array(ways[way]["difficulty"]) for way in ("ours", "plain"))
    apart = np.abs(ours[: len(plain)] - plain).max()
    print(f"  ratio {ways['ours']['rate'] / ways['plain']['rate']:.2f}×, difficulties at most {apart:.1e} apart")
    print(f"  {100 * ways['ours']['rate'] / ways['decoders']['rate']:.0f} % of what the decoders alone deliver")
    print(f"  the device's matrices: {rate['matrices'] / 1e12:.2f} TFLOP/s; an image: {rate['image'] / 1e9:.2f} GFLOP")


if __name__ == "__main__":
    main()
