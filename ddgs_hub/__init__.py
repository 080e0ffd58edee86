"""ddgs-hub: difficulty-guided generative dataset distillation for the Hugging Face ecosystem.

Importing the package imports none of its heavy dependencies: each stage imports what it needs, and `load` and
`LoadedDataset` are imported when first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddgs_hub.hub.loading import LoadedDataset, load

__all__ = ["LoadedDataset", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from ddgs_hub.hub import loading

    return getattr(loading, name)
