"""Where the builders were before the rooms of the package were built; they are in `ddgs_hub.stages.builders`."""

from ddgs_hub.stages import DistilledBuilder, DistilledConfig, ScoredBuilder, ScoredConfig

__all__ = ["DistilledBuilder", "DistilledConfig", "ScoredBuilder", "ScoredConfig"]
