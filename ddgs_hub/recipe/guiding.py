"""What steers the generation of a pool: the sections below `pool.guide`."""

from typing import Literal

from pydantic.dataclasses import dataclass

from ddgs_hub.recipe.ranges import SECTION, Count, Positive, PositiveShare, Share

GuideName = Literal["none", "modes", "difficulty"]


@dataclass(frozen=True, kw_only=True, config=SECTION)
class ModeGuidance:
    """Mode guidance (MGD³), where `pool.guide` is `modes`: k-means modes of a class pull the first denoising steps."""

    strength: Positive = 0.1  # λ: a step is shifted by λ × (mode − predicted latent) × its standard deviation
    share: PositiveShare = 0.5  # of the steps, from the noisiest on, that is guided
    count: Count | None = None  # modes a class, which its images take in turn; None: `sample.ipc`, as in the paper


@dataclass(frozen=True, kw_only=True, config=SECTION)
class DifficultyGuidance:
    """Difficulty guidance, where `pool.guide` is `difficulty`: images are pulled to difficulties of originals."""

    strength: Positive = 0.3  # the longest shift of a step, in standard deviations of its noise
    begin: Share = 0.5  # the share of the steps after which they are guided …
    end: PositiveShare = 1.0  # … and after which they are not any more

    def __post_init__(self) -> None:
        if self.begin >= self.end:
            raise ValueError(f"begin {self.begin} is not below end {self.end}, so no step would be guided")
