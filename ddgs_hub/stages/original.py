"""The stages as functions of a recipe and of folders: what one command and `run` share.

Each reads the folders it is given, writes one folder, whole or not at all, and returns a line that says what it made.
Heavy libraries are imported by the stage that needs them.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.folders import hidden_sibling, shared_sibling, staged_folder
from ddgs_hub.core.processes import get_accelerator, is_main, wait_for_all
from ddgs_hub.core.rows import class_names, read_rows, write_rows
from ddgs_hub.original.reading import Wanted
from ddgs_hub.original.sources import SOURCE_FILE, write_original
from ddgs_hub.original.subsets import SUBSETS
from ddgs_hub.recipe import Recipe, SampleSettings
from ddgs_hub.sampling.datasets import Distillation, distill

if TYPE_CHECKING:
    from ddgs_hub.diffusion import PoolClasses
    from ddgs_hub.hub import OpenedPool

SELECTIONS = "selections.json"
SAMPLING = "sampling.json"  # of a distilled set: settings, seed, and the commits of what came from the Hub
LOSSES = "losses.json"
LATENTS = "latents"  # beside what is trained on them: encoded images, used again by the next training


def make_original(recipe: Recipe, output: Path) -> str:
    """Takes the original dataset out of its source, splits `train` and `validation`."""
    data = recipe.data
    with staged_folder(output) as folder:
        counts = write_original(
            data.original,
            folder,
            splits={"train": data.train_split, "validation": data.validation_split},
            validation_share=data.validation_share,
            subset=data.subset,
            config=data.config,
            revision=data.revision,
            wanted=Wanted(data.image_column, data.label_column),
        )
    classes = len(class_names(read_rows(output)))
    return f"{counts['train']:,} training and {counts['validation']:,} validation images of {classes} classes"


def make_scorer(recipe: Recipe, original: Path, output: Path) -> str:
    """Trains the cross-fitted scorer on the original images."""
    from ddgs_hub.difficulty import train_scorer

    training = recipe.score.training
    if training is None:
        raise InputError(f"recipe {recipe.name} has no score.training section: nothing says how to train a scorer")
    result = train_scorer(read_rows(original), output, training, flip=recipe.data.flip, seed=recipe.seed)
    return f"{training.folds} × {training.model}, {100 * result.accuracy:.1f} % right on images they did not see"


def make_base(recipe: Recipe, original: Path, output: Path) -> str:
    """Trains the autoencoder, unless a pretrained one is named, and the DiT, from scratch."""
    import torch

    from ddgs_hub.diffusion import (
        Codec,
        LatentCache,
        PoolClasses,
        cropped_images,
        pretrain,
        save_pipeline,
        train_autoencoder,
    )

    training = recipe.model.pretraining
    if training is None:
        raise InputError(f"recipe {recipe.name} has no model.pretraining section: nothing says how to train a base")
    accelerator = get_accelerator()
    rows, data, classes = read_rows(original), recipe.data, PoolClasses.of(read_rows(original), "dataset")
    autoencoder_losses: list[float] = []
    if recipe.codec.encoder:
        codec = Codec.from_pretrained(recipe.codec.encoder, recipe.codec.decoder)
    elif recipe.codec.training:
        images = cropped_images(rows, data.image_size)
        vae, autoencoder_losses = train_autoencoder(images, recipe.codec.training, flip=data.flip, seed=recipe.seed)
        codec = Codec(vae)
    else:
        raise InputError(f"recipe {recipe.name} names no codec.encoder and has no codec.training section: give one")
    codec.to(accelerator.device)
    latents = shared_sibling(output, LATENTS)
    cache = LatentCache.encode(rows, codec, classes.dit_ids, latents, image_size=data.image_size, flip=data.flip)
    dit, losses = pretrain(cache, len(classes.names), training, seed=recipe.seed, accelerator=accelerator)
    if accelerator.is_main_process:
        with staged_folder(output) as folder:
            # Small: in half precision, and with as many classes as there are; `finetune` writes the one to publish.
            id2label, half = dict(enumerate(classes.names)), torch.float16
            dit, vae = torch.nn.Module.to(dit, "cpu", half), torch.nn.Module.to(codec.decoder, "cpu", half)
            save_pipeline(dit, vae, folder, id2label=id2label, num_classes=len(classes.names))
            classes.write(folder)
            write_losses(folder, {"autoencoder": autoencoder_losses, "pretraining": losses})
            made_with = {"seed": recipe.seed, "codec": asdict(recipe.codec), "pretraining": asdict(training)}
            write_json(folder / "recipe.json", made_with)
    wait_for_all()
    last = float(np.mean(losses[-100:]))
    return f"{training.steps:,} steps, loss {last:.3f}, {sum(p.numel() for p in dit.parameters()):,} parameters"


def make_dit(
    recipe: Recipe,
    original: Path,
    base: str | Path,
    output: Path,
    *,
    base_revision: str | None = None,
    describe: Callable[[Path], None] | None = None,
) -> str:
    """Fine-tunes the base with DiffFit and the Minimax losses; writes the pipeline and the adapter.

    `describe` adds to the folder before it is whole.
    """
    from ddgs_hub.diffusion import (
        LatentCache,
        PoolClasses,
        find_dit,
        finetune,
        fold_difffit,
        load_adapter,
        load_dit,
        loaded_commit,
        save_adapter,
        save_pipeline,
    )

    accelerator, output = get_accelerator(), output.resolve()
    rows, data = read_rows(original), recipe.data
    classes = PoolClasses.of(rows, recipe.model.label_space)
    folder = find_dit(base, base_revision)
    dit = load_dit(folder, revision=base_revision).to(accelerator.device)
    codec = load_codec(recipe, folder, base_revision).to(accelerator.device)
    latents = shared_sibling(output, LATENTS)
    cache = LatentCache.encode(rows, codec, classes.dit_ids, latents, image_size=data.image_size, flip=data.flip)
    codec.to("cpu")  # it is needed once more, to be saved
    checkpoints = hidden_sibling(output, "checkpoints")
    dit, log = finetune(dit, cache, recipe.finetune, seed=recipe.seed, accelerator=accelerator, checkpoints=checkpoints)
    trained = sum(p.numel() for p in dit.parameters() if p.requires_grad)
    if is_main():
        with staged_folder(output) as partial:
            adapter = partial / "adapter.safetensors"
            save_adapter(
                dit,
                adapter,
                classes=classes,
                base_model="" if Path(base).exists() else str(base),
                base_revision=loaded_commit(str(base), base_revision),
            )
            # The frozen weights of `dit` may be in bfloat16: the pipeline is made of the base and the adapter.
            tuned = load_adapter(fold_difffit(load_dit(folder, revision=base_revision)), adapter)
            id2label = dict(zip(classes.dit_ids, classes.names, strict=True))
            save_pipeline(tuned, codec.decoder, partial, id2label=id2label)
            classes.write(partial)
            write_losses(partial, {name: [step[name] for step in log] for name in log[0]})
            if describe:
                describe(partial)
        shutil.rmtree(checkpoints, ignore_errors=True)
    wait_for_all()
    return f"{len(log):,} steps of {recipe.finetune.batch_size}, {trained:,} parameters trained"


def make_pool(
    recipe: Recipe,
    dit: str | Path,
    output: Path,
    *,
    per_class: int,
    revision: str | None = None,
    scorer: str | None = None,
) -> str:
    """Generates a pool of `per_class` images a class; with a scorer, scores them on the way."""
    import torch

    from ddgs_hub.diffusion import cast_frozen, find_dit, fold_difffit, generate_pool, load_dit, null_class

    accelerator, pool, folder = get_accelerator(), recipe.pool, find_dit(dit, revision)
    classes = _pool_classes(recipe, folder, revision)
    model = fold_difffit(load_dit(folder, revision=revision)).requires_grad_(False).to(accelerator.device)
    classes.require_known(null_class(model), f"what {dit} is to generate")
    codec = load_codec(recipe, folder, revision).to(accelerator.device)
    if accelerator.mixed_precision == "bf16":
        cast_frozen(model, torch.bfloat16)
        codec.lower_decoder(torch.bfloat16)
    count = generate_pool(
        model,
        codec,
        output,
        classes,
        per_class=per_class,
        seed=recipe.seed,
        num_steps=pool.num_steps,
        guidance_scale=pool.guidance_scale,
        guidance_channels=pool.guidance_channels,
        batch_size=pool.batch_size,
        score=_score_images(scorer, classes) if scorer else None,
    )
    return f"{count:,} images, {per_class} a class, {pool.num_steps} steps, guidance {pool.guidance_scale:g}"


def _score_images(scorer: str, classes: "PoolClasses") -> Any:
    from ddgs_hub.difficulty import BatchScorer, Scorer

    return BatchScorer(Scorer.from_pretrained(scorer), classes.names, classes.wnids)


def _pool_classes(recipe: Recipe, dit: str, revision: str | None) -> "PoolClasses":
    """The classes to generate: those of the recipe's subset of ImageNet, or those that the DiT was trained on."""
    from ddgs_hub.diffusion import PoolClasses, read_adapter_config

    subset = SUBSETS.get(recipe.data.subset or "")
    if subset and recipe.model.label_space == "imagenet":
        return PoolClasses(list(subset.class_names), list(subset.wnids), list(subset.imagenet_indices))
    try:
        config = read_adapter_config(dit) if dit.endswith(".safetensors") else None
    except InputError as error:
        raise InputError(f"cannot load the adapter {dit}: {error}") from error
    return config.classes if config and config.classes else PoolClasses.read(dit, revision)


def score_folder(recipe: Recipe, scorer: str | Path, folder: Path, *, revision: str | None = None) -> str:
    """Adds `difficulty` to the training split of a folder, in place; other splits stay as they are."""
    from ddgs_hub.difficulty import Scorer, score

    known = hidden_sibling(folder, "scores")  # lets a killed scoring go on
    classifier = Scorer.from_pretrained(scorer, revision=revision)
    scored = score(read_rows(folder), classifier, batch_size=recipe.score.batch_size, progress=known)
    if is_main():
        splits = {path.name.split("-")[0] for path in folder.glob("data/*.parquet")} - {"train"}
        others = {split: read_rows(folder, split) for split in sorted(splits)}
        with staged_folder(folder) as partial:
            for split, split_rows in {"train": scored, **others}.items():
                write_rows(split_rows, partial, split)
            if (folder / SOURCE_FILE).is_file():
                shutil.copy(folder / SOURCE_FILE, partial)
        known.unlink()
    wait_for_all()
    return describe_difficulty(np.asarray(scored["difficulty"]))


def make_baseline(method: str, original: Path, output: Path, *, ipc: int, scorer: str | None, seed: int) -> str:
    """Selects real images at random, or by herding or k-center on a scorer's features."""
    from ddgs_hub.baselines import herding, k_center, random_selection

    rows = read_rows(original)
    names = class_names(rows)
    if method == "random":
        chosen = random_selection(rows["label"], ipc, seed, class_names=names)
    elif scorer is None:
        raise InputError(f"{method} needs the features of a classifier: give --scorer")
    else:
        from ddgs_hub.difficulty import Scorer, extract_features

        features = extract_features(rows, Scorer.from_pretrained(scorer))
        chosen = {"herding": herding, "k-center": k_center}[method](features, rows["label"], ipc, class_names=names)
    with staged_folder(output) as folder:
        write_rows(rows.select(chosen), folder)
    return f"{len(chosen)} real images by {method}"


def make_distilled(
    sample: SampleSettings, pool: Path, original: Path, output: Path, *, seed: int, mark_pool: bool = False
) -> dict[str, Any]:
    """Samples the distilled dataset from the scored pool; `mark_pool` writes in the pool what was selected."""
    from ddgs_hub.hub import open_pool

    with staged_folder(output) as folder:
        result, made = write_distilled(sample, open_pool(pool, original), folder, seed=seed)
    if mark_pool:
        with staged_folder(pool) as folder:
            write_rows(result.pool, folder)
    return made


def write_distilled(
    sample: SampleSettings, opened: "OpenedPool", folder: Path, *, seed: int
) -> tuple[Distillation, dict[str, Any]]:
    """Samples from an opened pool; writes the rows, how they were selected, and in `sampling.json` from what."""
    result = distill(opened.pool, opened.original, sample, seed=seed)
    write_rows(result.rows, folder)
    write_json(folder / SELECTIONS, result.classes)
    write_json(folder / SAMPLING, {**opened.sources, "sample": asdict(sample), "seed": seed})
    lacked = sum(sum(selection["shortfall"]) for selection in result.classes)
    mean = float(np.mean(result.rows["difficulty"]))
    text = f"{len(result.rows)} images, mean difficulty {mean:.3f}, {lacked} filled from other bins"
    return result, {"images": len(result.rows), "mean_difficulty": mean, "classes": result.classes, "text": text}


def load_codec(recipe: Recipe, dit: str | Path, revision: str | None = None) -> Any:
    """The recipe's pretrained autoencoders, or the one of the DiT's own pipeline, or that of an adapter's base."""
    from ddgs_hub.diffusion import Codec, base_of

    if recipe.codec.encoder:
        return Codec.from_pretrained(recipe.codec.encoder, recipe.codec.decoder)
    adapters, base, base_revision = base_of(dit)
    return Codec.from_pretrained(base, revision=base_revision if adapters else revision)


def write_losses(folder: Path, losses: Mapping[str, Sequence[float]]) -> None:
    """Writes `losses.json`: for each loss its value at every step."""
    write_json(folder / LOSSES, {name: [round(value, 6) for value in values] for name, values in losses.items()})


def describe_difficulty(difficulty: np.ndarray) -> str:
    """How many there are and how difficult they are, in a line."""
    hard = 100 * (difficulty > 0.1).mean()
    return f"{len(difficulty):,} images, mean difficulty {difficulty.mean():.3f}, {hard:.0f} % above 0.1"


def write_json(path: Path, values: Any) -> None:
    """Writes JSON whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
