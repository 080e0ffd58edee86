from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage

from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation.tensors import for_training, for_validation, images_per_class, load_examples, same_classes
from ddgs_hub.recipe import Protocol

NAMES = ["tench", "church"]


def png(height: int, width: int, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = BytesIO()
    PILImage.fromarray(pixels).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def rows_of(*images: bytes, labels: list[int | None] | None = None) -> Dataset:
    """A dataset whose labels are stored as given: ClassLabel's own checks are passed by, as a Parquet file can."""
    features = Features(image=Image(), label=ClassLabel(names=NAMES))
    cells = [{"bytes": image, "path": None} for image in images]
    columns = {"image": cells, "label": pa.array(labels or [0] * len(images), pa.int64())}
    return Dataset(pa.table(columns, schema=features.arrow_schema))


def test_images_become_tensors_of_their_pixels():
    rows = rows_of(png(16, 20), png(12, 12, "L"), png(12, 12, "P"), labels=[1, 0, 1])
    examples = load_examples(rows, Protocol(image_size=16), training=True, where="rows", device="cpu")
    assert examples.labels.tolist() == [1, 0, 1]
    assert examples.sizes.tolist() == [[16, 20], [12, 12], [12, 12]]
    assert examples.starts.tolist() == [0, 960, 1392]
    assert examples.stack is None
    expected = np.random.default_rng(16).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    np.testing.assert_array_equal(examples.pixels[:960].view(3, 16, 20).permute(1, 2, 0), expected)
    grey = examples.pixels[960:1392].view(3, 12, 12)
    assert torch.equal(grey[0], grey[2])  # it became RGB


def test_images_of_one_size_are_one_tensor_without_a_copy():
    rows = rows_of(png(16, 20), png(16, 20, "L"))
    examples = load_examples(rows, Protocol(image_size=8), training=False, where="rows", device="cpu")
    assert examples.stack.shape == (2, 3, 8, 8)
    assert examples.stack.data_ptr() == examples.pixels.data_ptr()


def test_a_very_wide_image_takes_its_own_room_only():
    rows = rows_of(*[png(16, 16)] * 20, png(10, 2000))
    examples = load_examples(rows, Protocol(image_size=16), training=True, where="rows", device="cpu")
    assert len(examples.pixels) == 20 * 3 * 16 * 16 + 3 * 10 * 2000


def test_images_per_class_are_those_of_the_largest_class():
    assert images_per_class(rows_of(*[png(16, 16)] * 5, labels=[1, 0, 1, 1, 0])) == 3
    with pytest.raises(InputError, match="there are no rows in the dataset"):
        images_per_class(rows_of())


def test_large_training_images_keep_what_the_smallest_crop_needs():
    prepare = for_training(Protocol(image_size=16, crop_scale=0.25))
    assert prepare(PILImage.new("RGB", (100, 50))).size == (64, 32)
    assert prepare(PILImage.new("RGB", (40, 31))).size == (40, 31)


def test_validation_images_are_resized_and_center_cropped():
    white_in_black = PILImage.new("RGB", (64, 32))
    white_in_black.paste((255, 255, 255), (16, 0, 48, 32))
    view = for_validation(Protocol(image_size=28))(white_in_black)  # resized to 64 × 32, then the central 28
    assert view.size == (28, 28)
    assert np.asarray(view).min() == 255
    same = PILImage.open(BytesIO(png(16, 16)))
    assert for_validation(Protocol(image_size=16, crop_pct=1))(same).tobytes() == same.tobytes()


@pytest.mark.parametrize("broken", [b"", b"not an image", png(16, 16)[:100]])
def test_a_corrupt_image_is_named_by_its_row(broken):
    with pytest.raises(InputError, match="image of row 1 of the pool cannot be decoded"):
        load_examples(rows_of(png(16, 16), broken), Protocol(), training=True, where="the pool")


@pytest.mark.parametrize("label", [None, -1, 2])
def test_a_label_outside_the_classes_is_named_by_its_row(label):
    rows = rows_of(png(16, 16), png(16, 16), labels=[0, label])
    with pytest.raises(InputError, match=f"row 1 of the pool has label {label}, outside its 2 classes"):
        load_examples(rows, Protocol(), training=True, where="the pool")


def test_missing_columns_rows_and_classes_are_named():
    rows = rows_of(png(16, 16))
    kept = {"protocol": Protocol(), "training": True, "where": "the pool"}
    with pytest.raises(InputError, match="the pool has no column 'image'"):
        load_examples(rows.remove_columns("image"), **kept)
    with pytest.raises(InputError, match="there are no rows in the pool"):
        load_examples(rows.select([]), **kept)
    with pytest.raises(InputError, match="not a ClassLabel"):
        load_examples(rows.cast_column("label", Value("int64")), **kept)


def test_classes_must_be_the_same_in_the_same_order():
    rows = rows_of(png(16, 16))
    turned = rows.cast_column("label", ClassLabel(names=NAMES[::-1]))
    assert same_classes(rows, rows) == NAMES
    with pytest.raises(InputError, match="are tench, church and those of the validation images church, tench"):
        same_classes(rows, turned)
