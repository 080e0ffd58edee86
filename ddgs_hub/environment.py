"""With what something was made."""

from importlib.metadata import version

from ddgs_hub import __version__


def library_versions(*libraries: str) -> dict[str, str]:
    """The versions of ddgs-hub and of the libraries, by the names of their distributions."""
    return {"ddgs-hub": __version__, **{name: version(name) for name in libraries}}
