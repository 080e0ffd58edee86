"""Difficulty-guided sampling (Eq. 7–9) on arrays, with NumPy and SciPy alone: it imports quickly and works by itself.

Takes the difficulties of a pool and of the original images of one class and gives the rows to select. This room knows
neither images nor scorers nor files. `sampling.datasets` does the same for datasets, and is not imported here.
"""

from ddgs_hub.sampling.distributions import DISTRIBUTIONS, PRESETS, preset_counts, scaled_counts
from ddgs_hub.sampling.selection import Selection, difficulty_guided_sample, select_by_difficulty
from ddgs_hub.sampling.thresholds import DIVERGENCES, Thresholds, objective_grid, search_thresholds
from ddgs_hub.sampling.transform import EPSILON, difficulty_bins, difficulty_histogram, log_transform

__all__ = [
    "DISTRIBUTIONS",
    "DIVERGENCES",
    "EPSILON",
    "PRESETS",
    "Selection",
    "Thresholds",
    "difficulty_bins",
    "difficulty_guided_sample",
    "difficulty_histogram",
    "log_transform",
    "objective_grid",
    "preset_counts",
    "scaled_counts",
    "search_thresholds",
    "select_by_difficulty",
]
