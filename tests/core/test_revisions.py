"""`OWNER/NAME@REVISION`, the one way to name a repository at one state of it."""

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.model_files import ModelFiles
from ddgs_hub.core.revisions import named_revision


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acme/woof@v1.0.0", ("acme/woof", "v1.0.0")),
        ("acme/woof@refs/pr/3", ("acme/woof", "refs/pr/3")),
        ("hf-hub:timm/resnet50.tv_in1k@main", ("hf-hub:timm/resnet50.tv_in1k", "main")),
        ("acme/woof", ("acme/woof", None)),
        ("./acme/woof@home", ("./acme/woof@home", None)),
        ("/data/acme@home", ("/data/acme@home", None)),
        ("resnet50@x", ("resnet50@x", None)),
        ("a/b/c@x", ("a/b/c@x", None)),
        (f"acme/woof@{'x' * 5_000}", (f"acme/woof@{'x' * 5_000}", None)),
        ("acme/woof\0@x", ("acme/woof\0@x", None)),
    ],
)
def test_only_what_can_be_an_id_has_a_revision(name, expected):
    assert named_revision(name) == expected


def test_a_revision_may_be_given_twice_only_if_it_is_the_same():
    assert named_revision("acme/woof", "v1.0.0") == ("acme/woof", "v1.0.0")
    assert named_revision("acme/woof@v1.0.0", "v1.0.0") == ("acme/woof", "v1.0.0")
    with pytest.raises(InputError, match=r"'acme/woof@v1.0.0' names a revision, and 'v2.0.0' is given as well: give"):
        named_revision("acme/woof@v1.0.0", "v2.0.0")
    with pytest.raises(InputError, match="'acme/woof@' names no revision behind the @"):
        named_revision("acme/woof@")


def test_a_folder_that_is_called_so_is_meant_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme" / "woof@v1.0.0").mkdir(parents=True)
    assert named_revision("acme/woof@v1.0.0") == ("acme/woof@v1.0.0", None)
    assert not ModelFiles.of("acme/woof@v1.0.0").on_hub
    assert ModelFiles.of("acme/dit@v1.0.0") == ModelFiles("acme/dit", True, "v1.0.0")
    assert ModelFiles.of("hf-hub:acme/woof@v1.0.0") == ModelFiles("acme/woof", True, "v1.0.0")
