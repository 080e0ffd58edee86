"""Merged cards: nothing that people wrote is lost, and merging again changes nothing."""

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import split_card
from ddgs_hub.hub.cards import HAND_WRITTEN, merge_cards

FRONT = "license: other\nsource_datasets:\n- a/b\ntags:\n- ddgs\n- ipc-20\n"
FRONT += "configs:\n- config_name: default\n  data_files: data/*\ndataset_info:\n  features: []\n"
GENERATED = f"---\n{FRONT}---\n\n# New\n\nText.\n\n{HAND_WRITTEN}\n"
OLD = f"---\nlicense: mit\nlanguage: en\ntags:\n- ddgs\n- ipc-10\n- mine\n{{}}---\n\n# Old\n\n{HAND_WRITTEN}\n\nMine.\n"
OTHERS = "configs:\n- config_name: default\n  data_files: old/*\n- config_name: raw\n  data_files: raw/*\n"
OTHERS += "dataset_info:\n- config_name: default\n  features: [old]\n- config_name: raw\n  features: [raw]\n"


@pytest.mark.parametrize(
    "existing",
    [
        *(
            "",
            "# Text alone\n",
            "---\n---\n",
            "---\nlicense: mit\n---\n",
            OLD.format(""),
            OLD.format(OTHERS),
            GENERATED,
        ),
        *("---\nconfigs: [1]\ntags: one\ndataset_info: x\n---\nA.\n", "\ufeff---\r\nlicense: mit\r\n---\r\n# Old\r\n"),
    ],
)
def test_merging_again_changes_nothing(existing):
    merged = merge_cards(GENERATED, existing)
    assert merge_cards(GENERATED, merged) == merged
    assert merged.count(HAND_WRITTEN) == 1
    metadata, text = split_card(merged, "it")
    assert metadata["license"] == "other"
    assert text.startswith("\n# New\n\nText.\n\n<!--")


def test_what_is_kept():
    metadata, text = split_card(merge_cards(GENERATED, OLD.format(OTHERS)), "it")
    assert text.endswith(f"{HAND_WRITTEN}\n\nMine.\n")
    assert "# Old" not in text
    assert metadata["language"] == "en"
    assert metadata["tags"] == ["ddgs", "ipc-20", "mine"]
    assert [config["data_files"] for config in metadata["configs"]] == ["data/*", "raw/*"]
    assert metadata["dataset_info"] == [
        {"config_name": "default", "features": []},
        {"config_name": "raw", "features": ["raw"]},
    ]


def test_what_was_generated_before_and_is_not_now_goes():
    without = GENERATED.replace("source_datasets:\n- a/b\n", "")
    assert "source_datasets" not in split_card(merge_cards(without, GENERATED), "it")[0]


def test_details_of_a_license_are_kept_as_long_as_it_is_the_same():
    details = "license_name: mine\nlicense_link: LICENSE\n"
    for old, kept in (("other", "mine"), ("cc-by-nc-4.0", None)):
        existing = f"---\nlicense: {old}\n{details}---\n# Old\n"
        assert split_card(merge_cards(GENERATED, existing), "it")[0].get("license_name") == kept


@pytest.mark.parametrize("front_matter", ["a: [", "- a", "text"])
def test_front_matter_that_cannot_be_read(front_matter):
    with pytest.raises(InputError, match="the front matter of the card on the Hub is no"):
        merge_cards(GENERATED, f"---\n{front_matter}\n---\n")
