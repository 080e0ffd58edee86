"""Training of a scorer for data that no public classifier knows: k timm models, cross-fitted.

A classifier that has memorised an image finds it easy, whatever it looks like. So a model must not score images that it
was trained on. The fold of an image is a hash of its encoded bytes (`fold_of`). Model k is trained on the images of
all other folds, and every image, original or generated, is scored by the model of its own fold. Both get the same kind
of score with one forward pass an image, and nothing depends on the order of the rows.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from accelerate import Accelerator
from datasets import Dataset
from numpy.typing import NDArray
from timm.data import create_transform
from timm.models import save_for_hf
from torch import Tensor, nn
from torch.nn import functional as F

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import FOLDS_FILE, fold_folder
from ddgs_hub.core.image_batches import encoded_images
from ddgs_hub.core.processes import get_accelerator, wait_for_all
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import checked_labels, class_names, require_columns
from ddgs_hub.core.staging import make_weights_readable, staged_folder
from ddgs_hub.core.text import quoted
from ddgs_hub.difficulty.classifiers import NOT_OF_A_MODEL
from ddgs_hub.difficulty.scorer import fold_of, image_digest
from ddgs_hub.recipe import ScorerTraining

MEAN = STD = (0.5, 0.5, 0.5)  # the models' input is −1 … 1, whatever the data
EVALUATION_VIEW = {"crop_pct": 1.0, "interpolation": "bicubic"}  # the middle square, resized
ASPECT_RATIO = 4 / 3  # widest and, inverted, narrowest crop, as torchvision's and timm's random resized crops have it
EVALUATION_BATCH = 512


@dataclass(frozen=True)
class TrainedScorer:
    """The result of `train_scorer`.

    Attributes:
        folder: for `Scorer.from_pretrained`.
        accuracy: share of all images that are classified correctly by the model of their fold, which never saw them.
        fold_accuracies: the same for each fold.
    """

    folder: Path
    accuracy: float
    fold_accuracies: tuple[float, ...]


def train_scorer(
    rows: Dataset, output: str | Path, training: ScorerTraining, *, flip: bool = False, seed: int = 0
) -> TrainedScorer:
    """Trains `training.folds` timm models, each without the images of its fold, and writes them as one scorer.

    All images are decoded once, to the size that the models see: 3·S² bytes an image, in every process. Runs on one
    device, or on several under `accelerate launch`. Several devices share a batch, so batch normalisation sees smaller
    parts, and the weights differ from those of one device.

    Args:
        rows: columns `image` and `label` (ClassLabel); other columns are ignored.
        output: the folder to write: `folds.json` (what was trained, and the accuracies) and `fold-0`, `fold-1` …, each
            in timm's layout (`config.json`, `model.safetensors`) and loadable alone.
        training: architecture and schedule; AdamW, one-cycle, random resized crops.
        flip: whether to mirror half of the crops.
        seed: decides initial weights, batches and crops; torch's global random state is unchanged.

    Raises:
        InputError: a column is missing, a label is outside the classes, an image cannot be decoded, a class is too
            small for the folds, timm does not know the model, or `output` cannot be written.
    """
    accelerator = get_accelerator()
    if training.batch_size % accelerator.num_processes:
        raise InputError(
            f"batch_size {training.batch_size} cannot be shared by {accelerator.num_processes} processes: "
            "give a multiple of their number"
        )
    hidden = not accelerator.is_main_process
    require_columns(rows, "image", "label")
    names, labels = class_names(rows), checked_labels(rows)
    images, folds = _decode(rows, training)
    _check_folds(labels, folds, names, training.folds)
    trainer = _FoldTrainer(accelerator, images, labels, len(names), training, flip)
    correct = np.zeros(len(rows), dtype=bool)
    steps = sum(num_steps(int((folds != k).sum()), training) for k in range(training.folds))
    progress = Progress("train-scorer", steps, unit="step", images=training.batch_size)
    with nullcontext() if hidden else staged_folder(output) as partial, progress:
        for k in range(training.folds):
            model = trainer.train(np.flatnonzero(folds != k), seed * training.folds + k, progress)
            held_out = np.flatnonzero(folds == k)
            correct[held_out] = trainer.is_correct(model, held_out)
            if partial is not None:
                _save(model, partial / fold_folder(k), names, training)
        accuracies = tuple(float(correct[folds == k].mean()) for k in range(training.folds))
        trained = TrainedScorer(Path(output), float(correct.mean()), accuracies)
        if partial is not None:
            _write_folds(partial / FOLDS_FILE, trained, training, flip, seed)
    wait_for_all()
    return trained


class _FoldTrainer:
    """The images, labels and settings that the training of every fold shares.

    Args:
        images: uint8, `(N, 3, S, S)`.
        targets: labels, int64, `(N,)`.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        images: NDArray[np.uint8],
        targets: NDArray[np.int64],
        num_classes: int,
        training: ScorerTraining,
        flip: bool,
    ) -> None:
        self.accelerator = accelerator
        self.images = torch.from_numpy(images)
        self.targets = torch.from_numpy(targets)
        self.num_classes = num_classes
        self.training = training
        self.flip = flip

    def train(self, indices: NDArray[np.int64], seed: int, progress: Progress) -> nn.Module:
        """A new model, trained on the images at `indices`."""
        device = self.accelerator.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            model = new_model(self.training, self.num_classes).to(memory_format=torch.channels_last).train()
            return self._fit(model, torch.from_numpy(indices), torch.Generator().manual_seed(seed), progress)

    def _fit(self, model: nn.Module, indices: Tensor, generator: torch.Generator, progress: Progress) -> nn.Module:
        training, accelerator = self.training, self.accelerator
        optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
        steps = num_steps(len(indices), training)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, total_steps=steps)
        prepared, optimizer = accelerator.prepare(model, optimizer)
        for batch in _batches(indices, training.batch_size, steps, generator):
            inputs, targets = self._augmented(batch, generator)
            loss = F.cross_entropy(prepared(inputs).float(), targets)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            progress.add(loss=loss, learning_rate=schedule.get_last_lr()[0])
            progress.update()
            schedule.step()
        model = accelerator.unwrap_model(prepared, keep_fp32_wrapper=False).eval()
        accelerator.free_memory(prepared, optimizer)
        return model

    def _augmented(self, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """This process's share of a batch, cropped at random, and its targets."""
        # Every process draws for the whole batch, so the crops do not depend on the number of processes.
        boxes = random_crops(len(batch), self.training.crop_scale, self.flip, generator)
        share = slice(self.accelerator.process_index, None, self.accelerator.num_processes)
        device, mine = self.accelerator.device, batch[share]
        inputs = _normalised(self.images[mine].to(device))
        grid = F.affine_grid(boxes[share].to(device), list(inputs.shape), align_corners=False)
        crops = F.grid_sample(inputs, grid, padding_mode="border", align_corners=False)
        return crops.contiguous(memory_format=torch.channels_last), self.targets[mine].to(device)

    @torch.inference_mode()
    def is_correct(self, model: nn.Module, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the model classifies each of the images at `indices` correctly, `(len(indices),)`."""
        hits = []
        for batch in torch.from_numpy(indices).split(EVALUATION_BATCH):
            inputs = _normalised(self.images[batch].to(self.accelerator.device))
            logits = model(inputs.contiguous(memory_format=torch.channels_last))
            hits.append(logits.argmax(1).cpu() == self.targets[batch])
        return torch.cat(hits).numpy()


def random_crops(count: int, min_area: float, flip: bool, generator: torch.Generator) -> Tensor:
    """Random resized crops for a whole batch, as `affine_grid` takes them: `(count, 2, 3)`.

    torchvision's RandomResizedCrop crops one image a call, which takes longer here than the model.

    Args:
        count: number of crops.
        min_area: smallest share of the image; the aspect ratio is within 3 : 4 … 4 : 3.
        flip: whether each crop is mirrored with probability 1/2.
        generator: of the random numbers.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    area, ratio = uniform(min_area, 1), uniform(-math.log(ASPECT_RATIO), math.log(ASPECT_RATIO)).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    boxes = torch.zeros(count, 2, 3)
    boxes[:, 0, 0] = width * (uniform(-1, 1).sign() if flip else 1)
    boxes[:, 1, 1] = height
    boxes[:, 0, 2] = uniform(-1, 1) * (1 - width)
    boxes[:, 1, 2] = uniform(-1, 1) * (1 - height)
    return boxes


def num_steps(num_images: int, training: ScorerTraining) -> int:
    """Optimizer steps of one model; a last, smaller batch of an epoch is dropped."""
    return training.epochs * max(num_images // training.batch_size, 1)


def _batches(indices: Tensor, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """`steps` batches of `indices`, in a new order in each epoch."""
    per_epoch = max(len(indices) // size, 1)
    for _ in range(steps // per_epoch):
        order = indices[torch.randperm(len(indices), generator=generator)]
        yield from (order[start * size : (start + 1) * size] for start in range(per_epoch))


def require_architecture(training: ScorerTraining) -> None:
    """Refuses what is no architecture of timm, and arguments that find weights: a stranger's recipe may name them.

    Raises:
        InputError: the message names the model, or the argument.
    """
    if not timm.is_model(training.model):  # hf-hub:… and local-dir:… are none
        raise InputError(f"timm cannot make {quoted(training.model)}: it has no model of that name; give another")
    for key in training.model_args:
        if NOT_OF_A_MODEL.fullmatch(key):
            raise InputError(f"{quoted(key)} in score.training.model_args is no property of a model: leave it out")


def new_model(training: ScorerTraining, num_classes: int) -> nn.Module:
    """The timm model with random weights, and the preprocessing that it is trained and loaded with.

    Raises:
        InputError: timm does not know it, or not these arguments.
    """
    require_architecture(training)
    preprocessing = {
        "input_size": (3, training.image_size, training.image_size),
        "mean": MEAN,
        "std": STD,
        **EVALUATION_VIEW,
        # These describe timm's own weights of this name, not ours.
        **dict.fromkeys(("tag", "license", "pool_size", "test_input_size", "test_crop_pct", "label_names")),
    }
    try:
        return timm.create_model(
            training.model, num_classes=num_classes, pretrained_cfg_overlay=preprocessing, **training.model_args
        )
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"timm cannot make '{training.model}' with {training.model_args}: {reason}") from error


def _decode(rows: Dataset, training: ScorerTraining) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Every image as the models see it before normalisation, uint8 `(N, 3, S, S)`, and its fold `(N,)`."""
    size = training.image_size
    transform = create_transform((3, size, size), **EVALUATION_VIEW, normalize=False)
    images = np.empty((len(rows), 3, size, size), dtype=np.uint8)
    folds = np.empty(len(rows), dtype=np.int64)
    for row, encoded in enumerate(Progress("decode", len(rows), unit="image").over(encoded_images(rows))):
        images[row] = transform(decode_image({"bytes": encoded}, row)).numpy()
        folds[row] = fold_of(image_digest(encoded), training.folds)
    return images, folds


def _check_folds(labels: NDArray[np.int64], folds: NDArray[np.int64], names: Sequence[str], count: int) -> None:
    """Refuses data that leaves a fold without images, or a model without images of a class."""
    images = np.zeros((len(names), count), dtype=np.int64)
    np.add.at(images, (labels, folds), 1)
    for name, of_class in zip(names, images, strict=True):
        if not of_class.any():
            raise InputError(f"class '{name}' has no image to train on: add some, or take it out of the classes")
        if of_class.max() == of_class.sum():
            raise InputError(
                f"all images of class '{name}' ({of_class.sum()}) are in one of the {count} folds, so one model would "
                "never see it: add images, or choose another number of folds"
            )
    if not images.any(axis=0).all():
        raise InputError(f"{len(labels)} images leave one of {count} folds empty: use fewer folds")


def _normalised(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1  # MEAN and STD


def _save(model: nn.Module, folder: Path, names: list[str], training: ScorerTraining) -> None:
    # safetensors does not take the channels_last layout.
    plain = model.cpu().to(memory_format=torch.contiguous_format)
    labels = {"label_names": names}
    save_for_hf(plain, folder, model_config=labels, model_args=training.model_args, safe_serialization=True)
    make_weights_readable(folder)


def _write_folds(path: Path, trained: TrainedScorer, training: ScorerTraining, flip: bool, seed: int) -> None:
    values = {
        "folds": training.folds,
        "fold_of": "first 8 bytes of sha256(encoded image), big-endian, modulo folds",
        "accuracy": trained.accuracy,
        "fold_accuracies": trained.fold_accuracies,
        "seed": seed,
        "flip": flip,
        "training": asdict(training),
    }
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
