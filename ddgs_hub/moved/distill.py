"""Where datasets were sampled before the rooms of the package were built; that is in `ddgs_hub.sampling.datasets`."""

from ddgs_hub.sampling.datasets import Distillation, distill

__all__ = ["Distillation", "distill"]
