"""Accuracies in the front matter of a card, as huggingface_hub reads them."""

from dataclasses import replace
from pathlib import Path

import pytest
from evaluations import an_evaluation
from hub_server import HubServer
from huggingface_hub import DatasetCard, EvalResult, HfApi
from huggingface_hub.repocard_data import model_index_to_eval_results
from published import REPO, export

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub import EvaluatedOn, add_results, model_index, publish
from ddgs_hub.hub.cards import merge_cards
from ddgs_hub.recipe import Protocol

WOOF = EvaluatedOn(id="org/imagewoof", name="ImageWoof", split="validation", revision="1" * 40)


def read(path: Path) -> dict[str, list[EvalResult]]:
    """What stock huggingface_hub finds in a card, by network."""
    index = DatasetCard.load(path).data["model-index"]
    return {name: results for entry in index for name, results in [model_index_to_eval_results([entry])]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("---\nlicense: other\n---\n# Dogs\n")
    return tmp_path


def test_a_dataset_card_gives_the_same_numbers_back(folder: Path) -> None:
    narrow = an_evaluation([[30, 20], [34, 23]], protocol=Protocol(network="convnet6", width=16, repeats=2))
    default = an_evaluation([[50.123, 40]], ipc=20, seed=3)
    add_results(folder, model_index([(narrow, WOOF), (default, WOOF)]))
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "other"
    assert card.text == "# Dogs\n"
    results = read(folder / "README.md")
    assert list(results) == ["convnet6 of width 16", "resnetap10"]
    best, last = results["convnet6 of width 16"]
    assert (best.metric_value, best.metric_args["std"], best.metric_args["which"]) == (32, 2, "best")
    assert (last.metric_value, last.metric_args["std"], last.metric_args["which"]) == (21.5, 1.5, "last")
    assert (best.dataset_type, best.dataset_name, best.dataset_split) == ("org/imagewoof", "ImageWoof", "validation")
    assert best.dataset_revision == "1" * 40
    assert (best.task_type, best.metric_type) == ("image-classification", "accuracy")
    assert results["resnetap10"][0].metric_value == 50.12
    settings = {"ipc": 20, "image_size": 224, "epochs": 2, "tests": 2, "repeats": 1, "seed": 3}
    assert results["resnetap10"][1].metric_args == {"which": "last", "std": 0, **settings}


def test_a_network_is_there_once_and_the_others_stay(folder: Path) -> None:
    other = an_evaluation([[10.0]], protocol=Protocol(network="resnet18"))
    add_results(folder, model_index([(an_evaluation([[20.0]]), WOOF), (other, WOOF)]))
    add_results(folder, model_index([(an_evaluation([[30.0]]), WOOF)]))
    found = {name: results[0].metric_value for name, results in read(folder / "README.md").items()}
    assert found == {"resnet18": 10, "resnetap10": 30}


def test_a_network_has_the_results_on_all_validation_images(folder: Path) -> None:
    nette = replace(WOOF, id="org/imagenette", name="ImageNette")
    add_results(folder, model_index([(an_evaluation([[20.0]]), WOOF), (an_evaluation([[60.0]]), nette)]))
    [(network, results)] = read(folder / "README.md").items()
    best = [(result.dataset_type, result.metric_value) for result in results if result.metric_args["which"] == "best"]
    assert (network, best) == ("resnetap10", [("org/imagewoof", 20), ("org/imagenette", 60)])


def test_results_of_an_earlier_version_go_with_it(folder: Path) -> None:
    add_results(folder, model_index([(an_evaluation([[20.0]]), WOOF)]))
    assert "model-index" not in merge_cards("---\nlicense: other\n---\nnew", (folder / "README.md").read_text())


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no README\.md that can be read: give the folder of a repository"):
        add_results(tmp_path, [])


def test_results_are_published_with_the_rows(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    run = export(tmp_path)
    entries = model_index([(an_evaluation([[20.0]]), WOOF)])
    add_results(run / "hub" / "tiny-ddgs-ipc2", entries)
    assert publish(run, REPO, api=api).version == "v1.0.0"
    card = api.hf_hub_download(REPO, "README.md", repo_type="dataset", local_dir=tmp_path / "there")
    assert DatasetCard.load(card).data["model-index"] == entries
