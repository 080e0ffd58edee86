"""ddgs-hub: difficulty-guided generative dataset distillation for the Hugging Face ecosystem.

    ddgs_hub.load("OWNER/NAME")                       # published rows, with the transforms they are trained with
    ddgs_hub.run(recipe, "runs/digits")               # all stages of a recipe, see `ddgs_hub.recipe.load_recipe`
    ddgs_hub.publish("runs/digits", "OWNER/NAME")     # a version on the Hub

The rooms of the package, from the top down: `cli`, `stages` (one module for each arrow of the paper's Figure 1), `hub`,
the method's own `difficulty`, `diffusion`, `sampling`, `baselines` and `evaluation`, and what they stand on:
`original`, `recipe` and `core`.

Importing the package imports none of its heavy dependencies: rooms and names are imported when first used.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddgs_hub.hub import LoadedDataset, load, publish
    from ddgs_hub.stages.run import run

__version__ = "0.1.0"

_ROOMS = (
    *("cli", "stages", "hub", "difficulty", "diffusion", "sampling", "baselines", "evaluation"),
    *("original", "recipe", "core"),
)
_NAMES = {
    "LoadedDataset": "ddgs_hub.hub",
    "load": "ddgs_hub.hub",
    "publish": "ddgs_hub.hub",
    "run": "ddgs_hub.stages.run",
}

__all__ = ["LoadedDataset", "__version__", "load", "publish", "run", *_ROOMS]

# Modules that were at the top of the package before its rooms were built can still be imported from there.
__path__ = [*__path__, str(Path(__file__).parent / "moved")]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in _ROOMS:
        return import_module(f"ddgs_hub.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
