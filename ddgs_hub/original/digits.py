"""The built-in dataset: scikit-learn's handwritten digits, as a source that needs neither files nor the Hub."""

from io import BytesIO
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value

from ddgs_hub.core.errors import InputError, NoSplitError

BUILT_IN = "digits"  # what a recipe or a command calls this source
VALIDATION_IMAGES = 360  # of 1,797


def is_built_in(source: str) -> bool:
    """Whether a source is the digits that come with the package.

    Raises:
        InputError: a folder of that name exists here, so that either may be meant.
    """
    if source == BUILT_IN and Path(source).is_dir():
        raise InputError(
            f"'{source}' may be the built-in digits or the folder of that name here: give ./{source} for the folder, "
            "or rename it for the built-in ones"
        )
    return source == BUILT_IN


def digits_split(split: str) -> Dataset:
    """One split of scikit-learn's 1,797 handwritten digits: 8 × 8 grey levels, enlarged to 16 × 16 PNG images.

    360 images, stratified by class, are for validation and the other 1,437 for training; the split never changes. The
    images are enlarged here, once (bicubic), so that the generator, the scorer and the compared networks all see the
    same pixels.

    Args:
        split: `train` or `validation`.

    Returns:
        Rows with `image`, `label` (ten classes) and `source_index` (row in scikit-learn's array).

    Raises:
        NoSplitError: there is no such split.
    """
    from PIL import Image as PILImage
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    if split not in ("train", "validation"):
        raise NoSplitError(f"the built-in digits have no split '{split}': they have train and validation")
    data = load_digits()
    training, validation = train_test_split(
        range(len(data.images)), test_size=VALIDATION_IMAGES, stratify=data.target, random_state=0
    )
    indices = sorted(validation if split == "validation" else training)

    def png(index: int) -> bytes:
        grey = np.minimum(data.images[index] * 16, 255).astype(np.uint8)  # the 17 levels 0 … 16 as 0 … 255
        buffer = BytesIO()
        PILImage.fromarray(grey).resize((16, 16), PILImage.Resampling.BICUBIC).save(buffer, "PNG")
        return buffer.getvalue()

    columns = {
        "image": [{"bytes": png(index), "path": None} for index in indices],
        "label": [int(data.target[index]) for index in indices],
        "source_index": indices,
    }
    features = Features(image=Image(), label=ClassLabel(names=[str(k) for k in range(10)]), source_index=Value("int64"))
    return Dataset.from_dict(columns, features=features)
