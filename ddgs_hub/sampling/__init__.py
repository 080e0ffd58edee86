"""Difficulty-guided sampling (Eq. 7–9) with NumPy and SciPy alone: it imports quickly and can be used by itself."""

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
