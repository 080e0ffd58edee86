"""Image classifiers of timm and transformers, loaded from folders that a stranger may have written."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import timm
from PIL.Image import Image
from pydantic import BaseModel, Field
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor, nn

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import CONFIG_FILE, WEIGHTS_FILE, WEIGHTS_INDEX
from ddgs_hub.core.model_files import refuse_code
from ddgs_hub.core.schema import FOREIGN, Json, read_json, read_values
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.core.weights import (
    LARGEST_SETTING,
    TensorShapes,
    building_within,
    check_settings,
    read_headers,
    read_shards,
    require_finite,
)
from ddgs_hub.difficulty.scorer_classes import ScorerClasses

CONFIG, SAFE, INDEX = CONFIG_FILE, WEIGHTS_FILE, WEIGHTS_INDEX
PICKLES = ("*.bin", "*.pth", "*.pt")
LARGEST_SIDE = 4096  # px, of an image after any step of the preprocessing
# Arguments that timm's functions take to find weights, not arguments of a model: refused in `model_args`.
NOT_OF_A_MODEL = re.compile("pretrained.*|pruned|checkpoint_path|cache_dir|features_only|feature_cls|out_indices|.*url")
SEVERAL_LABELS = ("multi_label_classification", "regression")  # of transformers' `problem_type`

Transform = Callable[[Image], Tensor]
Normalization = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of each channel, 0 … 1
NOT_NORMALIZED: Normalization = (0.0,), (1.0,)

Side = Annotated[int, Field(ge=1, le=2048)]
Label = Annotated[str, Field(max_length=1_000)]
Deviation = Annotated[float, Field(gt=1e-6, le=255)]
Mean = Annotated[float, Field(ge=-255, le=255)]
Crop = Annotated[float, Field(ge=0.25, le=4)]  # below 1, images are resized to as much more before the crop


class _TimmData(BaseModel):
    """Preprocessing and class names in the configuration of a timm model."""

    model_config = FOREIGN
    num_classes: int | None = Field(None, ge=2, le=LARGEST_SETTING)
    input_size: tuple[Literal[3], Side, Side] = (3, 224, 224)
    crop_pct: Crop = 0.875
    crop_mode: Literal["center", "squash", "border"] = "center"
    mean: tuple[Mean, Mean, Mean] = (0.0, 0.0, 0.0)
    std: tuple[Deviation, Deviation, Deviation] = (1.0, 1.0, 1.0)
    label_names: list[Label] | dict[str, Label] | None = None
    label_descriptions: dict[str, Annotated[str, Field(max_length=10_000)]] | None = None


class _Processing(BaseModel):
    """Preprocessing in the configuration of a transformers model; `check_settings` checks the sizes."""

    model_config = FOREIGN
    crop_pct: Crop | None = None
    rescale_factor: float | None = Field(None, gt=0, le=255)
    image_mean: Mean | tuple[Mean, Mean, Mean] | None = None
    image_std: Deviation | tuple[Deviation, Deviation, Deviation] | None = None
    image_processor: "_Processing | None" = None


@dataclass(frozen=True)
class Classifier:
    """A classifier with its own preprocessing.

    Attributes:
        model: images `(B, 3, H, W)` → logits `(B, num_classes)`.
        transform: an RGB image → `(3, H, W)`: uint8, normalized later on the device, or float32 as the model wants it.
        normalization: mean and standard deviation of each channel, for a transform to uint8.
        classes: of the logits, in their order.
    """

    model: nn.Module
    transform: Transform
    normalization: Normalization
    classes: ScorerClasses


def load_classifier(folder: Path, name: str) -> Classifier:
    """Loads a classifier from safetensors weights and the config beside them, in timm's or in transformers' layout.

    Only files of the folder are opened, and no code in them is run.

    Args:
        folder: where they are.
        name: of the scorer, for messages.

    Raises:
        InputError: it is no classifier, or its files contradict each other or refer to other places.
    """
    try:
        config = read_json(folder / CONFIG, Json, "it")
    except InputError as error:
        raise InputError(f"the scorer {name} has no readable {CONFIG}: {error}") from error
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"the scorer {name} has no safetensors weights: convert them, pickled ones are not loaded")
    if config.get("problem_type") in SEVERAL_LABELS:
        raise InputError(f"the scorer {name} does not choose one class of several: take another, or train one")
    try:
        refuse_code(config, CONFIG)
        # transformers' wrapper of timm models has both keys, and its weights carry the wrapper's prefix.
        if "model_type" in config:
            return _load_transformers(folder, config)
        if "architecture" in config:
            return _load_timm(folder, config)
    except Exception as error:  # foreign files can make the libraries raise anything
        raise InputError(f"cannot load the scorer {name}: {one_line(error, 500)}") from error
    raise InputError(f"the config.json of the scorer {name} is neither timm's nor transformers'")


def _load_timm(folder: Path, config: dict[str, Any]) -> Classifier:
    weights = read_headers([_timm_weights(folder)])
    _check_timm(config, weights)
    with building_within(weights, CONFIG):
        empty = timm.create_model(f"local-dir:{folder}")
    data = read_values(empty.pretrained_cfg, _TimmData, CONFIG)
    if data.num_classes not in (None, empty.num_classes):  # timm gives it a random classifier
        raise InputError("its config.json has two numbers of classes: mend it")
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    require_finite(model.named_parameters())
    names = data.label_names
    if isinstance(names, dict):  # index → name, where a model has no name for some
        names = [names.get(str(k), f"LABEL_{k}") for k in range(model.num_classes)]
    classes = ScorerClasses(model.num_classes, names, data.label_descriptions)
    preprocessing = resolve_model_data_config(model)
    # Workers do only what must be done image by image; the device normalizes whole batches.
    transform = create_transform(**preprocessing, is_training=False, normalize=False)
    return Classifier(model, transform, (tuple(preprocessing["mean"]), tuple(preprocessing["std"])), classes)


def _load_transformers(folder: Path, config: dict[str, Any]) -> Classifier:
    # Imported here: it takes seconds, and timm's models do without.
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

    if (folder / "adapter_config.json").exists():
        raise InputError("it is an adapter, which is not loaded: merge it into its base")
    weights = _transformers_weights(folder)
    check_settings(config, weights, CONFIG)
    if "architecture" in config:
        _check_timm(config, weights)
        read_values(config.get("pretrained_cfg") or {}, _TimmData, CONFIG)
    _check_processing(folder)
    here = {"trust_remote_code": False, "local_files_only": True}
    with building_within(weights, CONFIG):
        AutoModelForImageClassification.from_config(AutoConfig.from_pretrained(folder, **here), trust_remote_code=False)
    model, report = AutoModelForImageClassification.from_pretrained(
        folder, use_safetensors=True, output_loading_info=True, **here
    )
    if report["missing_keys"]:  # transformers fills them with random numbers and goes on
        raise InputError(f"it has no weights for {sorted(report['missing_keys'])[0]}: it is no trained classifier")
    require_finite(model.named_parameters())
    labels = model.config.id2label
    if sorted(labels) != list(range(len(labels))):
        raise InputError(f"the indices of its {len(labels)} classes are not 0 … {len(labels) - 1}: mend its id2label")
    names = read_values([labels[k] for k in range(len(labels))], list[Label], "its id2label")
    # Processors differ in their steps and the order of these, so their output is used as it is, normalized.
    processor = _Processor(AutoImageProcessor.from_pretrained(folder, **here))
    return Classifier(_Logits(model.float()), processor, NOT_NORMALIZED, ScorerClasses(len(names), names))


def _timm_weights(folder: Path) -> Path:
    """The file of weights that timm loads. If it has another name than usual, timm would prefer pickled files."""
    files = [folder / SAFE] if (folder / SAFE).is_file() else sorted(folder.glob("*.safetensors"))
    if files != [folder / SAFE] and (len(files) > 1 or any(any(folder.glob(pattern)) for pattern in PICKLES)):
        raise InputError(f"it has several files of weights: name the one that is meant {SAFE}")
    return files[0]


def _transformers_weights(folder: Path) -> TensorShapes:
    if (folder / SAFE).is_file() or not (folder / INDEX).is_file():
        return read_headers([folder / SAFE])
    return read_headers([folder / shard for shard in read_shards(folder / INDEX, INDEX)])


def _check_timm(config: dict[str, Any], weights: TensorShapes) -> None:
    """Refuses a configuration from which timm would build anything but one of its own models."""
    architecture, arguments = config["architecture"], config.get("model_args") or {}
    if not isinstance(architecture, str) or not timm.is_model(architecture):  # hf-hub:… and local-dir:… are none
        raise InputError(f"timm has no model {quoted(architecture)}: mend its {CONFIG}, or take a newer timm")
    if not isinstance(arguments, dict):
        raise InputError(f"model_args in its {CONFIG} are no arguments: mend it")
    for key in arguments:
        if NOT_OF_A_MODEL.fullmatch(key):
            raise InputError(f"its {CONFIG} has {quoted(key)} in model_args, which is no property of a model: mend it")
    check_settings({"model_args": arguments, "pretrained_cfg": config.get("pretrained_cfg")}, weights, CONFIG)


def _check_processing(folder: Path) -> None:
    for path in sorted(folder.glob("*processor_config.json")):
        values = read_json(path, Json, path.name)
        refuse_code(values, path.name)
        read_values(values, _Processing, path.name)
        check_settings(values, None, path.name, largest=LARGEST_SIDE)


class _Logits(nn.Module):
    """A transformers classifier that returns its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


class _Processor:
    """A transformers image processor as a function of one image."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, image: Image) -> Tensor:
        return self.processor(image, return_tensors="pt")["pixel_values"][0]

    def __repr__(self) -> str:
        return repr(self.processor)
