"""The transforms for a data loader give the very tensors that `evaluate` gives its networks."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PILImage
from torch.nn.modules.module import register_module_forward_pre_hook

from ddgs_hub.evaluation import Protocol, TrainTransform, ValidationTransform, build_network
from ddgs_hub.evaluation.augmentation import mix
from ddgs_hub.evaluation.evaluate import evaluate
from ddgs_hub.evaluation.networks import ConvNet

PROTOCOL = Protocol(network="convnet", width=4, image_size=16, epochs=1, repeats=1, batch_size=4, crop_pct=0.8)


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """Eight images of several sizes and modes."""
    rng, cells = np.random.default_rng(0), []
    for k, mode in enumerate(["RGB", "L", "P", "RGBA"] * 2):
        pixels = rng.integers(0, 256, (20 + 5 * k, 50 - 3 * k, 3), dtype=np.uint8)
        buffer = BytesIO()
        PILImage.fromarray(pixels).convert(mode).save(buffer, "PNG")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    features = Features(image=Image(), label=ClassLabel(names=["zero", "one"]))
    return Dataset.from_dict({"image": cells, "label": [0, 1] * 4}, features=features)


@pytest.fixture
def seen() -> Iterator[list[torch.Tensor]]:
    """What every ConvNet is given meanwhile."""
    inputs: list[torch.Tensor] = []

    def note(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, ConvNet):
            inputs.append(arguments[0].clone())

    handle = register_module_forward_pre_hook(note)
    yield inputs
    handle.remove()


def test_networks_see_the_same(rows: Dataset, seen: list[torch.Tensor]) -> None:
    evaluate(rows, rows, PROTOCOL, ipc=4, seed=3, device="cpu")
    assert [len(batch) for batch in seen] == [4, 4, 8]  # two of training, one of the test
    images, labels = rows["image"], torch.tensor(rows["label"])
    train, validation = (pickle.loads(pickle.dumps(kind(PROTOCOL))) for kind in (TrainTransform, ValidationTransform))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        build_network(PROTOCOL.network, 2, PROTOCOL.image_size, width=PROTOCOL.width)
        for batch, inputs in zip(torch.randperm(8).split(4), seen[:2], strict=True):
            views = train.batch([images[row] for row in batch.tolist()])
            mixed, targets = mix(views, labels[batch], 2, PROTOCOL)
            assert torch.equal(mixed, inputs)
            assert not torch.equal(mixed, views)
            torch.testing.assert_close(targets.sum(1), torch.ones(4))
    assert torch.equal(torch.cat(seen[2:]), validation.batch(images))


def test_one_image(rows: Dataset) -> None:
    image = rows[3]["image"]
    assert torch.equal(ValidationTransform(PROTOCOL)(image), ValidationTransform(PROTOCOL).batch([image])[0])
    torch.manual_seed(0)
    first, second = (TrainTransform(PROTOCOL)(image) for _ in range(2))
    assert first.shape == second.shape == (3, 16, 16)
    assert first.dtype == torch.float32
    assert not torch.equal(first, second)


def test_mixing_can_be_switched_off() -> None:
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 2])
    mixed, targets = mix(images, labels, 3, replace(PROTOCOL, cutmix=0))
    assert torch.equal(mixed, images)
    assert targets.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
