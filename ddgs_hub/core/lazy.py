"""Rooms that import a name when it is first used, so that a look at one name does not load the libraries of all."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    room: str, modules: Mapping[str, Sequence[str]], names: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a room (PEP 562).

    Args:
        room: the room's `__name__`.
        modules: module of the room → the names that it has.
        names: the room's `__all__`.
    """
    module_of = {name: module for module, own_names in modules.items() for name in own_names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module '{room}' has no attribute '{name}'")
        return getattr(import_module(f"{room}.{module_of[name]}"), name)

    return get, lambda: list(names)
