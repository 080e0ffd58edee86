"""Cards of every kind with all that a card can say, and with as little as it can."""

import dataclasses
from typing import Any

from datasets import ClassLabel, DatasetInfo, Features, Image, SplitDict, SplitInfo, Value
from evaluations import an_evaluation

from ddgs_hub.hub import (
    ClassSelection,
    DistilledCard,
    DiTCard,
    EvaluatedOn,
    ScoredCard,
    ScorerCard,
    model_index,
    render_card,
)
from ddgs_hub.hub.cards import ConfigFiles, render_pool_section, with_pool, with_repository
from ddgs_hub.recipe import Recipe, load_recipe, parse_recipe

TABLE = "| method | best (%) |\n|:--|--:|\n| Random | 29.4 ± 0.8 |\n| ours | **37.4 ± 0.3** |\n"
VERSIONS = {"ddgs-hub": "0.1.0", "diffusers": "0.42.1", "torch": "2.15.0"}
ON_IMAGEWOOF = EvaluatedOn(id="ILSVRC/imagenet-1k", name="ImageWoof", split="validation")
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
        source_datasets=["ILSVRC/imagenet-1k"],
        info=DatasetInfo(features=FEATURES, splits=splits, download_size=1_990_000, dataset_size=2_000_000),
        rows_sha256="0f" * 32,
        classes=[samoyed, beagle],
        figures=["sheet", "difficulty", "distributions"],
        evaluation=TABLE,
        results=model_index([(an_evaluation([[37.1, 36.0], [37.7, 37.0]]), ON_IMAGEWOOF)]),
        command="ddgs-hub run imagewoof --seed 7",
        versions=VERSIONS,
    )


def full_model_card() -> DiTCard:
    return DiTCard(
        recipe=imagewoof(),
        name="imagewoof-dit",
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
    return with_pool(first_version(full_dataset_card()), files, section)


def first_version(card: DistilledCard | DiTCard | ScorerCard) -> str:
    """The card of the first version of someone's repository."""
    return with_repository(render_card(card), f"someone/{card.repository}", "v1.0.0")


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
