"""Values of a recipe for what a look has found, on a device; each with the reason that the recipe's comments give."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.text import quoted
from ddgs_hub.original import SUBSETS, Look, get_subset, imagenet_names, is_built_in
from ddgs_hub.stages.starting.device import LARGE_GPU, SMALLEST_GPU, Device
from ddgs_hub.stages.starting.draft import Draft

FEWEST_CLASSES = 2
FEWEST_IMAGES = 10  # of a class: of fewer, a fold of the scorer or the validation may get none
IPC = 10  # the paper's smallest
IMAGES_BEHIND_ONE = 5  # of the original: with fewer behind each distilled image there is little to distil
BASE, ENCODER, DECODER = "facebook/DiT-XL-2-256", "stabilityai/sd-vae-ft-ema", "stabilityai/sd-vae-ft-mse"
SCORER = "timm/resnet50.tv_in1k"
NO_BASE = "no public DiT is known to have these classes"
IMAGENET = 1_000  # classes of the base and of the public scorer
PRETRAINED_SIZE = 256  # px, of the base and of Stable Diffusion's autoencoder
CPU_SIZE, GPU_SIZE = 64, 128  # px, largest where all is trained from scratch
SMALLEST_SIZE = 8  # px, of a recipe


@dataclass(frozen=True)
class Plan:
    """What follows from the images and the device for several sections.

    Attributes:
        size: px of the generated images.
        images: for training, after what validates.
        smallest: of them, of the smallest class.
        imagenet: whether all classes are ImageNet-1k's, and are known by wnid.
        known: whether a classifier of ImageNet-1k knows all classes, be it by their names.
        subset: the recipe's subset of ImageNet; None: all classes.
        pretrained: whether Stable Diffusion's autoencoder is used.
        share: of each class that validates; None: the source's own split does.
    """

    size: int
    images: int
    smallest: int
    imagenet: bool
    known: bool
    subset: str | None
    pretrained: bool
    share: float | None


def choose(look: Look, device: Device, *, subset: str | None, config: str | None) -> Draft:
    """The recipe for a source on a device.

    Args:
        look: at the source.
        device: that a run would be computed on.
        subset: that was looked at.
        config: that was looked at.

    Raises:
        InputError: nothing can be distilled of these images.
    """
    _refuse_unusable(look)
    plan = _plan(look, device, subset)
    draft, name = Draft(), name_of(look.source)
    draft.put("name", name, "of the run folder, too: runs/" + name)
    _data(draft, look, plan, config)
    codec = _pretrained_codec if plan.pretrained else _own_codec
    codec(draft, plan, device)
    _model(draft, plan, device)
    _generation(draft, plan, device)
    _score(draft, plan, device)
    _sample(draft, plan)
    _evaluate(draft, plan, device)
    draft.put("hub.dataset", f"{name}-ddgs-ipc{{ipc}}", "name of the repository, where it is published")
    draft.put("hub.pretty_name", name)
    draft.put("hub.license", "other", "of the images: say which, before you publish")
    return draft


def name_of(source: str) -> str:
    """A name for run folder and repository, from the last part of the source's name; ASCII, as the Hub wants it."""
    last = source.rpartition("/")[2] if not expanded(source).is_dir() else expanded(source).resolve().name
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    return re.sub(r"([-.])[-.]+", r"\1", re.sub(r"[^A-Za-z0-9_.]+", "-", plain)).strip("-._")[:60] or "images"


def _refuse_unusable(look: Look) -> None:
    if len(look.names) < FEWEST_CLASSES:
        raise InputError(
            f"{look.source} has one class, {quoted(look.names[0])}: difficulty is that of telling classes apart, so "
            "give a folder with at least two"
        )
    smallest = int(look.counts.argmin())
    if look.whole and look.counts[smallest] < FEWEST_IMAGES:
        raise InputError(
            f"class {quoted(look.names[smallest])} of {look.source} has {look.counts[smallest]} images: add some, so "
            f"that every class has at least {FEWEST_IMAGES}, or take the class out"
        )
    if look.unreadable:
        raise InputError(
            f"{len(look.unreadable):,} of {len(look.sides) + len(look.unreadable):,} images of {look.source} that were "
            f"opened cannot be read; the first: {look.unreadable[0]}"
        )


def _plan(look: Look, device: Device, subset: str | None) -> Plan:
    share = None if look.validation_split else 0.1 if look.smallest >= 1_000 else 0.2
    kept = 1 - (share or 0)
    subset = subset or _whole_subset(look)
    wnids = get_subset(subset).wnids if subset else look.wnids
    imagenet = wnids is not None and set(wnids) <= set(imagenet_names(IMAGENET)[0])
    pretrained = device.is_gpu and look.median_side >= PRETRAINED_SIZE
    return Plan(
        size=PRETRAINED_SIZE if pretrained else _size(look.median_side, device),
        images=int(look.total * kept),
        smallest=int(look.smallest * kept),
        imagenet=imagenet,
        known=imagenet or _is_known(look.names),
        subset=subset,
        pretrained=pretrained,
        share=share,
    )


def _whole_subset(look: Look) -> str | None:
    """The subset of ImageNet whose classes these are, all of them and no others; None if there is none."""
    if look.wnids:
        return None
    given = {name.casefold().replace("_", " ") for name in look.names}
    for name, subset in SUBSETS.items():
        if given in ({one.casefold() for one in subset.class_names}, set(subset.wnids)):
            return name
    return None


def _is_known(names: list[str]) -> bool:
    """Whether the public scorer finds each of these classes among its own, as it will when it scores them."""
    from ddgs_hub.difficulty import ScorerClasses

    try:
        ScorerClasses(IMAGENET).indices(names)
    except InputError:
        return False
    return True


def widths(size: int, device: Device) -> list[int]:
    """Channels of an autoencoder from scratch; each after the first halves the size, to latents of 4 to 32 px."""
    if device.is_gpu:
        return [64, 128, 128]
    return [16, 32, 64, 64] if size >= 48 else [16, 32, 32]


def _patch(size: int) -> int:
    return 2 if size >= 24 else 1


def _size(side: int, device: Device) -> int:
    """The multiple of an autoencoder's and a patch's pixels that is nearest to the images' side, or the largest."""
    target = max(min(side, GPU_SIZE if device.is_gpu else CPU_SIZE), SMALLEST_SIZE)
    step = 2 ** (len(widths(target, device)) - 1) * _patch(target)
    return max(round(target / step), 1) * step


def _data(draft: Draft, look: Look, plan: Plan, config: str | None) -> None:
    folder = not is_built_in(look.source) and expanded(look.source).is_dir()
    source = str(expanded(look.source).resolve()) if folder else look.pinned.id if look.pinned else look.source
    draft.put("data.original", source, "classes and counts stand above")
    if config:
        draft.put("data.config", config)
    if look.pinned:
        draft.put("data.revision", look.pinned.commit, "the commit that was looked at")
    if plan.subset:
        draft.put("data.subset", plan.subset, "the classes are those of this subset of ImageNet")
    if plan.share:
        why = "there is no validation split: this share of each class validates, by a hash of each image"
        draft.put("data.validation_share", plan.share, why)
    elif look.validation_split != "validation":
        draft.put("data.validation_split", look.validation_split, "what the source calls it")
    why = f"px; the images' shorter side is {look.median_side} px (median)"
    if plan.size < look.median_side and not plan.pretrained:
        why += f"; {plan.size} px is what a DiT from scratch learns here in reasonable time"
    draft.put("data.image_size", plan.size, why)
    characters = all(len(name) <= 2 for name in look.names)
    if characters:
        draft.put("data.flip", False, "the classes look like digits or letters, and a mirrored one is another")
    else:
        draft.put("data.flip", True, "a mirrored image is of the same class; false for text and signs")


def _pretrained_codec(draft: Draft, plan: Plan, device: Device) -> None:
    draft.put("codec.encoder", ENCODER, f"Stable Diffusion's autoencoder: images of {PRETRAINED_SIZE} px, and a GPU")
    draft.put("codec.decoder", DECODER)


def _own_codec(draft: Draft, plan: Plan, device: Device) -> None:
    few = (
        "the images are smaller than 256 px"
        if device.is_gpu
        else f"Stable Diffusion's needs a CUDA GPU of {SMALLEST_GPU} GiB"
    )
    draft.put("codec.encoder", None, f"an autoencoder of one's own: {few}")
    draft.put("codec.decoder", None)
    channels = widths(plan.size, device)
    factor, latent = 2 ** (len(channels) - 1), 8 if len(channels) > 3 else 4
    side = plan.size // factor
    draft.put("codec.training.block_out_channels", channels, f"{plan.size} px → latents of {side} × {side}")
    draft.put("codec.training.latent_channels", latent)
    draft.put("codec.training.steps", 8_000 if device.is_gpu else 1_200)
    draft.put("codec.training.batch_size", 32 if device.is_gpu else 16)
    draft.put("codec.training.learning_rate", 1e-3 if device.is_gpu else 2e-3)
    draft.put("codec.training.kl_weight", 1e-4)


def _model(draft: Draft, plan: Plan, device: Device) -> None:
    if plan.pretrained and plan.imagenet and device.gpu_gib >= LARGE_GPU:
        draft.put("model.base", BASE, "the classes are ImageNet's, and the GPU holds it")
        draft.put("model.label_space", "imagenet")
        return
    why = "nothing pretrained: "
    if not plan.imagenet:
        why += f"{BASE} knows these classes by wnid, a column that is not there" if plan.known else NO_BASE
    elif not plan.pretrained:
        why += f"{BASE} makes images of {PRETRAINED_SIZE} px, and needs a GPU"
    else:
        why += f"{BASE} needs a GPU of {LARGE_GPU} GiB"
    draft.put("model.base", None, why)
    draft.put("model.label_space", "dataset")
    hidden, depth, heads, batch = (384, 12, 6, 64) if device.is_gpu else (128, 6, 4, 32)
    key = "model.pretraining."
    draft.put(key + "hidden_size", hidden, "as large as trains in reasonable time on this device")
    draft.put(key + "depth", depth)
    draft.put(key + "num_heads", heads)
    draft.put(key + "patch_size", 2 if plan.pretrained else _patch(plan.size), "latent pixels")
    passes = 210
    least, most = (20_000, 100_000) if device.is_gpu else (5_000, 15_000)
    steps = min(max(round(plan.images * passes / batch, -2), least), most)
    draft.put(key + "steps", int(steps), f"{steps * batch / plan.images:.0f} passes; more make a better pool")
    draft.put(key + "batch_size", batch)
    draft.put(key + "learning_rate", 5e-4 if device.is_gpu else 1e-3)
    draft.put(key + "ema_decay", 0.999)


def _generation(draft: Draft, plan: Plan, device: Device) -> None:
    batch, decay = (8, 0.999) if device.is_gpu else (16, 0.99)
    most = 20_000 if device.is_gpu else 400  # steps
    epochs = min(8.0 if device.is_gpu else 4.0, max(round(most * batch / plan.images, 2), 0.01))
    draft.put("finetune.epochs", epochs, f"{max(int(epochs * (plan.images // batch)), 1):,} steps")
    draft.put("finetune.batch_size", batch)
    draft.put("finetune.learning_rate", 1e-3)
    draft.put("finetune.ema_decay", decay, "so that little of the start remains after these steps")
    draft.put("pool.size", 5, "n: the pool has n × IPC images a class, as in the paper")
    draft.put("pool.num_steps", 50)
    public = draft.values["model"]["base"] is not None
    draft.put("pool.guidance_scale", 4.0 if public else 2.0, "higher: easier, and more alike")
    if not public:
        draft.put("pool.guidance_channels", "all", "3 is a custom of the published DiT")
    draft.put("pool.batch_size", 50, "images that are denoised together")


def _score(draft: Draft, plan: Plan, device: Device) -> None:
    if plan.known and plan.size >= PRETRAINED_SIZE:
        how = "" if plan.imagenet else ", by their names: see whether it means the same by them"
        draft.put("score.scorer", SCORER, f"a public classifier that knows all of the classes{how}")
        return
    reason = (
        f"public classifiers know these classes, but not at {plan.size} px"
        if plan.known
        else ("no public classifier is known to have these classes")
    )
    draft.put("score.scorer", None, f"trained on the images, each scored by a model that did not see it: {reason}")
    key, small = "score.training.", not device.is_gpu
    draft.put(key + "model", "resnet10t" if small else "resnet18")
    if small:
        draft.put(key + "model_args", {"channels": [24, 48, 96, 192], "stem_width": 16})
    draft.put(key + "image_size", min(max(plan.size, 24), 128), "px; what the models see")
    folds = 2 if small else 5
    draft.put(key + "folds", folds, f"models, each trained without one {'half' if folds == 2 else 'fifth'}")
    seen = 30_000 if small else 200_000  # images that one model is to see, about
    draft.put(key + "epochs", int(min(max(round(seen / plan.images), 5), 40)))
    draft.put(key + "crop_scale", 0.5)


def _sample(draft: Draft, plan: Plan) -> None:
    ipc = min(IPC, max(plan.smallest // IMAGES_BEHIND_ONE, 1))
    why = "images a class of the distilled set" if ipc == IPC else f"the smallest class has {plan.smallest} images"
    draft.put("sample.ipc", ipc, why)
    draft.put("sample.distribution", "scale", "the difficulty of the original")


def _evaluate(draft: Draft, plan: Plan, device: Device) -> None:
    if plan.size >= PRETRAINED_SIZE:
        draft.put("evaluate.network", "resnetap10", "as in the paper")
        draft.put("evaluate.image_size", 224, "px; as in the paper")
    else:
        draft.put("evaluate.network", "convnet", "its depth follows from the image size")
        if not device.is_gpu:
            draft.put("evaluate.width", 32, "channels; 128 in the paper")
        draft.put("evaluate.image_size", plan.size, "px; as generated")
        draft.put("evaluate.crop_pct", 1.0, "the whole middle square: nothing is left at the sides of generated images")
    scale = 0.2 if device.is_gpu else 0.03
    draft.put("evaluate.epochs_scale", scale, "of the paper's epochs; 1 for numbers to compare with others'")
    draft.put("evaluate.evaluations", 20 if device.is_gpu else 10)
    draft.put("evaluate.repeats", 3)
    if not draft.values["data"]["flip"]:
        draft.put("evaluate.flip", False)


def recipe_path(output: str | Path) -> Path:
    """The file to write.

    Raises:
        InputError: it is there already, is no YAML by its name, or its folder is not there.
    """
    path = expanded(output)
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"{output} does not end with .yaml: a recipe does")
    if path.exists() or path.is_symlink():
        raise InputError(f"{output} exists: choose another --output, or remove it")
    if not path.parent.is_dir():
        raise InputError(f"no such folder: {path.parent}; make it, or choose another --output")
    return path
