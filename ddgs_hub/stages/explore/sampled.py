"""One class sampled anew, and why each of its images was taken or left out; arrays alone, in milliseconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ddgs_hub.core.histogram import BINS, difficulty_histogram
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling import Selection, floor_and_ceiling, log_transform
from ddgs_hub.sampling.datasets import Scores, select_class

KEPT = 2_048  # sampled classes that are kept: a look back costs nothing
NO_BIN = -1  # of an image that was no candidate


@dataclass(frozen=True, eq=False)
class SampledClass:
    """A class of the pool, sampled with some settings.

    Attributes:
        label: of the class.
        rows: its rows in the pool, `(n,)`, ascending.
        difficulty: of these, `(n,)`.
        bins: their bins after the transformation, `(n,)`, 0 … 9; −1 for images that were no candidates.
        selected: whether each was selected, `(n,)`.
        original: difficulties of its original images, `(m,)`.
        selection: what sampling says of it.
    """

    label: int
    rows: NDArray[np.int64]
    difficulty: NDArray[np.float32]
    bins: NDArray[np.int64]
    selected: NDArray[np.bool_]
    original: NDArray[np.float32]
    selection: Selection

    @property
    def candidates(self) -> NDArray[np.float32]:
        """The difficulties of the images that could be selected."""
        return self.difficulty[self.bins != NO_BIN]

    @property
    def taken(self) -> NDArray[np.int64]:
        """How many images of each bin were selected, `(10,)`."""
        return np.bincount(self.bins[self.selected], minlength=BINS)

    def transformed(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Counts per bin after the transformation (Eq. 8), each `(10,)`: original, pool, selection."""
        ranks = self.selection.thresholds
        original = difficulty_histogram(log_transform(self.original, ranks.bottom, ranks.top))
        return original, self.selection.available, self.taken

    def edges(self, *, of_original: bool = False) -> NDArray[np.float64]:
        """The difficulties at which the bins of Eq. 8 begin and end, `(11,)`, ascending.

        The first is the floor min P', the last the ceiling max P'; what lies beyond is in the first or last bin.
        """
        ranks = self.selection.thresholds
        values = self.original if of_original else self.candidates
        floor, ceiling = floor_and_ceiling(values, ranks.bottom, ranks.top)
        ceiling = max(floor, ceiling)
        return floor * (ceiling / floor) ** (np.arange(BINS + 1) / BINS)


class Sampler:
    """Samples classes of a pool; what was asked for lately is kept."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self.of_class: Callable[[int, SampleSettings, int], SampledClass] = lru_cache(KEPT)(self._sample)

    def classes(self, labels: Sequence[int], sample: SampleSettings, seed: int) -> list[SampledClass]:
        """These classes, each sampled as `ddgs-hub sample` does.

        Raises:
            InputError: a class has too few images for these settings, see `select_class`.
        """
        return [self.of_class(label, sample, seed) for label in labels]

    def _sample(self, label: int, sample: SampleSettings, seed: int) -> SampledClass:
        scores = self.scores
        made = select_class(scores, label, sample, seed=seed)
        rows = np.flatnonzero(scores.labels == label)
        bins, selected = np.full(len(rows), NO_BIN), np.zeros(len(rows), bool)
        bins[np.searchsorted(rows, made.candidates)] = made.selection.bins
        selected[np.searchsorted(rows, made.drawn)] = True
        original = scores.original_difficulty[scores.original_labels == label]
        return SampledClass(label, rows, scores.difficulty[rows], bins, selected, original, made.selection)


@dataclass(frozen=True, kw_only=True)
class BinFacts:
    """One bin of one or more classes, in numbers of images.

    Attributes:
        available: in the pool.
        wanted: by the distribution.
        taken: selected.
        filled: of these, in the place of images of other bins, near its edges or where those lacked some.
        short: of those wanted, how many it lacked.
    """

    available: int
    wanted: int
    taken: int
    filled: int
    short: int

    @property
    def left(self) -> int:
        """Left out."""
        return self.available - self.taken

    @property
    def why(self) -> str:
        """Why images of this bin were left out, and where more or fewer came out than were wanted."""
        if not self.available:
            state = "empty"
        elif not self.left:
            state = "all taken"
        else:
            state = "full" if self.wanted else "none wanted"
        words = [state]
        if self.short:
            words.append(f"{self.short:,} missing, taken from other bins")
        if self.filled:
            words.append(f"{self.filled:,} more, near its edges or in place of other bins' missing ones")
        return "; ".join(words)


def bin_facts(classes: Sequence[SampledClass]) -> list[BinFacts]:
    """The ten bins, easy to hard, summed over classes."""
    selections = [one.selection for one in classes]
    over = [one.taken - one.selection.counts for one in classes]
    columns = {
        "available": [selection.available for selection in selections],
        "wanted": [selection.counts for selection in selections],
        "taken": [one.taken for one in classes],
        "filled": [np.maximum(counts, 0) for counts in over],
        "short": [selection.shortfall for selection in selections],
    }
    sums = {name: np.sum(counts, axis=0).tolist() for name, counts in columns.items()}
    return [BinFacts(**{name: counts[number] for name, counts in sums.items()}) for number in range(BINS)]


def why_left_out(bin_of_image: int, one: SampledClass, sample: SampleSettings) -> str:
    """Why an image of a class was not selected, in a few words."""
    if bin_of_image == NO_BIN:
        assert sample.pool_size is not None
        return f"beyond the first {sample.pool_size * sample.ipc:,}"
    wanted, taken = int(one.selection.counts[bin_of_image]), int(one.taken[bin_of_image])
    available = int(one.selection.available[bin_of_image])
    return f"bin full: {taken} of {available}" if wanted else "bin not wanted"
