"""The surface of the room: every name is there, and none is imported before it is used."""

import subprocess
import sys

import pytest

import ddgs_hub.original


@pytest.mark.parametrize("name", ddgs_hub.original.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(ddgs_hub.original, name) is not None
    assert name in dir(ddgs_hub.original)


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match=r"module 'ddgs_hub.original' has no attribute 'nothing'"):
        ddgs_hub.original.nothing  # noqa: B018


def test_the_subsets_can_be_had_without_anything_heavy() -> None:
    script = "import sys, ddgs_hub.original as o; o.SUBSETS; print({'torch', 'timm', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
