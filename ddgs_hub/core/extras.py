"""Libraries that are installed only where somebody asked for them."""

from importlib.metadata import PackageNotFoundError, version

from ddgs_hub.core.errors import InputError


def extra_version(library: str, extra: str) -> str:
    """The version of a library that comes with an extra of ddgs-hub; it is not imported.

    Args:
        library: its name.
        extra: as in `pip install "ddgs-hub[extra]"`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return version(library)
    except PackageNotFoundError as error:
        raise InputError(f'{library} is not installed: pip install "ddgs-hub[{extra}]"') from error
