"""Baselines that difficulty-guided sampling is compared with; NumPy only."""

from ddgs_hub.baselines.coreset import CORESETS, herding, k_center, random_selection

__all__ = ["CORESETS", "herding", "k_center", "random_selection"]
