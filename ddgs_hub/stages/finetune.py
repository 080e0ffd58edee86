"""From original images and a DiT to the fine-tuned DiT, with its card, and from there to the Hub: `finetune`."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ADAPTER_FILE
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.made import Made
from ddgs_hub.core.model_files import ModelFiles
from ddgs_hub.core.processes import get_accelerator, is_main, run_on_main, wait_for_all
from ddgs_hub.core.rows import read_rows, require_columns
from ddgs_hub.core.schema import read_json
from ddgs_hub.core.staging import hidden_sibling, refuse_existing, shared_sibling, staged_folder
from ddgs_hub.hub import (
    CONTENT,
    DIT,
    KIND,
    PROVENANCE,
    check_push,
    hash_weights,
    hub_id,
    license_of,
    public_values,
    publish,
    read_provenance,
    write_dit,
)
from ddgs_hub.recipe import Recipe, completed
from ddgs_hub.stages.provenance import made_with, model_identity, original_ids
from ddgs_hub.stages.run_folder import LATENTS, LOSSES, write_losses

if TYPE_CHECKING:
    from ddgs_hub.diffusion import Codec, PoolClasses

SHIPPED_LICENSE = {"license": "apache-2.0"}  # of the shipped bases: the license of the package


@dataclass(frozen=True)
class Losses:
    """What `losses.json` of a fine-tuned DiT says: the diffusion loss at every step."""

    diffusion: list[float]


def finetune_and_publish(
    recipe: Recipe, original: Path, output: Path, *, command: str, push: str | None = None, private: bool = False
) -> Made:
    """Fine-tunes the recipe's base into a new folder, and publishes it where `push` names a repository.

    A repository that cannot be written is refused before the training. If the training is finished and publishing was
    interrupted, the same call only publishes.

    Args:
        recipe: its `model.base` is fine-tuned.
        original: folder of the original dataset.
        output: folder of the DiT: new, empty, or what the same call made.
        command: the command line, for the card.
        push: `owner/name` on the Hub.
        private: see `hub.publish`.

    Returns:
        What was made, and what was published.

    Raises:
        InputError: `output` holds something else, the repository cannot be written, or something given is wrong.
    """
    base = recipe.model.base
    assert base is not None
    if push is not None:
        run_on_main(lambda: check_push(push, "model", private=private))
    if push is not None and run_on_main(lambda: _is_finetuned(recipe, original, base, output)):
        made = Made(f"{output} was fine-tuned before", run_on_main(lambda: _values(output, _read_losses(output))))
    else:
        refuse_existing(output)
        made = make_dit(recipe, original, base, output, command=command)
    if push is None:
        return made
    published = run_on_main(lambda: publish(output, push, private=private))
    return made.and_also(published.text, published=published.to_dict())


def make_dit(recipe: Recipe, original: Path, base: str | Path, output: Path, *, command: str = "") -> Made:
    """Fine-tunes a DiT with DiffFit and the Minimax losses; writes the pipeline and the adapter, with their card.

    Args:
        recipe: how, and at which revision of a base on the Hub.
        original: folder of the original dataset.
        base: the DiT: a Hub id, the name of a shipped one, or a folder.
        output: folder of the fine-tuned DiT.
        command: the command line that makes it again, for the card.

    Returns:
        The number of steps, and of parameters that were trained.

    Raises:
        InputError: the base cannot be loaded or does not know the classes, or an image cannot be decoded.
    """
    from ddgs_hub.diffusion import LatentCache, PoolClasses, find_dit, finetune, load_codec, load_dit

    accelerator, given, output, revision = get_accelerator(), output, output.resolve(), recipe.model.revision
    rows, data = read_rows(original), recipe.data
    require_columns(rows, "image", "label", where=str(original))
    classes = PoolClasses.of(rows, recipe.model.label_space)
    folder = find_dit(base, revision)
    dit = load_dit(folder, revision=revision).to(accelerator.device)
    codec = load_codec(recipe.codec, folder, revision).to(accelerator.device)
    latents = shared_sibling(output, LATENTS)
    cache = LatentCache.encode(rows, codec, classes.dit_ids, latents, image_size=data.image_size, flip=data.flip)
    codec.to("cpu")  # needed again only when it is saved
    checkpoints = hidden_sibling(output, "checkpoints")
    dit, log = finetune(dit, cache, recipe.finetune, seed=recipe.seed, accelerator=accelerator, checkpoints=checkpoints)
    trained = sum(p.numel() for p in dit.parameters() if p.requires_grad)
    if is_main():
        with staged_folder(output) as partial:
            _save(dit, base, folder, revision, classes, codec, partial)
            write_losses(partial, {name: [step[name] for step in log] for name in log[0]})
            describe_dit(recipe, rows, base, partial, command=command)
        shutil.rmtree(checkpoints, ignore_errors=True)
    wait_for_all()
    text = f"{len(log):,} steps of {recipe.finetune.batch_size}, {trained:,} parameters trained"
    return Made(text, {**_values(given, [step["diffusion"] for step in log]), "trained_parameters": trained})


def _values(dit: Path, losses: Sequence[float]) -> dict[str, Any]:
    """What programs are told of a fine-tuned DiT; the loss is the mean over its last hundred steps."""
    return {"output": str(dit), "steps": len(losses), "loss": float(np.mean(losses[-100:]))}


def _read_losses(dit: Path) -> list[float]:
    """The diffusion loss at every step."""
    return read_json(dit / LOSSES, Losses, str(dit / LOSSES)).diffusion


def _save(
    dit: Any,
    base: str | Path,
    base_folder: str,
    revision: str | None,
    classes: "PoolClasses",
    codec: "Codec",
    folder: Path,
) -> None:
    """Writes a fine-tuned DiT as an adapter of its base, and as a pipeline."""
    from ddgs_hub.diffusion import (
        fold_difffit,
        load_adapter,
        load_dit,
        loaded_commit,
        save_adapter,
        save_pipeline,
    )

    adapter, base_files = folder / ADAPTER_FILE, ModelFiles.of(base)
    save_adapter(
        dit,
        adapter,
        classes=classes,
        base_model=base_files.name if base_files.on_hub else "",
        base_revision=loaded_commit(str(base), revision),
    )
    # The frozen weights of `dit` may be in bfloat16: the pipeline is made of the base and the adapter.
    tuned = load_adapter(fold_difffit(load_dit(base_folder, revision=revision)), adapter)
    save_pipeline(tuned, codec.decoder, folder, id2label=dict(zip(classes.dit_ids, classes.names, strict=True)))
    classes.write(folder)


def describe_dit(recipe: Recipe, rows: Dataset, base: str | Path, dit: Path, *, command: str) -> None:
    """Writes card and provenance into the folder of a fine-tuned DiT: it can then be published.

    Args:
        recipe: what it was fine-tuned by.
        rows: the original images.
        base: what was fine-tuned.
        dit: the folder, with its weights and losses.
        command: the command line that makes it again.
    """
    base_id = hub_id(str(base))
    provenance = {
        **made_with(recipe),
        KIND: DIT.name,
        "base_model": base_id,
        "license": _license(recipe, base),
        "datasets": original_ids(recipe),
        "steps": len(_read_losses(dit)),
        "command": command,
        CONTENT: {"weights": hash_weights(dit), **_made_of(rows, base, recipe.model.revision)},
    }
    write_dit(dit, provenance)


def _license(recipe: Recipe, base: str | Path) -> dict[str, str]:
    """The license of the base, which the fine-tuned DiT inherits."""
    from ddgs_hub.diffusion import base_path

    if base_id := hub_id(str(base)):
        return license_of(base_id, recipe.model.revision)
    if base_path(str(base)) != str(base):
        return SHIPPED_LICENSE
    # Trained on the original images, or unknown.
    return {"license": recipe.hub.license if recipe.model.base is None else "other"}


def _is_finetuned(recipe: Recipe, original: Path, base: str, output: Path) -> bool:
    """Whether `output` holds a finished DiT of the same recipe, base and images."""
    try:
        provenance = read_provenance(output / PROVENANCE, str(output))
    except InputError:  # damaged, so it is not finished
        return False
    wanted = json.loads(json.dumps(public_values(made_with(recipe)["recipe"])))
    if completed(provenance.recipe) != completed(wanted) or provenance.content is None:
        return False
    made_of, content = _made_of(read_rows(original), base, recipe.model.revision), provenance.content.to_dict()
    return made_of == {key: content.get(key) for key in made_of}


def _made_of(rows: Dataset, base: str | Path, revision: str | None) -> dict[str, Any]:
    return {"base": model_identity(base, revision), "original": fingerprint(rows)}
