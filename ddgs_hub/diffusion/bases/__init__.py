"""Bases that come with the package: small DiTs with their autoencoders, for the recipes to fine-tune.

This room knows only where they lie; it does not load them.
"""

from pathlib import Path


def base_path(name: str) -> str:
    """The folder of a shipped base, such as `digits`; any other name as it is."""
    folder = Path(__file__).parent / name
    return str(folder) if name.isidentifier() and folder.is_dir() else name
