"""What difficulty-guided sampling is compared with: coresets of real images.

Takes features and labels as arrays and gives row numbers. NumPy only: this room does not know where features come
from, reads no images and writes no datasets.
"""

from ddgs_hub.baselines.coreset import herding, k_center, random_selection

__all__ = ["herding", "k_center", "random_selection"]
