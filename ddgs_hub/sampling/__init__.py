"""Difficulty-guided sampling (Eq. 7–9) on arrays, with NumPy and SciPy alone: it imports quickly and works by itself.

Takes the difficulties of a pool and of the original images of one class and gives the rows to select. This room knows
neither images nor scorers nor files. `distill` does the same for datasets; it is imported when it is used.
"""

from typing import TYPE_CHECKING

from ddgs_hub.core.histogram import difficulty_bins, difficulty_histogram
from ddgs_hub.core.lazy import lazy_names
from ddgs_hub.sampling.distributions import DISTRIBUTIONS, PRESETS, mixed_counts, preset_counts, scaled_counts
from ddgs_hub.sampling.draw import EDGE, select_by_difficulty
from ddgs_hub.sampling.keys import draw_keys
from ddgs_hub.sampling.selection import Selection, difficulty_guided_sample
from ddgs_hub.sampling.targets import TARGETS, ClassScores
from ddgs_hub.sampling.thresholds import DIVERGENCES, Thresholds, objective_grid, search_thresholds
from ddgs_hub.sampling.transform import EPSILON, floor_and_ceiling, log_transform

if TYPE_CHECKING:
    from ddgs_hub.sampling.datasets import Distillation, distill

__all__ = [
    "DISTRIBUTIONS",
    "DIVERGENCES",
    "EDGE",
    "EPSILON",
    "PRESETS",
    "TARGETS",
    "ClassScores",
    "Distillation",
    "Selection",
    "Thresholds",
    "difficulty_bins",
    "difficulty_guided_sample",
    "difficulty_histogram",
    "distill",
    "draw_keys",
    "floor_and_ceiling",
    "log_transform",
    "mixed_counts",
    "objective_grid",
    "preset_counts",
    "scaled_counts",
    "search_thresholds",
    "select_by_difficulty",
]

# What needs more than NumPy and SciPy is imported when it is used.
__getattr__, __dir__ = lazy_names(__name__, {"datasets": ("Distillation", "distill")}, __all__)
