"""Scoring (Eq. 6) against one image at a time in float32: `python -m benchmarks.scoring`.

The weights are random, so every image is clearly hard and, where there is bfloat16, none is scored a second time in
float32. How many a trained scorer scores twice depends on how many images it is undecided about.
"""

import time
from io import BytesIO
from tempfile import TemporaryDirectory

import numpy as np
import timm
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage
from sklearn.datasets import load_sample_images
from timm.models import save_for_hf
from torch import nn
from torchvision import transforms

from ddgs_hub.difficulty import Scorer, score
from ddgs_hub.difficulty.margins import has_bfloat16
from ddgs_hub.subsets import SUBSETS

IMAGES = 48
BATCH_SIZE = 24
SIZE = 256  # px, cut out of two photographs
WARM_UP = 2  # images, for the plain loop


def photographs() -> Dataset:
    """`IMAGES` JPEGs, labelled as ImageNette's classes: which they are of, random weights do not know."""
    rng = np.random.default_rng(0)
    subset = SUBSETS["imagenette"]
    photos = load_sample_images().images
    cells = []
    for k in range(IMAGES):
        photograph = photos[k % 2]
        top, left = (int(rng.integers(extent - SIZE)) for extent in photograph.shape[:2])
        buffer = BytesIO()
        PILImage.fromarray(photograph[top : top + SIZE, left : left + SIZE]).save(buffer, "JPEG", quality=92)
        cells.append({"bytes": buffer.getvalue(), "path": None})
    labels = [k % 10 for k in range(IMAGES)]
    features = Features(image=Image(), label=ClassLabel(names=list(subset.class_names)), wnid=Value("string"))
    columns = {"image": cells, "label": labels, "wnid": [subset.wnids[label] for label in labels]}
    return Dataset.from_dict(columns, features=features)


@torch.no_grad()
def plain_scores(rows: Dataset, model: nn.Module) -> list[float]:
    """What one writes from the paper: open an image, predict, take the probability of its class, go on."""
    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    indices = SUBSETS["imagenette"].imagenet_indices
    scores = []
    for row in rows:
        probabilities = model(prepare(row["image"].convert("RGB"))[None]).softmax(1)
        scores.append(1 - probabilities[0, indices[row["label"]]].item())
    return scores


def main() -> None:
    """Prints both speeds, their ratio, and how far the difficulties are apart."""
    torch.manual_seed(0)
    rows = photographs()
    model = timm.create_model("resnet50.tv_in1k", zero_init_last=False).eval()
    with TemporaryDirectory() as folder:
        save_for_hf(model, folder, safe_serialization=True)
        scorer = Scorer.from_pretrained(folder, device="cpu")
    plain_scores(rows.select(range(WARM_UP)), model)
    start = time.perf_counter()
    plain = plain_scores(rows, model)
    plain_seconds = time.perf_counter() - start
    score(rows.select(range(BATCH_SIZE)), scorer, batch_size=BATCH_SIZE)
    start = time.perf_counter()
    scored = score(rows, scorer, batch_size=BATCH_SIZE)
    seconds = time.perf_counter() - start
    apart = np.abs(np.asarray(scored["difficulty"]) - plain).max()
    kind = "bfloat16" if has_bfloat16(scorer.device) else "float32: this CPU has no bfloat16"
    print(f"Scoring, ResNet-50 with random weights, {IMAGES} JPEGs, CPU, {torch.get_num_threads()} threads")
    print(f"  one at a time, float32                {IMAGES / plain_seconds:6.1f} images/s")
    print(f"  score(), batches of {BATCH_SIZE}                {IMAGES / seconds:6.1f} images/s  ({kind})")
    print(f"  ratio {plain_seconds / seconds:.2f}×, difficulties at most {apart:.1e} apart")


if __name__ == "__main__":
    main()
