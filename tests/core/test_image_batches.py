import numpy as np
import pytest
import torch
from datasets import Dataset, Image
from torchvision.transforms.v2.functional import pil_to_tensor

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.image_batches import encoded_images, image_batches
from ddgs_hub.core.rows import undecoded
from ddgs_hub.original.digits import digits_split


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """30 real handwritten digits, 16 px."""
    return digits_split("train").select(range(30))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_come_in_their_order_with_their_rows(rows, num_workers):
    batches = [np.array([4, 2, 29]), np.arange(7), np.array([11])]
    came = list(image_batches(rows, pil_to_tensor, batches, num_workers=num_workers))
    assert [chosen.tolist() for chosen, _ in came] == [batch.tolist() for batch in batches]
    for chosen, images in came:
        assert images.dtype == torch.uint8
        for row, image in zip(chosen.tolist(), images, strict=True):
            assert torch.equal(image, pil_to_tensor(rows[row]["image"].convert("RGB")))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_corrupt_image_is_named_by_its_row_after_the_batches_before_it(rows, num_workers):
    cells = list(undecoded(rows)["image"])
    cells[17] = {"bytes": cells[17]["bytes"][:60], "path": None}
    broken = rows.remove_columns("image").add_column("image", cells).cast_column("image", Image())
    batches = np.split(np.arange(30), 3)
    stream = image_batches(broken, pil_to_tensor, batches, num_workers=num_workers)
    assert next(stream)[0].tolist() == list(range(10))
    with pytest.raises(InputError, match=r"^the image of row 17 cannot be decoded[^\n]*$"):
        next(stream)


def test_encoded_images_are_the_stored_bytes_and_no_path_is_opened(rows, tmp_path):
    cells = [dict(cell) for cell in undecoded(rows)["image"]]
    stored = [cell["bytes"] for cell in cells]
    assert list(encoded_images(rows)) == stored
    (tmp_path / "five.png").write_bytes(stored[5])
    cells[5] = {"bytes": None, "path": str(tmp_path / "five.png")}
    by_path = rows.remove_columns("image").add_column("image", cells).cast_column("image", Image())
    with pytest.raises(InputError, match=r"row 25 cannot be decoded \(it has no bytes, and no file"):
        list(encoded_images(by_path, first=20))
