"""Whole cards against the files in expected/; what they say must also be what the libraries read and run."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, DatasetInfo, Features, Image, SplitDict, SplitInfo, Value
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard as HubDatasetCard
from huggingface_hub import ModelCard as HubModelCard

from ddgs_hub.hub import (
    ClassSelection,
    DistilledCard,
    DiTCard,
    ScoredCard,
    ScorerCard,
    render_card,
    render_scored_card,
)
from ddgs_hub.hub.cards.cards import TEMPLATES, render_pool_section, size_category, with_repository
from ddgs_hub.hub.cards.pool import ConfigFiles, pool_section, with_pool, with_pool_section
from ddgs_hub.recipe import Recipe, load_recipe, parse_recipe

EXPECTED = Path(__file__).parent / "expected"
TABLE = "| method | best (%) |\n|:--|--:|\n| Random | 29.4 ± 0.8 |\n| ours | **37.4 ± 0.3** |\n"
VERSIONS = {"ddgs-hub": "0.1.0", "diffusers": "0.42.1", "torch": "2.15.0"}
FEATURES = Features(
    image=Image(),
    label=ClassLabel(names=["Samoyed", "beagle"]),
    wnid=Value("string"),
    pool_index=Value("int64"),
    seed=Value("int64"),
    difficulty=Value("float32"),
    difficulty_log=Value("float32"),
    difficulty_bin=Value("int64"),
)


def imagewoof(**sections: dict[str, Any]) -> Recipe:
    values: dict[str, Any] = {
        "name": "imagewoof",
        "seed": 7,
        "data": {"original": "ILSVRC/imagenet-1k", "revision": "49e2ee2", "subset": "imagewoof"},
        "model": {"revision": "eab87f7"},
        "hub": {
            "dataset": "imagewoof-ddgs-ipc{ipc}",
            "pretty_name": "ImageWoof",
            "note": "ImageNet's terms apply: non-commercial research and education.",
        },
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return parse_recipe(values)


def from_scratch() -> Recipe:
    return parse_recipe(
        {
            "name": "mine",
            "data": {"original": "/home/someone/secret/pictures", "image_size": 32, "flip": False},
            "hub": {"dataset": "mine-ddgs-ipc{ipc}", "pretty_name": "My pictures", "license": "mit"},
            "codec": {"encoder": None, "decoder": None, "training": {"block_out_channels": [8]}},
            "model": {
                "base": None,
                "label_space": "dataset",
                "pretraining": {"hidden_size": 8, "depth": 1, "num_heads": 1},
            },
            "score": {"scorer": None, "training": {"model": "resnet18", "folds": 2}},
            "sample": {"ipc": 1, "distribution": "hill"},
            "evaluate": {"flip": False},
        }
    )


def full_dataset_card() -> DistilledCard:
    samoyed = ClassSelection(
        name="Samoyed",
        bottom=3,
        top=0,
        objective=0.61251,
        target_counts=[1, 0, 1, 0, 3, 3, 1, 0, 0, 1],
        available=[20, 9, 6, 4, 4, 2, 1, 1, 1, 2],
        shortfall=[0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        mean_difficulty=0.18449,
    )
    beagle = ClassSelection(
        name="beagle",
        bottom=0,
        top=1,
        objective=1.5,
        target_counts=[1] * 10,
        available=[37, 4, 3, 2, 1, 1, 1, 1, 0, 0],
        shortfall=[0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
        mean_difficulty=0.25,
        smoothed=True,
    )
    splits = SplitDict({"train": SplitInfo("train", num_bytes=2_000_000, num_examples=20)})
    return DistilledCard(
        recipe=imagewoof(),
        owner="someone",
        version="v1.0.0",
        source_datasets=["ILSVRC/imagenet-1k"],
        info=DatasetInfo(features=FEATURES, splits=splits, download_size=1_990_000, dataset_size=2_000_000),
        rows_sha256="0f" * 32,
        classes=[samoyed, beagle],
        figures=["sheet", "difficulty"],
        evaluation=TABLE,
        command="ddgs-hub run imagewoof --seed 7",
        versions=VERSIONS,
    )


def full_model_card() -> DiTCard:
    return DiTCard(
        recipe=imagewoof(),
        name="imagewoof-dit",
        owner="someone",
        version="v1.0.0",
        license="cc-by-nc-4.0",
        base_model="facebook/DiT-XL-2-256",
        datasets=["ILSVRC/imagenet-1k"],
        class_ids={"Samoyed": 258, "beagle": 162},
        steps=12448,
        adapter=True,
        command="ddgs-hub run imagewoof --seed 7",
        versions=VERSIONS,
    )


def full_scorer_card() -> ScorerCard:
    return ScorerCard(
        recipe=load_recipe("digits"),
        name="digits-ddgs-scorer",
        owner="someone",
        version="v1.0.0",
        datasets=["someone/digits"],
        classes=["zero", "one"],
        fold_accuracies=[0.97, 0.98754, 1.0],
        accuracy=0.98612,
        command="ddgs-hub train-scorer --recipe digits --original original --output scorer",
        versions=VERSIONS,
    )


CARDS: dict[str, DistilledCard | DiTCard | ScorerCard] = {
    "distilled_dataset": full_dataset_card(),
    "distilled_dataset_minimal": DistilledCard(recipe=from_scratch()),
    "dit": full_model_card(),
    "dit_adapter": dataclasses.replace(full_model_card(), pipeline=False),
    "dit_minimal": DiTCard(recipe=from_scratch(), name="mine-dit"),
    "scorer": full_scorer_card(),
    "scorer_minimal": ScorerCard(recipe=from_scratch(), name="mine-scorer"),
}


def card_with_pool() -> str:
    pool = Features({**FEATURES, "selected": Value("bool")})
    scores = Features({name: FEATURES[name] for name in ("label", "difficulty")})
    files = {}
    for name, features, count in (("pool", pool, 100), ("original", scores, 2600)):
        splits = SplitDict({"train": SplitInfo("train", num_bytes=1000 * count, num_examples=count)})
        info = DatasetInfo(features=features, splits=splits, download_size=999 * count, dataset_size=1000 * count)
        files[name] = ConfigFiles(info, "1e" * 32)
    section = render_pool_section("someone/imagewoof-ddgs-ipc10", per_class=50, ipc=20)
    return with_pool(render_card(full_dataset_card()), files, section)


RENDERED = {name: render_card(card) for name, card in CARDS.items()} | {"distilled_dataset_pool": card_with_pool()}


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
    plain, section = render_card(full_dataset_card()), pool_section(card_with_pool())
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
    assert (package / "model_cards", package.parent / "model_cards") == TEMPLATES


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


def scored_card(**changes: Any) -> ScoredCard:
    features = Features(
        image=Image(),
        label=ClassLabel(names=["Samoyed", "beagle"]),
        wnid=Value("string"),
        source_index=Value("int64"),
        difficulty=Value("float32"),
    )
    splits = SplitDict({"train": SplitInfo("train", num_bytes=2_000_000, num_examples=12_454)})
    values: dict[str, Any] = {
        "source": "fastai/imagewoof",
        "commit": "5b" * 20,
        "config": "320px",
        "license": "apache-2.0",
        "scorer": "timm/resnet50.tv_in1k",
        "scorer_commit": "9e" * 20,
        "mean_difficulty": 0.2094,
        "info": DatasetInfo(features=features, splits=splits, download_size=1_990_000, dataset_size=2_000_000),
        "rows_hash": "0f" * 32,
        "figures": ["difficulty"],
        "command": f"ddgs-hub score fastai/imagewoof --config 320px --revision {'5b' * 20} --output scored",
        "versions": VERSIONS,
    }
    return ScoredCard(**{**values, **changes})


def scores_alone() -> ScoredCard:
    """As for ImageNet's."""
    features = Features(scored_card().info.features)
    del features["image"]
    splits = SplitDict({"validation": SplitInfo("validation", num_bytes=20_000, num_examples=500)})
    return scored_card(
        source="ILSVRC/imagenet-1k",
        config=None,
        split="validation",
        subset="imagewoof",
        imagenet=True,
        withheld="ImageNet's terms do not allow them to be passed on",
        scorer="scorer",
        scorer_commit=None,
        folds=3,
        info=DatasetInfo(features=features, splits=splits, download_size=20_000, dataset_size=20_000),
        figures=[],
        command="",
        versions={},
    )


@pytest.mark.parametrize(("name", "card"), [("scored_dataset", scored_card()), ("scores_alone", scores_alone())])
def test_whole_card_of_a_scored_original(name: str, card: ScoredCard) -> None:
    text = render_scored_card(card)
    assert text == (EXPECTED / f"{name}.md").read_text(encoding="utf-8")
    assert "\n\n\n" not in text
    assert not re.search(r"[ \t]\n", text)
    read = DatasetInfosDict.from_dataset_card_data(HubDatasetCard(text).data)["default"]
    assert (read.features, read.splits[card.split].num_examples) == (card.info.features, card.num_rows)


def test_scores_of_a_local_source_name_no_repository() -> None:
    card = dataclasses.replace(scores_alone(), source="my pictures", commit=None, subset=None, imagenet=False)
    text = render_scored_card(card)
    assert "source_datasets" not in text
    assert "The source is not on the Hub." in text
    assert 'load_dataset("OWNER/my-pictures-difficulty", split="validation", revision="VERSION")' in text
    assert "OWNER" not in with_repository(text, "acme/scores")
