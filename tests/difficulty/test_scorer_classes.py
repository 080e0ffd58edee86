import numpy as np
import pytest
from timm.data import ImageNetInfo

from ddgs_hub.core.errors import InputError
from ddgs_hub.difficulty.scorer_classes import ScorerClasses
from ddgs_hub.original import SUBSETS
from ddgs_hub.original.imagenet import in_imagenets_order

LEMMAS = ImageNetInfo("imagenet-1k").label_descriptions()


@pytest.mark.parametrize("subset", SUBSETS.values(), ids=lambda subset: subset.name)
@pytest.mark.parametrize(
    "classes",
    [
        ScorerClasses(1000),  # timm's ImageNet models: no names
        ScorerClasses(1000, [f"LABEL_{k}" for k in range(1000)]),
        ScorerClasses(1000, LEMMAS),  # transformers' ones: "tench, Tinca tinca"
        ScorerClasses(1000, ImageNetInfo("imagenet-1k").label_names()),
    ],
    ids=["nameless", "placeholders", "names", "wnids"],
)
def test_imagenet_classes_are_found_by_wnid(classes, subset):
    found = classes.indices(subset.class_names, subset.wnids)
    np.testing.assert_array_equal(found, subset.imagenet_indices)
    np.testing.assert_array_equal(classes.indices(subset.wnids), subset.imagenet_indices)  # wnids as class names


def test_imagenet_classes_are_found_by_name_where_there_is_no_wnid():
    names = ["Tinca Tinca", "garbage_truck", "parachute, chute"]
    np.testing.assert_array_equal(ScorerClasses(1000, LEMMAS).indices(names), [0, 569, 701])
    np.testing.assert_array_equal(ScorerClasses(1000).indices(names), [0, 569, 701])


def test_all_of_imagenet_is_found_by_its_order():
    """Some names stand for two of its classes ("crane"), so names alone would not do."""
    np.testing.assert_array_equal(ScorerClasses(1000).indices(LEMMAS), np.arange(1000))


def test_an_ambiguous_name_is_refused():
    with pytest.raises(InputError, match="class 'crane' fits several of the 1000 classes of vit"):
        ScorerClasses(1000).indices(["crane"], scorer="vit")


def test_other_classes_in_another_order_are_not_taken_for_imagenets():
    assert in_imagenets_order(LEMMAS)
    assert not in_imagenets_order(LEMMAS[::-1])
    np.testing.assert_array_equal(ScorerClasses(1000, LEMMAS[::-1]).indices(["tench"]), [999])


def test_names_match_in_any_case_and_by_synonym():
    classes = ScorerClasses(3, ["Tabby, tabby cat", "gas_pump", "n01"], {"n01": "shark"})
    np.testing.assert_array_equal(classes.indices(["Gas Pump", "tabby cat", "SHARK"]), [1, 0, 2])


def test_wnids_do_not_hide_names():
    """A scorer that was trained on the dataset knows its names, not its wnids."""
    classes = ScorerClasses(2, ["tench", "church"])
    np.testing.assert_array_equal(classes.indices(["church", "tench"], ["n03028079", "n01440764"]), [1, 0])


def test_too_few_classes_are_refused_with_both_numbers():
    with pytest.raises(InputError, match="resnet has 2 classes, fewer than the 3 of the dataset"):
        ScorerClasses(2, ["a", "b"]).indices(["a", "b", "c"], scorer="resnet")


def test_an_unknown_class_is_named():
    with pytest.raises(InputError, match=r"class 'c' is none of the 3 classes of resnet \(a, b, d\): call the class"):
        ScorerClasses(3, ["a", "b", "d"]).indices(["a", "c"], scorer="resnet")
    with pytest.raises(InputError, match="class 'a' is none of the 7 classes"):
        ScorerClasses(7).indices(["a"])  # a scorer without names fits nothing but ImageNet


def test_two_names_of_one_class_are_refused():
    with pytest.raises(InputError, match="classes 'tabby' and 'cat' are the same class"):
        ScorerClasses(2, ["tabby, cat", "dog"]).indices(["tabby", "cat"])
