"""The pictures of a run's page, inside its text: small images from easy to hard, histograms, the paper's figures."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ddgs_hub.evaluation import spread_indices
from ddgs_hub.stages.explore.drawing import panel
from ddgs_hub.stages.explore.images import Size, Thumbnails
from ddgs_hub.stages.report.facts import RunFacts, SetFacts
from ddgs_hub.stages.run_folder import DIFFICULTY_FIGURE, DISTRIBUTIONS_FIGURE

MOST_CLASSES = 20  # whose images are shown
MOST_IMAGES = 300  # on the page: some kilobytes each
MOST_IN_A_ROW = 8
SMALL = Size(side=112, quality=75, exact=32)
LARGEST_DRAWING = 150_000  # bytes of an SVG; larger ones are shown as PNG


class Tile(NamedTuple):
    """An image with its difficulty; `address` is None where the image cannot be decoded."""

    address: str | None
    difficulty: float


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Images of one class at one stage, from easy to hard.

    Attributes:
        stage: which images these are.
        total: how many there are.
        mean: of the difficulties of all of them.
        tiles: those that are shown.
    """

    stage: str
    total: int
    mean: float
    tiles: list[Tile]


@dataclass(frozen=True, kw_only=True)
class ClassPictures:
    """What is shown of a class: images at each stage, and for each set the histograms of its selection."""

    name: str
    strips: list[Strip]
    histograms: list[Markup]


class Figure(NamedTuple):
    """A figure of the paper: `data:` address, and what it shows."""

    address: str
    caption: str


CAPTIONS = {
    DIFFICULTY_FIGURE: "Difficulties of single classes at the stages of sampling, without and with the transformation "
    "(the paper's Fig. 2).",
    DISTRIBUTIONS_FIGURE: "Images that each sampling distribution asks of each interval of transformed difficulty "
    "(the paper's Fig. 4).",
}


def figures_of(folder: Path) -> list[Figure]:
    """The difficulty figures of a set: as drawings, or as PNG where those are large."""
    return [Figure(_address(folder / name), caption) for name, caption in CAPTIONS.items() if (folder / name).is_file()]


def _address(png: Path) -> str:
    drawing = png.with_suffix(".svg")
    small = drawing.is_file() and drawing.stat().st_size <= LARGEST_DRAWING
    path, kind = (drawing, "svg+xml") if small else (png, "png")
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def histograms(facts: RunFacts, of: SetFacts, labels: Sequence[int]) -> Markup:
    """Original, pool and selection of these classes together, after the transformation (Eq. 8), and what was wanted."""
    counts = [sum(stage) for stage in zip(*(facts.transformed(label, of) for label in labels), strict=True)]
    wanted = np.sum([of.selections[label].target_counts for label in labels], axis=0)
    original, pool, selection = map(np.asarray, counts)
    return Markup(panel("original", original) + panel("pool", pool) + panel("selection", selection, wanted=wanted))


def shown_classes(facts: RunFacts) -> list[int]:
    """The labels of the classes whose images are shown: all, or those that are evenly spread from easy to hard."""
    from ddgs_hub.evaluation import spread_indices

    return sorted(spread_indices(facts.original_means, MOST_CLASSES).tolist())


def class_pictures(facts: RunFacts, labels: Sequence[int]) -> list[ClassPictures]:
    """Images of these classes; each folder is read once, and no other image of it is decoded."""
    stages = _stages(facts)
    in_a_row = max(1, min(MOST_IN_A_ROW, MOST_IMAGES // (len(labels) * len(stages))))
    strips = [stage.strips(labels, in_a_row) for stage in stages]
    return [
        ClassPictures(
            name=facts.names[label],
            strips=[of_stage[k] for of_stage in strips],
            histograms=[histograms(facts, of, [label]) for of in facts.sets],
        )
        for k, label in enumerate(labels)
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stage:
    """The images of one stage: their name, folder, labels and difficulties."""

    name: str
    images: Thumbnails
    labels: NDArray[np.int64]
    difficulty: NDArray[np.float32]

    def strips(self, labels: Sequence[int], in_a_row: int) -> list[Strip]:
        rows = [np.flatnonzero(self.labels == label) for label in labels]
        shown = [of_class[spread_indices(self.difficulty[of_class], in_a_row)] for of_class in rows]
        addresses = iter(self.images.of(np.concatenate(shown).tolist()))
        return [
            Strip(
                stage=self.name,
                total=len(of_class),
                mean=float(self.difficulty[of_class].mean(dtype=float)),
                tiles=[Tile(next(addresses), float(self.difficulty[row])) for row in of_strip],
            )
            for of_class, of_strip in zip(rows, shown, strict=True)
        ]


def _stages(facts: RunFacts) -> list[_Stage]:
    """Original, where its images are at hand, pool, and every set."""
    scores, pool = facts.scores, facts.pool
    stages = []
    if facts.originals is not None:
        images = Thumbnails(facts.originals, size=SMALL)
        original = _Stage(
            name="original", images=images, labels=scores.original_labels, difficulty=scores.original_difficulty
        )
        stages.append(original)
    images = Thumbnails(pool.folder, pool.files, SMALL)
    stages.append(_Stage(name="pool", images=images, labels=scores.labels, difficulty=scores.difficulty))
    for one in facts.sets:
        name = "distilled" if len(facts.sets) == 1 else f"distilled, {one.ipc} a class"
        images = Thumbnails(one.run.distilled, size=SMALL)
        stages.append(_Stage(name=name, images=images, labels=one.labels, difficulty=one.difficulty))
    return stages
