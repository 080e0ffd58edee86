"""Writes a recipe that fits a source and this machine; says what it saw and chose, and how long a run takes."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import put_in_place
from ddgs_hub.core.machine import GIB, in_gib
from ddgs_hub.core.made import Made
from ddgs_hub.core.progress import in_words
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.text import MOST_OF_A_NAME, one_line
from ddgs_hub.original import Look, look_at
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.starting.choosing import choose, recipe_path
from ddgs_hub.stages.starting.device import Device, busy, find_device
from ddgs_hub.stages.starting.draft import Draft
from ddgs_hub.stages.starting.timing import Counts, estimate

LISTED = 12  # classes that are named with their counts
SHOWN = (  # of the recipe, in the summary
    "data.image_size",
    "codec.encoder",
    "model.base",
    "model.pretraining.steps",
    "finetune.epochs",
    "score.scorer",
    "sample.ipc",
    "evaluate.network",
)
BUSY = 1.5  # programs a core, this one among them, from which on times are those of a busy machine
FULL = 0.5  # share of the machine's memory that decoded images may take before this is remarked


def write_recipe(
    source: str,
    output: str | Path,
    *,
    subset: str | None = None,
    config: str | None = None,
) -> Made:
    """Looks at a source and at this machine, times a few steps, and writes a recipe with comments.

    Args:
        source: a folder (images by class, or in Hub layout), `digits`, or `OWNER/NAME` or `OWNER/NAME@REVISION` of a
            Hub dataset.
        output: the file, which must not be there; it ends with .yaml.
        subset: `imagewoof`, `imagenette` or `imageidc`: their classes alone.
        config: the configuration of a Hub dataset that has several.

    Returns:
        Values: `look` (classes, counts, sizes, …), `device`, `recipe`, `reasons` (dotted key → why it has its
        value), `seconds` (of each stage), `total_seconds`, `remarks` and `output`.

    Raises:
        InputError: the source cannot be read or nothing can be distilled of it, or the file cannot be written.
        ConnectionLostError: the Hub no longer answers.
    """
    path = recipe_path(output)
    name, revision = named_revision(source)
    look = look_at(name, subset=subset, config=config, revision=revision)
    device = find_device()
    draft = choose(look, device, subset=subset, config=config)
    recipe = draft.recipe()
    counts = _counts(look, recipe)
    seconds = estimate(recipe, look, counts)
    remarks = _remarks(look, device, recipe, counts)
    seen = _seen(look, counts)
    times = _times(seconds)
    heading = [
        "Written by `ddgs-hub init`: change what you like. What it saw:",
        *seen,
        f"this machine: {device.text}",
        *remarks,
        times,
    ]
    text = draft.to_yaml([*heading, f"To carry it out: {_run_line(path)}"])
    _put(path, text)
    values = {
        "output": str(path),
        "look": _look_values(look, counts),
        "device": asdict(device),
        "recipe": draft.values,
        "reasons": draft.reasons,
        "seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "total_seconds": round(sum(seconds.values()), 1),
        "remarks": remarks,
    }
    chosen = ["", *_chosen(draft), "", *remarks, *_table(seconds), "", _next(path)]
    return Made("\n".join([*seen, f"this machine: {device.text}", *chosen]), values)


def _put(path: Path, text: str) -> None:
    try:
        if path.exists():  # since the look, which can take minutes
            raise InputError(f"{path} exists: choose another --output, or remove it")
        put_in_place(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another --output") from error


def _counts(look: Look, recipe: Recipe) -> Counts:
    """How many images train and validate; the size of a source's own validation split is not known, and small."""
    images = look.total
    share = recipe.data.validation_share
    if share is None:
        return Counts(images, look.validation_rows or images // 5, len(look.names))
    return Counts(round(images * (1 - share)), round(images * share), len(look.names))


def _seen(look: Look, counts: Counts) -> list[str]:
    smallest, largest = int(look.counts.argmin()), int(look.counts.argmax())
    at_least = "" if look.whole else "at least "
    listed = [f"{one_line(name, 40)} {at_least}{count:,}" for name, count in zip(look.names, look.counts, strict=True)]
    more = [f"… {len(listed) - LISTED:,} more"] if len(listed) > LISTED else []
    opened, size = len(look.sides), f"{in_gib(look.size)} on the Hub, " if look.pinned and look.size else ""
    validation = (
        f"validation split '{one_line(look.validation_split, MOST_OF_A_NAME)}'"
        if look.validation_split
        else f"no validation split: {counts.validation:,} of the images validate"
    )
    if look.whole:
        images = (
            f"{look.total:,} images; smallest class {one_line(look.names[smallest], 40)} ({look.counts[smallest]:,}), "
            f"largest {one_line(look.names[largest], 40)} ({look.counts[largest]:,})"
        )
    else:
        images = f"about {look.total:,} images, by {int(look.counts.sum()):,} labels that were read"
    return [
        f"{one_line(look.source, 200)}: {len(look.names)} classes, {images}",
        f"classes: {', '.join([*listed[:LISTED], *more])}",
        f"{size}{opened:,} images opened: shorter side {look.median_side} px (median), {int(look.sides.min())} to "
        f"{int(look.sides.max())} px; {look.copies:,} copies of others, {len(look.unreadable):,} unreadable",
        validation,
    ]


def _remarks(look: Look, device: Device, recipe: Recipe, counts: Counts) -> list[str]:
    remarks, load = [], busy()
    if load > BUSY:
        remarks.append(f"other programs compute here ({load:.1f} for each core), and the estimate is of now")
    if look.copies:
        remarks.append(f"{look.copies:,} images have the same bytes as another: remove them, they count twice")
    ratio = look.counts.max() / max(look.counts.min(), 1)
    if look.whole and ratio > 4:
        remarks.append(
            f"the largest class has {ratio:.0f} times the images of the smallest: its images are learnt better"
        )
    side = recipe.data.image_size
    held = counts.train * 3 * side**2 / GIB
    if device.ram_gib and held > FULL * device.ram_gib:
        remarks.append(
            f"training holds all images in memory: {held:.0f} of {device.ram_gib:.0f} GiB; take fewer images"
        )
    if recipe.model.base or recipe.codec.encoder or recipe.score.scorer:
        remarks.append("the models of others are fetched from the Hub: the estimate is without that")
    return remarks


def _chosen(draft: Draft) -> list[str]:
    lines = []
    for key in SHOWN:
        value: Any = draft.values
        for part in key.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
        if value != {}:
            why = draft.reasons.get(key, "")
            lines.append(f"{key:<24}{'none' if value is None else value}{f'  ({why})' if why else ''}")
    return lines


def _table(seconds: dict[str, float]) -> list[str]:
    lines = [f"{stage:<24}{in_words(value)}" for stage, value in seconds.items()]
    return ["estimated time, by a few steps of each stage:", *lines, f"{'in all':<24}{in_words(sum(seconds.values()))}"]


def _times(seconds: dict[str, float]) -> str:
    longest = sorted(seconds, key=lambda stage: -seconds[stage])[:3]
    each = ", ".join(f"{stage} {in_words(seconds[stage])}" for stage in longest)
    return f"Estimated time of a run: {in_words(sum(seconds.values()))}, of which {each}."


def _next(path: Path) -> str:
    return f"written: {path}; read it, and then: {_run_line(path)}"


def _run_line(path: Path) -> str:
    return shlex.join(["ddgs-hub", "run", str(path)])


def _look_values(look: Look, counts: Counts) -> dict[str, Any]:
    return {
        "source": look.source,
        "commit": look.pinned.commit if look.pinned else None,
        "classes": dict(zip(look.names, look.counts.tolist(), strict=True)),
        "all_labels_read": look.whole,
        "training_images": counts.train,
        "validation_images": counts.validation,
        "validation_split": look.validation_split,
        "opened": len(look.sides),
        "median_side": look.median_side,
        "smallest_side": int(look.sides.min()),
        "largest_side": int(look.sides.max()),
        "copies": look.copies,
        "unreadable": len(look.unreadable),
        "bytes": look.size,
    }
