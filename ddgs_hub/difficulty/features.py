"""Features of images, for the distances of coresets (herding, k-center)."""

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ddgs_hub.core.image_batches import image_batches
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import require_columns
from ddgs_hub.difficulty.scorer import Scorer


def extract_features(
    rows: Dataset, scorer: Scorer, *, batch_size: int = 128, num_workers: int | None = None
) -> NDArray[np.float32]:
    """The input of the scorer's classifier for every image, `(N, D)`.

    Args:
        rows: the column `image`.
        scorer: the classifier. Of a cross-fitted one, the first model computes the features of all images.
        batch_size: images that are computed together.
        num_workers: processes that decode; None: by the size of the data and the number of cores.

    Raises:
        InputError: `image` is missing, an image cannot be decoded, or the scorer does not end in a linear classifier.
    """
    require_columns(rows, "image")
    batches = np.split(np.arange(len(rows)), range(batch_size, len(rows), batch_size))
    stream = image_batches(
        rows, scorer.transform, batches, progress=Progress("features", len(rows), unit="image"), num_workers=num_workers
    )
    return np.concatenate([scorer.features(images).cpu().numpy() for _, images in stream])
