"""Whole cards against the files in expected/; what they say must also be what the libraries read and run."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets.info import DatasetInfosDict
from example_cards import (
    CARDS,
    FEATURES,
    card_with_pool,
    first_version,
    full_dataset_card,
    full_model_card,
    imagewoof,
    scored_card,
    scores_alone,
)
from hub_server.contents_api import arxiv_tags
from huggingface_hub import DatasetCard as HubDatasetCard
from huggingface_hub import ModelCard as HubModelCard

from ddgs_hub.core.front_matter import split_card
from ddgs_hub.hub import DistilledCard, DiTCard, ScoredCard, render_card
from ddgs_hub.hub.cards import HAND_WRITTEN, Card, pool_section, with_pool_section, with_repository
from ddgs_hub.hub.cards.metadata import size_category
from ddgs_hub.hub.cards.rendering import TEMPLATES
from ddgs_hub.recipe import parse_recipe

EXPECTED = Path(__file__).parent / "expected"
RENDERED = {
    name: render_card(card) if name.endswith("_minimal") else first_version(card) for name, card in CARDS.items()
} | {"distilled_dataset_pool": card_with_pool()}


@pytest.mark.parametrize("name", RENDERED)
def test_whole_card(name: str) -> None:
    assert RENDERED[name] == (EXPECTED / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RENDERED)
def test_text_is_tidy(name: str) -> None:
    text = RENDERED[name]
    assert "\n\n\n" not in text
    assert not re.search(r"[ \t]\n", text)
    assert re.search(r"[^\n]\n\Z", text)
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


@pytest.mark.parametrize(
    ("guide", "line"),
    [
        ("none", ""),
        (
            "modes",
            "| Guide | [MGD³](https://arxiv.org/abs/2505.18963): 10 k-means modes a class pull the first 50 % of the "
            "steps, λ = 0.1 |\n",
        ),
        (
            "difficulty",
            "| Guide | The scorer pulls each image to a difficulty of an original image, from 50 % to 100 % of the "
            "steps, by at most 0.3 of a step's standard deviation |\n",
        ),
    ],
)
def test_a_guide_has_a_line_of_its_own(guide: str, line: str) -> None:
    card = full_dataset_card()
    recipe = dataclasses.replace(card.recipe, pool=dataclasses.replace(card.recipe.pool, guide=guide))
    guided, plain = (render_card(one) for one in (dataclasses.replace(card, recipe=recipe), card))
    assert guided.replace(line, "") == plain
    assert line in guided


def test_datasets_reads_its_features_and_sizes_from_the_card() -> None:
    card = full_dataset_card()
    read = DatasetInfosDict.from_dataset_card_data(HubDatasetCard(render_card(card)).data)["default"]
    assert read.features == FEATURES
    assert read.splits is not None
    assert (read.splits["train"].num_examples, read.splits["train"].num_bytes) == (20, 2_000_000)


def test_a_card_with_a_pool_is_the_card_and_its_section() -> None:
    with_it = DatasetInfosDict.from_dataset_card_data(HubDatasetCard(card_with_pool()).data)
    counts = {name: info.splits["train"].num_examples for name, info in with_it.items() if info.splits}
    assert counts == {"default": 20, "pool": 100, "original": 2600}
    plain, section = first_version(full_dataset_card()), pool_section(card_with_pool())
    assert section.startswith("## The pool\n")
    assert with_pool_section(plain, section).split("---\n")[2] == card_with_pool().split("---\n")[2]
    assert with_pool_section(with_pool_section(plain, section), "") == plain
    assert pool_section(plain) == ""


def test_front_matter_of_the_dit_says_what_it_was_made_from() -> None:
    data = HubModelCard(render_card(full_model_card())).data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("facebook/DiT-XL-2-256", "finetune")
    assert (data["library_name"], data["datasets"]) == ("diffusers", ["ILSVRC/imagenet-1k"])
    adapter = HubModelCard(render_card(dataclasses.replace(full_model_card(), pipeline=False))).data.to_dict()
    assert adapter["base_model_relation"] == "adapter"
    assert adapter["library_name"] == "ddgs-hub"  # whose page has no example of diffusers, which cannot load it


def test_front_matter_of_the_scorer_says_how_many_images_it_knows() -> None:
    [result] = HubModelCard(render_card(CARDS["scorer"])).data.eval_results
    assert (result.dataset_type, result.dataset_split, result.metric_value) == ("someone/digits", "train", 98.61)
    nowhere = dataclasses.replace(CARDS["scorer"], datasets=[])
    [result] = HubModelCard(render_card(nowhere)).data.eval_results
    assert result.dataset_type == "digits"


@pytest.mark.parametrize("card", [*CARDS.values(), scored_card(), scores_alone()])
def test_the_hub_finds_the_paper_in_every_card(card: Card) -> None:
    _, text = split_card(render_card(card), "the card")
    assert "arxiv:2507.03331" in arxiv_tags(text.split(HAND_WRITTEN)[0])


@pytest.mark.parametrize("name", ["distilled_dataset_minimal", "dit_minimal", "scorer_minimal"])
def test_a_card_does_not_tell_where_files_lie(name: str) -> None:
    text = render_card(CARDS[name])
    assert "`pictures`" in text
    assert "secret" not in text


def test_a_class_name_cannot_break_a_table() -> None:
    card = full_dataset_card()
    odd = dataclasses.replace(card.classes[0], name="a|b\nc")
    assert "\n| a\\|b c | 3 | 0 |" in render_card(dataclasses.replace(card, classes=[odd]))


def test_evaluation_says_which_accuracy_is_reported() -> None:
    card = full_dataset_card()
    best, last = (render_card(dataclasses.replace(card, reported=which)) for which in ("best", "last"))
    assert "is the *best* of those tests" in best
    assert "is that of the *last* epoch" in last
    assert "*best*" not in last


def test_preset_distribution_is_named() -> None:
    text = render_card(DistilledCard(recipe=imagewoof(sample={"distribution": "cliff", "ipc": 20})))
    assert "follows the preset distribution `cliff`" in text
    assert "distribution of the original images" not in text
    assert 'load_dataset("OWNER/imagewoof-ddgs-ipc20", split="train", revision="VERSION")' in text


@pytest.mark.parametrize("card", [DistilledCard(recipe=imagewoof()), DiTCard(recipe=imagewoof(), name="x")])
def test_a_published_card_has_no_placeholder(card: DistilledCard | DiTCard) -> None:
    text = render_card(card)
    assert "`OWNER` stands for" in text
    named = with_repository(text, "acme/pets", "v2.0.1")
    newest = with_repository(text, "acme/pets")
    assert '"acme/pets", split="train", revision="v2.0.1")' in named or '"acme/pets", revision="v2.0.1")' in named
    assert named.replace(', revision="v2.0.1"', "") == newest
    for published in (named, newest):
        assert "OWNER" not in published
        assert "VERSION" not in published


@pytest.mark.parametrize(
    ("num_rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12 - 1, "100B<n<1T"), (10**13, "n>1T")],
)
def test_size_category(num_rows: int, category: str) -> None:
    assert size_category(num_rows) == category


def test_size_categories_are_those_of_datasets() -> None:
    known = json.loads((Path(datasets.__file__).parent / "utils/resources/size_categories.json").read_text())
    assert [size_category(10**power) for power in range(2, 13)] == [name for name in known if name != "unknown"]


def test_templates_are_found_in_a_wheel_and_in_a_source_checkout() -> None:
    package = Path(__file__).parents[3] / "ddgs_hub"
    assert (package / "hub/cards/model_cards", package.parent / "model_cards") == TEMPLATES


def test_adapter_of_a_shipped_base_names_where_the_base_is() -> None:
    recipe = parse_recipe(
        {
            "name": "d",
            "data": {"original": "digits"},
            "model": {"base": "digits"},
            "hub": {"dataset": "d", "pretty_name": "D"},
        }
    )
    text = render_card(DiTCard(recipe=recipe, name="x", adapter=True))
    assert "\ndit = load_dit(adapter)\n" in text
    assert "BASE" not in text


@pytest.mark.parametrize(("name", "card"), [("scored_dataset", scored_card()), ("scores_alone", scores_alone())])
def test_whole_card_of_a_scored_original(name: str, card: ScoredCard) -> None:
    text = render_card(card)
    assert text == (EXPECTED / f"{name}.md").read_text(encoding="utf-8")
    assert "\n\n\n" not in text
    assert not re.search(r"[ \t]\n", text)
    read = DatasetInfosDict.from_dataset_card_data(HubDatasetCard(text).data)["default"]
    assert (read.features, read.splits[card.split].num_examples) == (card.info.features, card.num_rows)


def test_scores_of_a_local_source_name_no_repository() -> None:
    card = dataclasses.replace(scores_alone(), source="my pictures", commit=None, subset=None, imagenet=False)
    text = render_card(card)
    assert "source_datasets" not in text
    assert "The source is not on the Hub." in text
    assert 'load_dataset("OWNER/my-pictures-difficulty", split="validation", revision="VERSION")' in text
    assert "OWNER" not in with_repository(text, "acme/scores")


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ({"distribution": "quantile"}, "follows the quantiles of the original images, each matched to one image."),
        ({"distribution": "pool"}, "times as large at random, whatever their difficulty for a classifier: the"),
        ({"distribution": "easy"}, "times as large as the easiest for a classifier, to compare"),
        ({"distribution": "curriculum"}, "follows the quantiles of the easiest original images: the more images"),
        ({"distribution": "mixture", "mixture": 0.5}, "a mixture of the pool's distribution and the original images'"),
        ({"distribution": "mixture", "mixture": -0.5}, "moved away from the original images', with α = -0.5."),
        ({"distribution": "mixture", "mixture": -0.5}, "| Target distribution | `mixture`, α = -0.5 |"),
    ],
)
def test_other_targets_are_named(sample: dict[str, Any], expected: str) -> None:
    text = render_card(dataclasses.replace(full_dataset_card(), recipe=imagewoof(sample=sample)))
    assert expected in text
    without_bins = "takes no account of the ten bins" in text
    assert without_bins == (sample["distribution"] != "mixture")
