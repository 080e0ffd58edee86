"""The three subsets against timm's list of ImageNet-1k's classes, which is not ours."""

import subprocess
import sys

import pytest
from timm.data import ImageNetInfo

from ddgs_hub.core.errors import InputError
from ddgs_hub.original.subsets import SUBSETS, Subset, get_subset, imagenet_index

INFO = ImageNetInfo("imagenet-1k")


@pytest.mark.parametrize("subset", SUBSETS.values(), ids=SUBSETS)
class TestEverySubset:
    def test_has_ten_different_classes(self, subset: Subset) -> None:
        assert len(subset.wnids) == len(set(subset.wnids)) == 10
        assert len(set(subset.class_names)) == len(set(subset.imagenet_indices)) == 10

    def test_index_is_that_of_the_wnid(self, subset: Subset) -> None:
        assert tuple(INFO.index_to_label_name(index) for index in subset.imagenet_indices) == subset.wnids
        assert tuple(imagenet_index(wnid) for wnid in subset.wnids) == subset.imagenet_indices

    def test_name_is_the_first_of_the_synset(self, subset: Subset) -> None:
        described = [INFO.index_to_description(index) for index in subset.imagenet_indices]
        assert tuple(text.split(",")[0] for text in described) == subset.class_names


def test_order_is_the_papers() -> None:
    assert SUBSETS["imagewoof"].imagenet_indices == (193, 182, 258, 162, 155, 167, 159, 273, 207, 229)
    assert SUBSETS["imagenette"].imagenet_indices == (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
    assert SUBSETS["imageidc"].imagenet_indices == (452, 64, 374, 236, 993, 176, 882, 904, 503, 74)


def test_by_name() -> None:
    assert get_subset("imagewoof").pretty_name == "ImageWoof"


def test_unknown_subset() -> None:
    with pytest.raises(InputError, match="unknown subset 'imagemeow': choose one of imagewoof, imagenette, imageidc"):
        get_subset("imagemeow")


def test_unknown_synset() -> None:
    with pytest.raises(InputError, match="'n00000001' is not a class of ImageNet-1k"):
        imagenet_index("n00000001")


def test_a_look_at_the_subsets_loads_nothing_heavy() -> None:
    script = "import sys, ddgs_hub.original.subsets; print({'torch', 'timm', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
