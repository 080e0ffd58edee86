"""Which ranks to clip at: the search of Eq. 9, over all pairs of ranks at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import MAX_BINS, as_count, as_difficulties, difficulty_histogram, inner_edges
from ddgs_hub.sampling.transform import EPSILON, log_floor

DIVERGENCES = ("paper", "reference")
TIE = 1e-12  # bits; equal objectives may differ by rounding, which must not decide between cells
_ROWS = 64  # bottom ranks at a time: bounds the memory without slowing the search


@dataclass(frozen=True)
class Thresholds:
    """The ranks b*, t* of Eq. 9.

    Attributes:
        bottom: b*, rank of the floor from below.
        top: t*, rank of the ceiling from above.
        objective: the value that was minimised, in bits; always finite.
        smoothed: whether the histograms were smoothed with ε, because no pair of ranks had a finite objective.
    """

    bottom: int
    top: int
    objective: float
    smoothed: bool = False


def search_thresholds(
    difficulty: ArrayLike, max_rank: int, weight: float = 0.5, bins: int = 10, divergence: str = "paper"
) -> Thresholds:
    """Finds the ranks b*, t* that minimise Eq. 9: λ·KL(f ‖ P) + (1 − λ)·KL(f ‖ U).

    P is the histogram of the difficulties, f that of their transformation by `log_transform(difficulty, b, t)`, and U
    is uniform. All pairs of ranks 0 … max_rank − 1 are compared; of pairs that are equal (within 1e-12 bits) the first
    wins, in row-major order with b outside. A pair whose floor and ceiling coincide (ties, or ranks that meet or cross
    in a small pool) is no candidate. Where no candidate is finite (an empty bin makes KL infinite) the histograms are
    smoothed, (h + ε) / (1 + bins·ε), and the result says so; where there is no candidate at all (a constant pool) the
    result is b = t = 0, smoothed likewise.

    Args:
        difficulty: of the pool, shape (N,), in 0…1.
        max_rank: how many ranks to try at each end, ≥ 1; the published code uses IPC // 2.
        weight: λ in 0…1: 1 keeps the pool's distribution, 0 makes it uniform.
        bins: of the histograms, 1…1000.
        divergence: "paper" is Eq. 9 as printed; "reference" is λ·KL(P ‖ f) + (1 − λ)·KL(U ‖ f), which the
            published code computes.

    Returns:
        The ranks, their objective in bits, and whether smoothing was needed.

    Raises:
        InputError: difficulties that `as_difficulties` refuses, or another argument out of its range.
    """
    search = _Search(difficulty, max_rank, weight, bins, divergence)
    grid = search.objective()
    smoothed = not np.isfinite(grid).any()
    if smoothed:
        grid = search.objective(smoothing=EPSILON)
        if np.isnan(grid).all():
            return Thresholds(0, 0, search.unspread_objective(EPSILON), smoothed)
    # NaN compares false, so a cell that is no candidate never wins.
    first = int((grid <= np.nanmin(grid) + TIE).argmax())
    bottom, top = divmod(first, grid.shape[1])
    return Thresholds(bottom, top, float(grid[bottom, top]), smoothed)


def objective_grid(
    difficulty: ArrayLike, max_rank: int, weight: float = 0.5, bins: int = 10, divergence: str = "paper"
) -> NDArray[np.float64]:
    """The objective of Eq. 9 for every pair of ranks, in bits and without smoothing.

    Args and errors are those of `search_thresholds`.

    Returns:
        Shape (max_rank, max_rank), float64, axes (b, t): NaN where the pair is no candidate, inf where one histogram
        has an empty bin that its divergence divides by.
    """
    search = _Search(difficulty, max_rank, weight, bins, divergence)
    padding = search.max_rank - search.ranks.size
    return np.pad(search.objective(), (0, padding), constant_values=np.nan)


class _Search:
    """The histograms of all cells (pairs of ranks), and the objective with or without smoothing."""

    def __init__(self, difficulty: ArrayLike, max_rank: int, weight: float, bins: int, divergence: str) -> None:
        raw = as_difficulties(difficulty)
        self.max_rank = as_count(max_rank, "max_rank", 1)
        self.bins = as_count(bins, "bins", 1, MAX_BINS)
        if not 0 <= weight <= 1:
            raise InputError(f"weight is {weight}; λ of Eq. 9 lies in 0…1")
        if divergence not in DIVERGENCES:
            raise InputError(f"divergence is {divergence!r}; choose one of {', '.join(DIVERGENCES)}")
        self.weight, self.divergence = weight, divergence
        self.size = raw.size
        self.ranks = np.arange(min(self.max_rank, self.size))
        self.pool_counts = difficulty_histogram(raw, self.bins)
        self.cell_counts, self.candidate = _cell_histograms(np.sort(raw.astype(np.float64)), self.ranks, self.bins)

    def objective(self, smoothing: float = 0.0) -> NDArray[np.float64]:
        """Shape (R, R), axes (b, t); NaN where the cell is no candidate."""
        tables = self._terms(smoothing)
        grid = sum(table[counts] for table, counts in zip(tables, self.cell_counts, strict=True))
        return np.where(self.candidate, grid, np.nan)

    def unspread_objective(self, smoothing: float) -> float:
        """The objective of a constant pool, which `log_transform` turns into ε everywhere: all in the first bin."""
        tables = self._terms(smoothing)
        return float(tables[0, self.size] + tables[1:, 0].sum())

    def _terms(self, smoothing: float) -> NDArray[np.float64]:
        """The term of bin k in the objective if f has c values there: shape (bins, N + 1), by (k, c).

        A count is a whole number up to N, so the logarithms are computed once for each count, not for each cell.
        """
        from scipy.special import rel_entr  # the import takes longer than a search

        def smooth(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
            return (histogram + smoothing) / (1 + self.bins * smoothing)

        f = smooth(np.arange(self.size + 1) / self.size)
        pool = smooth(self.pool_counts[:, None] / self.size)
        uniform = np.full((self.bins, 1), 1 / self.bins)
        terms = np.zeros((self.bins, self.size + 1))
        for share, target in ((self.weight, pool), (1 - self.weight, uniform)):
            if share > 0:  # a divergence of weight 0 must not count where it is infinite: 0 · ∞ is NaN
                terms += share * (rel_entr(f, target) if self.divergence == "paper" else rel_entr(target, f))
        return terms / np.log(2)


def _cell_histograms(
    ordered: NDArray[np.float64], ranks: NDArray[np.int64], bins: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The bin counts of `log_transform(ordered, b, t)` for every b and t in `ranks`, exactly.

    Args:
        ordered: difficulties in ascending order, shape (N,).
        ranks: 0 … R − 1, R ≤ N.
        bins: of the histograms.

    Returns:
        Counts, shape (bins, R, R) by (bin, b, t), and which cells are candidates, shape (R, R); the counts of other
        cells mean nothing.
    """
    below = np.empty((bins + 1, ranks.size, ranks.size), dtype=np.int64)
    below[0], below[-1] = 0, ordered.size
    candidate = np.empty((ranks.size, ranks.size), dtype=bool)
    floors = log_floor(ordered[ranks], EPSILON)
    for start in range(0, ranks.size, _ROWS):
        rows = slice(start, start + _ROWS)
        with np.errstate(divide="ignore"):
            logs = np.log(ordered / floors[rows, None])  # ln(P / min P'), ascending along each row
        spans = logs[:, ordered.size - 1 - ranks]  # ln(max P' / min P') for every t
        candidate[rows] = spans > 0
        least = _least_reaching(inner_edges(bins)[:, None, None], np.where(spans > 0, spans, 1.0))
        for row, values in enumerate(logs):
            # Values beyond floor and ceiling are on the same side of every edge as the clipped ones.
            below[1:-1, start + row] = np.searchsorted(values, least[:, row])
    return np.diff(below, axis=0), candidate


def _least_reaching(edges: NDArray[np.floating], spans: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least float q with q / span ≥ edge as floats divide, for positive spans and edges (broadcast together).

    A logarithm is compared with q instead of its quotient with the edge: one search for all values of a row, and yet
    the same bin as `difficulty_bins(log_transform(…))` for a value that lies exactly on an edge.
    """
    least = edges * spans
    # Positive floats are ordered as their bits are, so ± 1 there is the next float. Product and quotient each round by
    # at most 2⁻⁵³ of the value: three floats below the product certainly fall short, and a few steps up suffice.
    bits = least.view(np.int64)
    bits -= 3
    while (short := least / spans < edges).any():
        bits += short
    return least
