"""Accuracies in the front matter of a card, as huggingface_hub reads them."""

import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from clients import environment, run
from evaluations import an_evaluation
from hub_server import HubServer
from huggingface_hub import DatasetCard, EvalResult, HfApi
from huggingface_hub.repocard_data import model_index_to_eval_results
from published import REPO, export

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub import EvaluatedOn, add_results, model_index, publish
from ddgs_hub.hub.cards import merge_cards
from ddgs_hub.recipe import Protocol

ADD = """
import sys
from pathlib import Path
from ddgs_hub.hub import add_results
for number in range(20):
    add_results(Path(sys.argv[1]), [{"name": f"{sys.argv[2]}{number}", "results": []}])
"""
WOOF = EvaluatedOn(id="org/imagewoof", name="ImageWoof", split="validation", revision="1" * 40)


def read(path: Path) -> dict[str, list[EvalResult]]:
    """What stock huggingface_hub finds in a card, by network."""
    index = DatasetCard.load(path).data["model-index"]
    return {name: results for entry in index for name, results in [model_index_to_eval_results([entry])]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dogs"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: other\n---\n# Dogs\n")
    return folder


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


def test_commands_that_add_at_once_lose_nothing_of_each_other(folder: Path) -> None:
    def carry_out(letter: str) -> int:
        return run(["-c", ADD, str(folder), letter], env=environment(), timeout=240).returncode

    with ThreadPoolExecutor() as threads:
        assert list(threads.map(carry_out, "ab")) == [0, 0]
    names = {entry["name"] for entry in DatasetCard.load(folder / "README.md").data["model-index"]}
    assert names == {f"{letter}{number}" for letter in "ab" for number in range(20)}


def test_a_card_that_cannot_be_written_stays_and_leaves_nothing(folder: Path) -> None:
    before = sorted(folder.parent.rglob("*")), (folder / "README.md").read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*README\.md: File too large"):
            add_results(folder, model_index([(an_evaluation([[20.0]]), WOOF)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (sorted(folder.parent.rglob("*")), (folder / "README.md").read_text()) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe", r"README\.md is no text in UTF-8: save it as that"), (b" " * 2**24, "is larger than 8 MB")],
)
def test_a_card_that_is_none_is_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "README.md").write_bytes(content)
    with pytest.raises(InputError, match=message):
        add_results(folder, [])


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
