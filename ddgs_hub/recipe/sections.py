"""The sections of a recipe: small frozen dataclasses, each value with its unit and meaning beside it.

pydantic checks types and ranges when a section is built; values that contradict each other are refused as well.
"""

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.schema import Json
from ddgs_hub.recipe.guiding import DifficultyGuidance, GuideName, ModeGuidance
from ddgs_hub.recipe.matching import DMSettings, IDCSettings
from ddgs_hub.recipe.protocol import Protocol
from ddgs_hub.recipe.ranges import (
    SECTION,
    Count,
    Decay,
    Distribution,
    Mixture,
    NonNegative,
    Positive,
    PositiveShare,
    Share,
)

FileName = Annotated[str, Field(pattern=r"^\w[\w.{}-]*$", max_length=96)]  # of a folder and of a repository
SubsetName = Literal["imagewoof", "imagenette", "imageidc"]


def _split_name(section: Any, field: str) -> None:
    """Brings the revision of `owner/name@revision` where the section has it, so that either way is one recipe."""
    if (name := getattr(section, field)) is not None:
        values = named_revision(name, section.revision)
        for key, value in zip((field, "revision"), values, strict=True):
            object.__setattr__(section, key, value)


@dataclass(frozen=True, kw_only=True, config=SECTION)
class DataSettings:
    """The original dataset."""

    original: str  # Hub id or OWNER/NAME@REVISION, local folder (Hub layout, or images by class), or "digits"
    config: str | None = None  # configuration of a Hub dataset that has several
    revision: str | None = None  # of a Hub dataset: a commit, tag or branch
    subset: SubsetName | None = None  # the classes that are taken; None: all
    train_split: str = "train"
    validation_split: str = "validation"
    # This share of each class validates instead of a split; a hash of the image's bytes decides which images.
    validation_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    image_column: str | None = None  # its name in the source; None: recognised by its type
    label_column: str | None = None  # such as CIFAR-100's fine_label; None: recognised
    image_size: Annotated[int, Field(ge=8)] = 256  # px; what the DiT is trained on and generates
    flip: bool = True  # horizontal flips are the same class (not so for digits)

    def __post_init__(self) -> None:
        _split_name(self, "original")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class AutoencoderTraining:
    """Training of an autoencoder, for data that Stable Diffusion's does not fit: squared error and a small KL term."""

    block_out_channels: Annotated[list[Count], Field(min_length=1)]  # widths; each after the first halves the size
    layers_per_block: Count = 1
    latent_channels: Count = 4
    norm_groups: Count = 8
    steps: Count = 1000
    batch_size: Count = 64
    learning_rate: Positive = 2e-3  # peak, one-cycle
    kl_weight: NonNegative = 1e-4  # KL to N(0, 1), nats per latent number, beside the mean squared error
    save_every: Count = 1000  # steps between checkpoints; a killed call resumes from the last

    def __post_init__(self) -> None:
        for width in self.block_out_channels:
            if width % self.norm_groups:
                raise ValueError(f"block_out_channels {width} is not a multiple of norm_groups {self.norm_groups}")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class CodecSettings:
    """Image ↔ latent: pretrained autoencoders, or one that `pretrain` trains on the original images."""

    encoder: str | None = "stabilityai/sd-vae-ft-ema"  # the reference fine-tunes on latents of this one …
    decoder: str | None = "stabilityai/sd-vae-ft-mse"  # … and decodes the pool with this one
    training: AutoencoderTraining | None = None


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Pretraining:
    """Training of a DiT from scratch with the plain diffusion loss: the base for data that is not ImageNet."""

    hidden_size: Count  # width of the transformer
    depth: Count  # blocks
    num_heads: Count
    patch_size: Count = 2  # latent pixels
    steps: Count = 2000
    batch_size: Count = 128
    learning_rate: Positive = 1e-3  # peak, one-cycle
    label_dropout: Share = 0.1  # share of labels replaced by the null class
    ema_decay: Decay = 0.999
    save_every: Count = 1000  # steps between checkpoints; a killed call resumes from the last

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class ModelSettings:
    """The base DiT: a pretrained one, or one that `pretraining` trains on the original images."""

    base: str | None = "facebook/DiT-XL-2-256"  # Hub id or OWNER/NAME@REVISION, folder, or "digits" (shipped)
    revision: str | None = None
    label_space: Literal["imagenet", "dataset"] = "imagenet"  # the base's classes: ImageNet-1k's, or the dataset's own
    pretraining: Pretraining | None = None

    def __post_init__(self) -> None:
        _split_name(self, "base")
        if self.base is None and self.pretraining is None:
            raise ValueError("give a base or a pretraining section, so that there is a DiT to fine-tune")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class FinetuneSettings:
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
    save_every: Count = 200  # steps between checkpoints; a killed run resumes from the last


@dataclass(frozen=True, kw_only=True, config=SECTION)
class PoolSettings:
    """The generated images from which the distilled ones are selected."""

    size: Count = 5  # n: the pool has n × IPC images a class (Table 4)
    num_steps: Annotated[int, Field(ge=2, le=1000)] = 50  # respaced DDPM steps
    guidance_scale: Annotated[float, Field(ge=1)] = 4.0
    guidance_channels: Literal["all"] | Count = 3  # latent channels that are guided, from the first
    batch_size: Count = 50  # images that are denoised together
    guide: GuideName = "none"  # what steers the denoising: nothing, or what the section of that name says
    modes: ModeGuidance = dataclasses.field(default_factory=ModeGuidance)
    difficulty: DifficultyGuidance = dataclasses.field(default_factory=DifficultyGuidance)


@dataclass(frozen=True, kw_only=True, config=SECTION)
class ScorerTraining:
    """Training of a cross-fitted classifier, for data whose classes no public classifier has."""

    model: str = "resnet18"  # timm architecture
    model_args: Json = dataclasses.field(default_factory=dict)  # further arguments of timm.create_model
    image_size: Count = 64  # px
    folds: Annotated[int, Field(ge=2)] = 5  # k models, each trained without one k-th of the images
    epochs: Count = 10
    batch_size: Count = 64
    learning_rate: Positive = 2e-3  # peak of the one-cycle schedule, AdamW
    weight_decay: NonNegative = 0.02
    crop_scale: PositiveShare = 0.6  # smallest area of the random resized crop


@dataclass(frozen=True, kw_only=True, config=SECTION)
class ScoreSettings:
    """Difficulty, 1 − p(true class) (Eq. 6)."""

    scorer: str | None = "timm/resnet50.tv_in1k"  # of timm or transformers: Hub id or OWNER/NAME@REVISION, or folder
    revision: str | None = None
    batch_size: Count = 128
    soft_labels: Count | None = None  # k: each image gets its k most probable classes, with probabilities; None: none
    training: ScorerTraining | None = None

    def __post_init__(self) -> None:
        _split_name(self, "scorer")
        if self.scorer is None and self.training is None:
            raise ValueError("give a scorer or a training section, so that there is a classifier to score with")


@dataclass(frozen=True, kw_only=True, config=SECTION)
class SampleSettings:
    """Which images of the pool become the distilled dataset (Eq. 7–9)."""

    ipc: Count = 10  # images per class
    distribution: Distribution = "scale"
    mixture: Mixture = 0.5  # α of `mixture`: 0 is the pool's distribution, 1 the original's, below 0 away from it
    divergence: Literal["paper", "reference"] = "paper"  # direction of Eq. 9's KL divergences
    weight: Share = 0.5  # λ of Eq. 9: 1 keeps the pool's distribution, 0 makes it uniform
    pool_size: Count | None = None  # n: of each class the first n × IPC images of a larger pool; None: all of it


@dataclass(frozen=True, kw_only=True, config=SECTION)
class HubSettings:
    """What is published, and how its cards name it."""

    dataset: FileName  # repository name; `{ipc}` stands for the images per class
    pretty_name: str
    license: str = "other"
    note: str = ""  # a sentence on the terms of the original images, for the cards

    def repository(self, ipc: int) -> str:
        """The name of the repository of a set with `ipc` images per class."""
        return self.dataset.replace("{ipc}", str(ipc))


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Recipe:
    """Everything that decides what a run makes."""

    name: FileName  # of the run folder, too
    data: DataSettings
    hub: HubSettings
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    codec: CodecSettings = dataclasses.field(default_factory=CodecSettings)
    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    finetune: FinetuneSettings = dataclasses.field(default_factory=FinetuneSettings)
    pool: PoolSettings = dataclasses.field(default_factory=PoolSettings)
    score: ScoreSettings = dataclasses.field(default_factory=ScoreSettings)
    sample: SampleSettings = dataclasses.field(default_factory=SampleSettings)
    evaluate: Protocol = dataclasses.field(default_factory=Protocol)
    dm: DMSettings = dataclasses.field(default_factory=DMSettings)
    idc: IDCSettings = dataclasses.field(default_factory=IDCSettings)
    paper: dict[str, str] = dataclasses.field(default_factory=dict)  # what the paper reports for this recipe
    # Where `sample.ipc` is a list, its numbers, ascending, and `sample.ipc` is the largest: the pool is made for that.
    several: tuple[Count, ...] = ()

    @property
    def ipcs(self) -> tuple[int, ...]:
        """Images per class of each set that a run makes, ascending."""
        return self.several or (self.sample.ipc,)

    def with_ipc(self, ipc: int) -> "Recipe":
        """The recipe of the set with `ipc` images per class alone."""
        return dataclasses.replace(self, sample=dataclasses.replace(self.sample, ipc=ipc), several=())

    def __post_init__(self) -> None:
        if self.several and self.sample.ipc != self.several[-1]:  # `sample` was replaced
            object.__setattr__(self, "several", ())
        if self.several and self.hub.repository(1) == self.hub.repository(2):
            raise ValueError("sample.ipc is a list, so hub.dataset needs {ipc} in it: each set has a repository")
        if self.evaluate.flip and not self.data.flip:
            raise ValueError("evaluate.flip is true and data.flip false: set both alike")
        training, pretraining = self.codec.training, self.model.pretraining
        if training and not self.codec.encoder:
            patch = pretraining.patch_size if pretraining else 1
            step = 2 ** (len(training.block_out_channels) - 1) * patch
            if self.data.image_size % step:
                raise ValueError(
                    f"data.image_size {self.data.image_size} is not a multiple of {step} px, what a patch of {patch} "
                    f"latent pixels covers behind an autoencoder of {len(training.block_out_channels)} widths"
                )
