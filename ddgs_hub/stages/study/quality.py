"""How good a generated pool of a study is: what the scorer makes of it, beside as many original images."""

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Image
from PIL import Image as PILImage

from ddgs_hub.core.made import Made
from ddgs_hub.core.rows import checked_labels, class_names, read_rows, read_selected
from ddgs_hub.stages.run_folder import write_json

COMPARED = 2000  # images of either kind, at most


def measure_quality(
    original: Path,
    pool: Path,
    output: Path,
    *,
    image_size: int,
    scorer: str | Path,
    revision: str | None,
    seed: int,
) -> Made:
    """Measures a pool: the scorer's accuracy and mean difficulty on it, precision and recall in the scorer's features.

    As many original images are compared with it, at most `COMPARED` of either, drawn by the seed, and cut to the size
    of generated ones, as the DiT was trained on them: else they would be sharper. Of a cross-fitted scorer the first
    model is asked.

    Args:
        original: folder of the original images.
        pool: folder of the pool.
        output: JSON file of what is measured.
        image_size: of the generated images, px.
        scorer: a Hub id or a folder.
        revision: of a scorer on the Hub.
        seed: of the draw of images.

    Raises:
        InputError: the scorer cannot be loaded, does not know the classes or does not end in a linear classifier.
    """
    from ddgs_hub.difficulty import Scorer, class_wnids, extract_features
    from ddgs_hub.evaluation.pool_quality import NEIGHBOURS, precision_recall

    count = min(COMPARED, *(len(read_rows(folder, names=["label"])) for folder in (original, pool)))
    real, generated = _cropped(_drawn(original, count, seed), image_size), _drawn(pool, count, seed)
    loaded = Scorer.from_pretrained(scorer, revision=revision)
    labelled = read_rows(original, names=["label", "wnid"])
    classes = loaded.class_indices(class_names(labelled), class_wnids(labelled, checked_labels(labelled)))
    of_real, of_generated = (extract_features(rows, loaded) for rows in (real, generated))
    wanted = classes[checked_labels(generated, "the pool")]
    probabilities = loaded.probabilities(of_generated)
    values = {
        "images": count,
        "accuracy": 100 * float((probabilities.argmax(1) == wanted).mean()),
        "mean_difficulty": float(1 - probabilities[np.arange(count), wanted].mean()),
    }
    if count > NEIGHBOURS:
        values |= asdict(precision_recall(of_real, of_generated))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, values)
    told = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in values.items() if name != "images"]
    return Made(", ".join([f"{count:,} images", *told]), {"output": str(output), **values})


def _drawn(folder: Path, count: int, seed: int) -> Dataset:
    """So many rows of a folder, with their images."""
    size = len(read_rows(folder, names=["label"]))
    return read_selected(folder, np.sort(np.random.default_rng(seed).permutation(size)[:count]))


def _cropped(rows: Dataset, image_size: int) -> Dataset:
    """The images as a DiT is trained on them, as PNG."""
    from ddgs_hub.diffusion import cropped_images

    images = []
    for pixels in cropped_images(rows, image_size).permute(0, 2, 3, 1).numpy():
        encoded = io.BytesIO()
        PILImage.fromarray(pixels).save(encoded, "PNG")
        images.append({"bytes": encoded.getvalue(), "path": None})
    return Dataset.from_dict({"image": images}, features=Features(image=Image()))
