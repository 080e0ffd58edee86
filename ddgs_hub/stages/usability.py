"""Whether a scored pool is worth sampling from: what is measured, from where on it is not, and what to change then."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from PIL import Image as PILImage

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.made import Made
from ddgs_hub.core.rows import class_names, read_rows, read_selected, undecoded
from ddgs_hub.core.schema import read_values
from ddgs_hub.core.text import one_line

CHECK = "pool_check"  # in the values of a stage
RECOGNISED = 0.5  # difficulty: below it the scorer gives the image's class more than all others together
# Of the way from the originals' mean difficulty to that of guessing, 1 − 1/K: beyond it the pool is nearer to guessing.
HALFWAY = 0.5
TOO_EASY = 0.3  # by which a pool's mean may lie below the originals': below, hardly any of their hard images is in it
# Mean distance of two images of a class, of the originals': below this share most images of the pool look alike.
ALIKE = 0.25
COMPARED = 50  # images of a class that are compared for that, at most
COMPARED_CLASSES = 10
THUMBNAIL = 8  # px: what is left at this size is composition and colour, and not the noise of an autoencoder
NAMED = 3  # classes that a message names

MORE_TRAINING = "train longer (model.pretraining.steps, finetune.epochs)"
GUIDANCE = "more guidance (pool.guidance_scale) makes easier images"
# What to change of a pool that ddgs-hub generated, and of another, which no value of a recipe made.
TOO_HARD = {True: f"{MORE_TRAINING}; {GUIDANCE}", False: "take images that show their class more clearly"}
HARDER = {True: "take less guidance (pool.guidance_scale)", False: "take harder images, too"}
MORE = {
    True: f"{MORE_TRAINING}, generate more (pool.size) or take a smaller sample.ipc; {GUIDANCE}",
    False: "take more images, or a smaller --ipc",
}


@dataclass(frozen=True)
class Finding:
    """Something by which a pool is not usable.

    Attributes:
        what: `mean difficulty`, `too few recognised` or `images alike`.
        value: that was measured.
        limit: from which on it would be usable.
        text: a sentence with both.
        advice: what to change.
    """

    what: str
    value: float
    limit: float
    text: str
    advice: str


@dataclass(frozen=True)
class PoolCheck:
    """What was found of a pool; `usable` where there is nothing to find fault with.

    Attributes:
        mean_difficulty: of the pool.
        original_mean_difficulty: of the original images.
        recognised: share of the pool's images below `RECOGNISED`.
        ipc: images a class that are to be sampled.
        findings: why it is not usable; empty: it is.
    """

    mean_difficulty: float
    original_mean_difficulty: float
    recognised: float
    ipc: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def text(self) -> str:
        """A warning that stands out; empty where the pool is usable."""
        lines = [f"  - {one.text}; {one.advice}" for one in self.findings]
        return "\n".join(["WARNING: this pool is not usable as it is", *lines]) if lines else ""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, `usable` among them."""
        return {"usable": self.usable, **asdict(self)}


def check_pool(
    pool: Dataset, original: Dataset, ipc: int, alike: float | None = None, *, ours: bool = True
) -> PoolCheck:
    """Judges a pool by its difficulties and those of the original images.

    Args:
        pool: columns `label`, `difficulty`.
        original: the same, with the same classes.
        ipc: images a class that are to be sampled.
        alike: see `likeness`; None: unknown.
        ours: ddgs-hub generated the pool, so values of a recipe can mend it.
    """
    difficulty, of_original = _difficulties(pool), _difficulties(original)
    labels, names = np.asarray(pool["label"]), class_names(pool)
    findings = [
        *_mean_findings(float(difficulty.mean()), float(of_original.mean()), len(names), ours),
        *_few_findings(difficulty, labels, names, ipc, _advice_for_few(of_original, ours)),
    ]
    if alike is not None and alike < ALIKE:
        text = f"most images of a class are alike: they differ {alike:.2f} times as much as original ones"
        advice = f"less guidance (pool.guidance_scale), or {MORE_TRAINING}"
        findings.append(Finding("images alike", alike, ALIKE, text, advice))
    recognised = float((difficulty < RECOGNISED).mean())
    return PoolCheck(float(difficulty.mean()), float(of_original.mean()), recognised, ipc, findings)


def check_pool_folder(pool: Path, original: Path, ipc: int) -> PoolCheck:
    """`check_pool` for scored folders, with the likeness of the images.

    Args:
        pool: folder of the scored pool.
        original: folder of the scored original images.
        ipc: images a class that are to be sampled.
    """
    names = ["label", "difficulty"]
    rows, originals = read_rows(pool, names=names), read_rows(original, names=names)
    return check_pool(rows, originals, ipc, likeness(pool, original))


def likeness(pool: Path, original: Path) -> float | None:
    """Mean distance of two images of a class of the pool, as a share of that of the original images.

    Of up to `COMPARED_CLASSES` classes and `COMPARED` images of each, at `THUMBNAIL` px. 1: as varied as the originals;
    0: all alike. None where a class has fewer than two images, or the original ones are all alike themselves.
    """
    spreads = [_spread(folder) for folder in (pool, original)]
    if None in spreads or not spreads[1]:
        return None
    return float(spreads[0] / spreads[1])  # type: ignore[operator]


def with_check(made: Made, check: PoolCheck) -> Made:
    """The result of a stage with what was found of its pool: as `pool_check`, and below its text if it is a warning."""
    values = {**made.values, CHECK: check.to_dict()}
    return Made(f"{made.text}\n{check.text}" if check.text else made.text, values)


def check_in(values: Mapping[str, Any]) -> PoolCheck | None:
    """What was found of a pool, from the values of such a result, also when they were read from `stages.json`.

    Raises:
        InputError: the values are damaged.
    """
    return read_values(values[CHECK], PoolCheck, f"{CHECK} in the values of a stage") if CHECK in values else None


def _difficulties(rows: Dataset) -> NDArray[np.float64]:
    return np.asarray(rows["difficulty"], dtype=np.float64)


def _mean_findings(mean: float, of_original: float, classes: int, ours: bool) -> list[Finding]:
    guessing = 1 - 1 / classes
    highest, lowest = of_original + HALFWAY * max(guessing - of_original, 0), of_original - TOO_EASY
    means = f"the mean difficulty is {mean:.2f}, that of the original images {of_original:.2f}"
    if mean > highest:
        text = f"{means}: nearer to guessing ({guessing:.2f}), at most {highest:.2f} is usable"
        return [Finding("mean difficulty", mean, highest, text, TOO_HARD[ours])]
    if mean < lowest:
        text = f"{means}: at least {lowest:.2f} has hard images, too"
        return [Finding("mean difficulty", mean, lowest, text, HARDER[ours])]
    return []


def _advice_for_few(of_original: NDArray[np.float64], ours: bool) -> str:
    """What to change where few images are recognised: the scorer, if it does not recognise the originals either."""
    recognised = float((of_original < RECOGNISED).mean())
    if recognised >= RECOGNISED:
        return MORE[ours]
    scorer = "train it longer (score.training.epochs), or take another (score.scorer)"
    return f"the scorer recognises only {recognised:.0%} of the original images: {scorer}; then {MORE[ours]}"


def _few_findings(
    difficulty: NDArray[np.float64], labels: NDArray[np.int64], names: Sequence[str], ipc: int, advice: str
) -> list[Finding]:
    counts = np.bincount(labels[difficulty < RECOGNISED], minlength=len(names))
    few = [k for k in np.argsort(counts, kind="stable").tolist() if counts[k] < ipc]
    if not few:
        return []
    listed = ", ".join(f"{one_line(names[k], 40)} {counts[k]}" for k in few[:NAMED])
    more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
    text = (
        f"{len(few)} of {len(names)} classes have fewer than {ipc} images (the IPC) of difficulty under {RECOGNISED}: "
        f"{listed}{more}"
    )
    return [Finding("too few recognised", float(counts.min()), float(ipc), text, advice)]


def _spread(folder: Path) -> float | None:
    """Mean distance of two images of the same class, root of the mean square of pixels 0 … 1."""
    labels = np.asarray(read_rows(folder, names=["label"])["label"])
    distances = []
    for label in np.unique(labels)[:COMPARED_CLASSES]:
        chosen = np.flatnonzero(labels == label)[:COMPARED]
        if len(chosen) < 2:
            return None
        cells = undecoded(read_selected(folder, chosen, names=["image"]))
        small = np.stack([_thumbnail(cell["image"], row) for row, cell in enumerate(cells)])
        square = np.square(small[:, None] - small[None]).mean(-1)
        distances.append(np.sqrt(square[np.triu_indices(len(small), 1)]).mean())
    return float(np.mean(distances))


def _thumbnail(cell: Any, row: int) -> NDArray[np.float64]:
    image = decode_image(cell, row).resize((THUMBNAIL, THUMBNAIL), PILImage.Resampling.BOX)
    return np.asarray(image, dtype=np.float64).ravel() / 255
