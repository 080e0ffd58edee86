"""A recipe: everything that decides what a run makes, as small nested dataclasses read from and written to YAML.

Every value has its unit and meaning beside it; types and ranges are checked when a section is built, by pydantic.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.numbers import SECTION, Count, Decay, NonNegative, Positive, PositiveShare, Share
from ddgs_hub.core.schema import Json
from ddgs_hub.core.text import one_line
from ddgs_hub.recipe.protocol import Protocol

T = TypeVar("T")
RECIPES = Path(__file__).parents[1] / "recipes"
# What PyYAML raises: of a date that is none and of thousands of digits ValueErrors.
UNREADABLE_YAML = (yaml.YAMLError, ValueError, RecursionError)

FileName = Annotated[str, Field(pattern=r"^\w[\w.{}-]*$", max_length=96)]  # what a folder or a repository can be called
SubsetName = Literal["imagewoof", "imagenette", "imageidc"]


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Data:
    """The original dataset."""

    original: str  # Hub id, local folder (Hub layout, or images by class), or "digits"
    config: str | None = None  # configuration of a Hub dataset that has several
    revision: str | None = None  # of a Hub dataset: a commit, tag or branch
    subset: SubsetName | None = None  # which classes to take out of it; None: all
    train_split: str = "train"
    validation_split: str = "validation"
    # Instead of a validation split: this share of the different images of each class, by a hash of their bytes.
    validation_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    image_column: str | None = None  # its name in the source; None: it is found
    label_column: str | None = None  # such as CIFAR-100's fine_label; None: it is found
    image_size: Annotated[int, Field(ge=8)] = 256  # px; what the DiT is trained on and generates
    flip: bool = True  # horizontal flips are the same class (not so for digits)


@dataclass(frozen=True, kw_only=True, config=SECTION)
class AutoencoderTraining:
    """An AutoencoderKL of one's own, for data that Stable Diffusion's does not fit. A plain one: L2 and a little KL."""

    block_out_channels: Annotated[list[Count], Field(min_length=1)]  # widths; each after the first halves
    layers_per_block: Count = 1
    latent_channels: Count = 4
    norm_groups: Count = 8
    steps: Count = 1000
    batch_size: Count = 64
    learning_rate: Positive = 2e-3  # peak, one-cycle
    kl_weight: NonNegative = 1e-4  # KL to N(0, 1), nats per latent number, beside the mean squared error

    def __post_init__(self) -> None:
        for width in self.block_out_channels:
            if width % self.norm_groups:
                raise ValueError(f"block_out_channels {width} is not a multiple of norm_groups {self.norm_groups}")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Codec:
    """Image ↔ latent: a pretrained pair, or one that `pretrain` trains on the original images."""

    encoder: str | None = "stabilityai/sd-vae-ft-ema"  # the reference fine-tunes on latents of this one …
    decoder: str | None = "stabilityai/sd-vae-ft-mse"  # … and decodes the pool with this one
    training: AutoencoderTraining | None = None


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Pretraining:
    """A DiT from scratch with the plain diffusion loss: the base for data that is not ImageNet."""

    hidden_size: Count  # width of the transformer
    depth: Count  # blocks
    num_heads: Count
    patch_size: Count = 2  # latent pixels
    steps: Count = 2000
    batch_size: Count = 128
    learning_rate: Positive = 1e-3  # peak, one-cycle
    label_dropout: Share = 0.1  # share of labels replaced by the null class
    ema_decay: Decay = 0.999

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Model:
    """The base DiT: a pretrained one, or what `pretraining` makes of the original images."""

    base: str | None = "facebook/DiT-XL-2-256"  # Hub id, folder, or "digits" (shipped with the package)
    revision: str | None = None
    label_space: Literal["imagenet", "dataset"] = "imagenet"  # the base's classes: ImageNet-1k's, or the dataset's own
    pretraining: Pretraining | None = None

    def __post_init__(self) -> None:
        if self.base is None and self.pretraining is None:
            raise ValueError("give a base or a pretraining section, so that there is a DiT to fine-tune")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Finetune:
    """Fine-tuning with DiffFit and the Minimax losses (Eq. 2–4)."""

    epochs: Positive = 8  # passes over the original images; a fraction is allowed
    batch_size: Count = 8  # over all processes
    learning_rate: Positive = 1e-3  # AdamW, constant
    label_dropout: Share = 0.1
    ema_decay: Decay = 0.9999
    memory_size: Count = 64  # latents per class in each of the two memories
    representativeness_weight: NonNegative = 0.002  # λ_r, of Eq. 3
    diversity_weight: NonNegative = 0.008  # λ_d, of Eq. 4
    gradient_checkpointing: bool = False  # less memory, about a third more time; the same weights
    save_every: Count = 200  # steps between checkpoints, from which a killed run goes on


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Pool:
    """The images that the distilled ones are chosen from."""

    size: Count = 5  # n: the pool has n × IPC images a class (Table 4)
    num_steps: Annotated[int, Field(ge=2, le=1000)] = 50  # respaced DDPM steps
    guidance_scale: Annotated[float, Field(ge=1)] = 4.0
    guidance_channels: Literal["all"] | Count = 3  # latent channels that are guided, from the first
    batch_size: Count = 50  # images that are denoised together


@dataclass(frozen=True, kw_only=True, config=SECTION)
class ScorerTraining:
    """A classifier of one's own, cross-fitted: for data that no public classifier knows."""

    model: str = "resnet18"  # timm architecture
    model_args: Json = dataclasses.field(default_factory=dict)  # of timm.create_model: channels, img_size …
    image_size: Count = 64  # px
    folds: Annotated[int, Field(ge=2)] = 5  # k models, each trained without one k-th of the images
    epochs: Count = 10
    batch_size: Count = 64
    learning_rate: Positive = 2e-3  # peak of the one-cycle schedule, AdamW
    weight_decay: NonNegative = 0.02
    crop_scale: PositiveShare = 0.6  # smallest area of the random resized crop


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Score:
    """Difficulty, 1 − p(true class) (Eq. 6)."""

    scorer: str | None = "timm/resnet50.tv_in1k"  # timm or transformers Hub id, or a local folder
    revision: str | None = None
    batch_size: Count = 128
    training: ScorerTraining | None = None

    def __post_init__(self) -> None:
        if self.scorer is None and self.training is None:
            raise ValueError("give a scorer or a training section, so that there is a classifier to score with")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Sample:
    """Which images of the pool become the distilled dataset (Eq. 7–9)."""

    ipc: Count = 10  # images per class
    distribution: Literal["scale", "hill", "ground", "slope", "cliff"] = "scale"
    divergence: Literal["paper", "reference"] = "paper"  # direction of Eq. 9's KL divergences
    weight: Share = 0.5  # λ of Eq. 9: 1 keeps the pool's distribution, 0 makes it uniform
    pool_size: Count | None = None  # n: of each class the first n × IPC images of a larger pool; None: all of it


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Hub:
    """What is published, and how its cards name it."""

    dataset: FileName  # repository name; `{ipc}` stands for the images per class
    pretty_name: str
    license: str = "other"
    note: str = ""  # a sentence on the terms of the original images, for the cards


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Recipe:
    """Everything that decides what a run makes."""

    name: FileName  # of the run folder, too
    data: Data
    hub: Hub
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    codec: Codec = dataclasses.field(default_factory=Codec)
    model: Model = dataclasses.field(default_factory=Model)
    finetune: Finetune = dataclasses.field(default_factory=Finetune)
    pool: Pool = dataclasses.field(default_factory=Pool)
    score: Score = dataclasses.field(default_factory=Score)
    sample: Sample = dataclasses.field(default_factory=Sample)
    evaluate: Protocol = dataclasses.field(default_factory=Protocol)
    paper: dict[str, str] = dataclasses.field(default_factory=dict)  # what the paper reports for this recipe

    def __post_init__(self) -> None:
        if self.evaluate.flip and not self.data.flip:
            raise ValueError("evaluate.flip is true and data.flip false: a mirrored image is as good, or it is not")
        training, pretraining = self.codec.training, self.model.pretraining
        if training and not self.codec.encoder:
            patch = pretraining.patch_size if pretraining else 1
            step = 2 ** (len(training.block_out_channels) - 1) * patch
            if self.data.image_size % step:
                raise ValueError(
                    f"data.image_size {self.data.image_size} is not a multiple of {step} px, what a patch of {patch} "
                    f"latent pixels covers behind an autoencoder of {len(training.block_out_channels)} widths"
                )


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name_or_path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Reads a recipe of the package by name, or a YAML file by path.

    Args:
        name_or_path: `digits`, `imagewoof`, …, or the path of a YAML file.
        overrides: `section.key=value` strings, as `--set` takes them; values are YAML.

    Raises:
        InputError: there is no such recipe, or a key, type or range in it is wrong; the message names it.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{name_or_path}.yaml"
        if not path.is_file():
            raise InputError(
                f"unknown recipe '{name_or_path}': choose one of {', '.join(recipe_names())}, or give a .yaml file"
            )
    try:
        values = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read recipe {path}: {error.strerror}") from error
    except UNREADABLE_YAML as error:
        raise InputError(f"recipe {path} is not valid YAML: {one_line(error, 300)}") from error
    if not isinstance(values, dict):
        raise InputError(f"recipe {path} is not a mapping of sections")
    for override in overrides:
        _set(values, override)
    return parse_recipe(values, where=f"recipe {name_or_path}")


def parse_recipe(values: dict[str, Any], where: str = "recipe") -> Recipe:
    """Builds a recipe from nested dictionaries; see `load_recipe`."""
    return parse_section(Recipe, values, where)


def parse_section(section: type[T], values: dict[str, Any], where: str) -> T:
    """Builds a section of a recipe, such as `Protocol`, from a dictionary; `where` is its name in messages.

    Raises:
        InputError: a key, type or range in it is wrong; the message names it.
    """
    try:
        return TypeAdapter(section).validate_python(values)
    except ValidationError as error:
        # A misspelt key first: what it was meant for may be missing because of it.
        first = min(error.errors(), key=lambda found: found["type"] != "unexpected_keyword_argument")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "unexpected_keyword_argument":
            raise InputError(f"{where}: unknown key '{key}'; {_known_keys(section, first['loc'])}") from error
        if first["type"] == "missing":
            raise InputError(f"{where}: the key '{key}' is missing") from error
        message = first["msg"].removeprefix("Value error, ")
        given = "" if isinstance(first["input"], dict | ArgsKwargs) else f", got {first['input']!r}"
        raise InputError(f"{where}: {key + ': ' if key else ''}{message[0].lower()}{message[1:]}{given}") from error


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dictionaries, every default written out."""
    return dataclasses.asdict(recipe)


def recipe_to_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, every default written out."""
    return yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True)


def changed_keys(a: Any, b: Any, prefix: str = "") -> dict[str, list[Any]]:
    """Dotted key → both values, of all places where two nested dictionaries differ; None stands for a missing key."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return {} if a == b else {prefix.rstrip(".") or "recipe": [a, b]}
    changed: dict[str, list[Any]] = {}
    for key in [*a, *(key for key in b if key not in a)]:
        changed |= changed_keys(a.get(key), b.get(key), f"{prefix}{key}.")
    return changed


def _set(values: dict[str, Any], override: str) -> None:
    """Carries out one `section.key=value`."""
    key, found, text = override.partition("=")
    if not found or not key:
        raise InputError(f"--set takes SECTION.KEY=VALUE, such as finetune.epochs=2, got '{override}'")
    *sections, last = key.split(".")
    for name in sections:
        if values.get(name) is None:  # left out, or null: a section that the recipe goes without
            values[name] = {}
        values = values[name]
        if not isinstance(values, dict):
            raise InputError(f"--set {override}: '{name}' is a value, not a section")
    try:
        values[last] = yaml.safe_load(text)
    except UNREADABLE_YAML as error:
        raise InputError(f"--set {override}: '{text}' is not valid YAML; quote it, as in '\"{text}\"'") from error


def _known_keys(kind: Any, location: tuple[int | str, ...]) -> str:
    """A hint that lists the keys of the section, in one of `kind`, where an unknown one was found."""
    for part in location[:-1]:
        field = next((f for f in dataclasses.fields(kind) if f.name == part), None)
        kind = next((t for t in _members(field.type) if dataclasses.is_dataclass(t)), None) if field else None
        if kind is None:
            return "remove it"
    return f"known are {', '.join(f.name for f in dataclasses.fields(kind))}"


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return getattr(annotation, "__args__", None) or (annotation,)
