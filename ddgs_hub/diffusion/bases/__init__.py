"""Bases that are shipped with the package: small DiTs, each with its autoencoder, that the recipes fine-tune."""

from pathlib import Path


def base_path(name: str) -> str:
    """The folder of a shipped base, such as `digits`; any other name as it is."""
    folder = Path(__file__).parent / name
    return str(folder) if name.isidentifier() and folder.is_dir() else name
