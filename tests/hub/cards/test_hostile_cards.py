"""Cards in which every text is a stranger's: all of it is read as text, and the front matter says what it says."""

import dataclasses
import json
from typing import Any

import pytest
from datasets import ClassLabel, DatasetInfo, Features, Image, Value
from example_cards import CARDS, card_with_pool, from_scratch, full_dataset_card, imagewoof, scored_card, scores_alone
from markdown_it import MarkdownIt

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import split_card
from ddgs_hub.core.text import printable
from ddgs_hub.hub import ClassSelection, DistilledCard, DiTCard, PublishedPool, ScoredCard, ScorerCard
from ddgs_hub.hub.cards import HAND_WRITTEN, merge_cards, render_card, render_pool_section, with_pool_section
from ddgs_hub.hub.cards.merging import MARK
from ddgs_hub.recipe import Recipe

HOSTILE = [
    "a\n\n# Q heading\n",
    "a|b|c",
    "`a` ``` \n```\n~~~",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "a](javascript:alert(1)) ![x](http://203.0.113.1/a.png) [b]: http://203.0.113.1",
    "{{ 7*7 }}{% for x in y %}",
    "---\nlicense: mit\n---\n",
    ": & * # - a: b",
    "- a",
    f"a\n{HAND_WRITTEN}\nb",
    "\x1b[2J\u202eabc\x00\u2028d",
    '"); import os; ("',
    "x" * 5000,
]
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HARMLESS = {"<code>", "</code>", HAND_WRITTEN}


def hostile_recipe(recipe: Recipe, text: str) -> Recipe:
    """The recipe with this text wherever it may have any."""
    hub = dataclasses.replace(recipe.hub, pretty_name=text, license=text, note=text)
    data = dataclasses.replace(
        recipe.data, original=text, config=text, revision=text, train_split=text, validation_split=text
    )
    codec = dataclasses.replace(recipe.codec, encoder=recipe.codec.encoder and text)
    model = dataclasses.replace(recipe.model, base=recipe.model.base and text, revision=text)
    training = recipe.score.training
    if training:
        training = dataclasses.replace(training, model=text, model_args={text: text})
    score = dataclasses.replace(recipe.score, scorer=recipe.score.scorer and text, revision=text, training=training)
    return dataclasses.replace(recipe, hub=hub, data=data, codec=codec, model=model, score=score)


def dataset_card(text: str) -> DistilledCard:
    card = full_dataset_card()
    row = {field.name: getattr(card.classes[0], field.name) for field in dataclasses.fields(ClassSelection)}
    return dataclasses.replace(
        card,
        recipe=hostile_recipe(card.recipe, text),
        source_datasets=[text],
        info=DatasetInfo(
            features=Features({"image": Image(), "label": ClassLabel(names=[text, "b"]), text: Value("string")}),
            splits=card.info and card.info.splits,
        ),
        classes=[ClassSelection(**{**row, "name": text})],
        figures=["sheet", text],
        command=text,
        versions={text: text},
        published_pool=PublishedPool(repo_id=text, commit=text, per_class=9),
    )


def model_card(text: str, recipe: Recipe) -> DiTCard:
    return DiTCard(
        recipe=hostile_recipe(recipe, text),
        name=text,
        license=text,
        license_name=text,
        license_link=text,
        base_model=text,
        datasets=[text],
        class_ids={text: 1},
        steps=3,
        adapter=True,
        command=text,
        versions={text: text},
    )


def scorer_card(text: str) -> ScorerCard:
    return ScorerCard(
        recipe=hostile_recipe(from_scratch(), text),
        name=text,
        datasets=[text],
        classes=[text, "b"],
        fold_accuracies=[0.5],
        accuracy=0.5,
        command=text,
        versions={text: text},
    )


def hostile_scored(text: str, card: ScoredCard) -> ScoredCard:
    features = Features({**card.info.features, "label": ClassLabel(names=[text, "b"]), text: Value("string")})
    info = DatasetInfo(features=features, splits=card.info.splits)
    texts = dict.fromkeys(("source", "commit", "config", "license", "scorer", "scorer_commit", "command"), text)
    withheld = text if card.withheld else ""
    return dataclasses.replace(
        card, **texts, info=info, withheld=withheld, figures=[text], versions={text: text}, subset=None
    )


KINDS: dict[str, Any] = {
    "distilled": lambda text: render_card(dataset_card(text)),
    "dit": lambda text: render_card(model_card(text, imagewoof())),
    "dit from scratch": lambda text: render_card(model_card(text, from_scratch())),
    "scorer": lambda text: render_card(scorer_card(text)),
    "scored": lambda text: render_card(hostile_scored(text, scored_card())),
    "scores": lambda text: render_card(hostile_scored(text, scores_alone())),
}
# With a text that does nothing: the same blocks must come of any other.
PLAIN = "Samoyed"


def blocks(text: str) -> list[tuple[str, str]]:
    """What a body is made of, but for the words: and addresses, of which only ours may be there."""
    found = []
    for token in MARKDOWN.parse(text):
        found.append((token.type, token.tag))
        for child in token.children or ():
            if child.type in ("link_open", "image"):
                found.append((child.type, str(child.attrGet("href") or str(child.attrGet("src")).partition("/")[0])))
            elif child.type not in ("text", "code_inline", "softbreak", "html_inline"):
                found.append((child.type, child.tag))
            assert child.type != "html_inline" or child.content in HARMLESS, child.content
        assert token.type != "html_block" or token.content.strip() in HARMLESS, token.content
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", HOSTILE)
def test_every_text_of_a_card_is_text(kind: str, text: str) -> None:
    card = KINDS[kind](text)
    metadata, body = split_card(card, "the card")
    plain_metadata, plain_body = split_card(KINDS[kind](PLAIN), "the card")
    assert blocks(body) == blocks(plain_body)
    assert metadata.keys() == plain_metadata.keys()
    assert printable(body) == body
    assert len(MARK.findall(body)) == 1
    names = [feature for feature in metadata.get("dataset_info", {}).get("features", ()) if feature["name"] == text]
    assert len(names) == ("dataset_info" in metadata)  # as it is, or the column would not be found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hand_written_parts_stay_below_their_line(kind: str, text: str) -> None:
    mine = f"## Mine\n\n{HAND_WRITTEN} is a line of yours.\n"
    published = f"{KINDS[kind](text)}\n{mine}"
    merged = merge_cards(KINDS[kind](text), published)
    assert merged.endswith(f"\n{HAND_WRITTEN}\n\n{mine}")
    assert merged.count("## Mine") == merged.count("## Citation") == 1
    assert merge_cards(KINDS[kind](text), merged) == merged


@pytest.mark.parametrize("text", HOSTILE)
def test_the_section_on_the_pool(text: str) -> None:
    card = full_dataset_card()
    sections = [render_pool_section(name, per_class=5, ipc=2) for name in (text, PLAIN)]
    hostile, plain = (split_card(with_pool_section(render_card(card), section), "it")[1] for section in sections)
    assert blocks(hostile) == blocks(plain)


# A card that is on the Hub

GENERATED = render_card(CARDS["distilled_dataset"])
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 30))
FRONT_MATTERS = {
    "a bomb": BOMB,
    "tags of a bomb": f"{BOMB}tags: [*a29]\n",
    "an alias of itself": "a: &a [*a]\n",
    "nested deeply": f"a: {'[' * 500}{']' * 500}\n",
    "nested very deeply": f"a: {'[' * 100_000}\n",
    "a list in a list": "- " * 5000 + "a\n",
    "a key that is a number": "1: a\n",
    "a key that is nothing": "null: a\n",
    "a key that is a list": "? [a]\n: b\n",
    "no date": "a: 2024-99-99\n",
    "no time": "a: !!timestamp x\n",
    "no number": "a: !!int x\n",
    "a number of 5,000 digits": f"a: {'9' * 5000}\n",
    "Python": "a: !!python/object/apply:os.system [id]\n",
    "a megabyte of anchors": "".join(f"a{k}: &b{k} x\n" for k in range(90_000)) + "a: [\n",
    "too large": "a: " + "x" * 2**23 + "\n",
}


@pytest.mark.parametrize("name", FRONT_MATTERS)
def test_a_front_matter_that_does_harm_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(InputError, match="the card on the Hub ") as refused:
        merge_cards(GENERATED, f"---\n{FRONT_MATTERS[name]}---\n# Theirs\n")
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "front_matter",
    [
        "configs:\n- config_name: [a, b]\n  data_files: x\n- 3\n- config_name: {a: b}\n",
        "configs: 3\ntags: {a: b}\ndataset_info: text\n",
        "tags: [1, null, [a], {b: c}]\n",
        "a: &a [x]\nb: *a\n",
        'a: "\\e[2J"\nlicense: [a]\n',
    ],
)
def test_odd_front_matters_are_merged(front_matter: str) -> None:
    merged = merge_cards(GENERATED, f"---\n{front_matter}---\n# Theirs\n")
    metadata, body = split_card(merged, "the card")
    assert metadata["configs"][0]["config_name"] == "default"
    assert body.endswith("# Theirs\n")
    assert merge_cards(GENERATED, merged) == merged
    assert json.dumps(metadata, default=str)


def test_a_card_with_a_pool_takes_the_section_as_it_is() -> None:
    assert merge_cards(card_with_pool(), card_with_pool()).count("## The pool") == 1
