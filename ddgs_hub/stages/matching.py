"""From original images to images learnt by DM or IDC-1: the stage `baseline dm` and `baseline idc-1`."""

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import get_accelerator, is_main, wait_for_all
from ddgs_hub.core.rows import checked_labels, class_names, read_rows, require_columns, write_rows
from ddgs_hub.core.staging import hidden_sibling, shared_sibling, staged_folder
from ddgs_hub.hub import CONTENT, PROVENANCE, public_values
from ddgs_hub.recipe import DMSettings, IDCSettings, Recipe
from ddgs_hub.stages.provenance import made_with, original_ids
from ddgs_hub.stages.run_folder import NETWORKS, write_json, write_losses

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ddgs_hub.baselines import RealImages

Method = Literal["dm", "idc-1"]
DECODED_TOGETHER = 64  # images


def make_matching(recipe: Recipe, method: Method, original: Path, output: Path, *, ipc: int, command: str = "") -> Made:
    """Learns images by DM or IDC-1, and writes them as a dataset with their losses and their provenance.

    They are learnt at `evaluate.image_size`, from originals that are resized and cropped as validation images are. All
    processes of a launch call this. A killed call resumes from its last checkpoint.

    Args:
        recipe: `dm` or `idc` says how, `evaluate` at which size.
        method: `dm` or `idc-1`.
        original: folder of the original images.
        output: folder of the learnt ones: columns `image` (PNG), `label`, and `wnid` where the original has it.
        ipc: images per class.
        command: the command line that makes them again, for the provenance.

    Returns:
        The number of images, and how the loss fell.

    Raises:
        InputError: a class has fewer images than IPC, an image cannot be decoded, or the augmentation flips what
            `data.flip` says must not be flipped.
    """
    settings = _settings(recipe, method)
    rows = read_rows(original)
    require_columns(rows, "image", "label", where=str(original))
    real = _real_images(rows, recipe, str(original))
    real.require(ipc)
    checkpoints = hidden_sibling(output, "checkpoints")
    images, losses = _learn(recipe, method, real, output, checkpoints, ipc)
    if is_main():
        with staged_folder(output) as folder:
            learnt = _as_rows(images, rows)
            write_rows(learnt, folder)
            write_losses(folder, {"matching": losses})
            write_json(folder / PROVENANCE, _provenance(recipe, method, settings, rows, learnt, ipc, command))
        shutil.rmtree(checkpoints, ignore_errors=True)
    wait_for_all()
    count, steps = images.shape[0] * ipc, len(losses)
    return Made(
        f"{count} images by {method}, {steps:,} steps, loss {losses[0]:.4g} → {losses[-1]:.4g}",
        {
            "output": str(output),
            "method": method,
            "images": count,
            "ipc": ipc,
            "seed": recipe.seed,
            "steps": steps,
            "first_loss": losses[0],
            "last_loss": losses[-1],
        },
    )


def _settings(recipe: Recipe, method: Method) -> DMSettings | IDCSettings:
    """The section of a method, if its augmentation fits the data."""
    settings: DMSettings | IDCSettings = recipe.dm if method == "dm" else recipe.idc
    for key in ("strategy", "training_strategy"):
        if "flip" in getattr(settings, key, ()) and not recipe.data.flip:
            section = "dm" if method == "dm" else "idc"
            raise InputError(
                f"{section}.{key} has flip, and data.flip of recipe {recipe.name} is false: "
                f"give --set '{section}.{key}=[…]' without flip"
            )
    return settings


def _real_images(rows: Dataset, recipe: Recipe, where: str) -> "RealImages":
    """All rows, decoded at the size that the networks see, on the device of this process."""
    import torch
    from torchvision.transforms import v2

    from ddgs_hub.baselines import RealImages
    from ddgs_hub.core.image_batches import image_batches
    from ddgs_hub.core.progress import Progress
    from ddgs_hub.evaluation import IMAGENET_MEAN, IMAGENET_STD, for_validation

    size = recipe.evaluate.image_size
    labels = checked_labels(rows, where)
    batches = np.split(np.arange(len(rows)), range(DECODED_TOGETHER, len(rows), DECODED_TOGETHER))
    transform = v2.Compose([for_validation(recipe.evaluate), v2.PILToTensor()])
    images = torch.empty(len(rows), 3, size, size, dtype=torch.uint8)
    progress = Progress("decode", len(rows), unit="image")
    for numbers, decoded in image_batches(rows, transform, batches, progress=progress):
        images[numbers] = decoded
    return RealImages.of(
        images,
        torch.from_numpy(labels),
        class_names(rows),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        device=get_accelerator().device,
    )


def _learn(
    recipe: Recipe, method: Method, real: "RealImages", output: Path, checkpoints: Path, ipc: int
) -> tuple["torch.Tensor", list[float]]:
    from ddgs_hub.baselines import learn_dm, learn_idc

    build = partial(_build, recipe, method, len(real.sizes))
    common: dict[str, Any] = {"ipc": ipc, "seed": recipe.seed, "checkpoints": checkpoints}
    if method == "dm":
        return learn_dm(real, recipe.dm, build, **common)
    return learn_idc(real, recipe.idc, build, **common, early_networks=shared_sibling(output, NETWORKS))


def _build(recipe: Recipe, method: Method, classes: int, seed: int) -> "nn.Module":
    """A network of fresh weights on the CPU; torch's own generator is left as it was."""
    import torch

    from ddgs_hub.evaluation import Embedding, build_network

    settings = recipe.dm if method == "dm" else recipe.idc
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build_network(settings.network, classes, recipe.evaluate.image_size, width=settings.network_width)
    return Embedding(network) if method == "dm" else network


def _as_rows(images: "torch.Tensor", original: Dataset) -> Dataset:
    """Images in [0, 1], `(C, ipc, 3, S, S)`, as rows, the classes one after the other."""
    from PIL import Image as PILImage

    names, ipc = class_names(original), images.shape[1]
    pixels = (images.flatten(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    columns: dict[str, list[Any]] = {
        "image": [PILImage.fromarray(image) for image in pixels],  # datasets encodes them as PNG
        "label": [label for label in range(len(names)) for _ in range(ipc)],
    }
    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    if "wnid" in original.column_names:
        wnid_of = dict(zip(original["label"], original["wnid"], strict=True))
        columns["wnid"] = [wnid_of[label] for label in columns["label"]]
        features["wnid"] = Value("string")
    return Dataset.from_dict(columns, features=features)


def _provenance(
    recipe: Recipe,
    method: Method,
    settings: DMSettings | IDCSettings,
    rows: Dataset,
    learnt: Dataset,
    ipc: int,
    command: str,
) -> dict[str, Any]:
    """As other results have it, with the section of the method, which `made_with` leaves out."""
    made, section, note = made_with(recipe), "dm" if method == "dm" else "idc", ""
    if isinstance(settings, IDCSettings) and settings.early_networks is not None:
        note = (
            f"{settings.early_networks} networks were trained early once and taken in turn, where the published method "
            f"trains one for each of the {settings.outer_iterations} outer iterations: the same rule on fewer random "
            "networks."
        )
    return {
        **made,
        "recipe": public_values({**made["recipe"], section: asdict(settings)}),
        "method": method,
        "ipc": ipc,
        "note": note,
        "datasets": original_ids(recipe),
        "command": command,
        CONTENT: {"original": fingerprint(rows), "rows": fingerprint(learnt)},
    }
