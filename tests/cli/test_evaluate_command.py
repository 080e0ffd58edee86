"""`ddgs-hub evaluate`: several sets and networks in one call, folders and datasets on the Hub."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from datasets import ClassLabel, Dataset, Features, Image, Value
from hub_server import HubServer
from huggingface_hub import DatasetCard
from published import RECIPE, export, make_rows

from ddgs_hub.cli.results import evaluate as evaluate_command
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import write_rows
from ddgs_hub.original import SUBSETS

EVALUATE = {"network": "convnet1", "width": 2, "image_size": 8, "epochs_scale": 0.002, "evaluations": 1, "repeats": 2}
WOOF = SUBSETS["imagewoof"]


def parquet(rows: Dataset) -> bytes:
    buffer = io.BytesIO()
    rows.to_parquet(buffer)
    return buffer.getvalue()


@pytest.fixture
def place(hub: HubServer, tmp_path: Path) -> Path:
    """A folder with a recipe, `protocol.yaml`; on the Hub are real images, 6 to train on and 4 to test on."""
    (tmp_path / "protocol.yaml").write_text(yaml.safe_dump({**RECIPE, "evaluate": EVALUATE}))
    splits = {"train": make_rows(*range(6)), "validation": make_rows(*range(10, 14))}
    files = {f"data/{split}-00000-of-00001.parquet": parquet(rows) for split, rows in splits.items()}
    hub.add_repository("dataset", "acme/real", files)
    return tmp_path


def evaluate(
    hub: HubServer, place: Path, *arguments: str, sets: Sequence[str] = (), validation: Sequence[str] = ("acme/real",)
) -> CompletedProcess[str]:
    tests = [word for name in validation for word in ("--validation", name)]
    command = ["-m", "ddgs_hub", "evaluate", *sets, "--protocol", "protocol.yaml", *tests]
    return hub.run([*command, *arguments], cwd=place)


def cells(done: CompletedProcess[str]) -> list[list[str]]:
    """The cells of the table that was printed; its second row is the line below the headings."""
    assert done.returncode == 0, done.stderr
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]


def test_sets_and_networks_make_one_table(hub: HubServer, place: Path) -> None:
    repository = str(export(place).relative_to(place) / "hub" / "tiny-ddgs-ipc2")
    done = evaluate(hub, place, "--network", "convnet1", "--network", "convnet2", sets=[repository, "acme/real@main"])
    rows = cells(done)
    assert rows[0] == ["dataset", "network", "IPC", "training images", "best (%)", "last (%)"]
    assert [row[:4] for row in rows[2:]] == [
        [repository, "convnet1 of width 2", "2", "4"],
        ["acme/real@main", "convnet1 of width 2", "3", "6"],
        [repository, "convnet2", "2", "4"],
        ["acme/real@main", "convnet2", "3", "6"],
    ]
    assert "epochs 4, evaluations 1, repeats 2" in done.stdout  # both up to IPC 10


def test_several_validation_sets_make_one_table_and_one_card(hub: HubServer, place: Path) -> None:
    repository = export(place) / "hub" / "tiny-ddgs-ipc2"
    files = {"data/validation-00000-of-00001.parquet": parquet(make_rows(*range(20, 26)))}
    hub.add_repository("dataset", "acme/more", files)
    common = {"sets": [str(repository)], "validation": ["acme/real", "acme/more"]}
    rows = cells(evaluate(hub, place, "--card", "--output", "out", **common))
    assert rows[0] == ["dataset", "tested on", "validation images", "best (%)", "last (%)"]
    assert [row[1:3] for row in rows[2:]] == [["acme/real", "4"], ["acme/more", "6"]]
    kept = json.loads((place / "out" / "results.json").read_text())["evaluations"]
    assert [(one["validation"], one["validation_images"]) for one in kept] == [("acme/real", 4), ("acme/more", 6)]
    [entry] = DatasetCard.load(repository / "README.md").data["model-index"]
    assert [result["dataset"]["type"] for result in entry["results"]] == ["acme/real", "acme/more"]
    assert entry["results"][1]["metrics"][0]["value"] == round(kept[1]["best_mean"], 2)


def write_protocol(place: Path, **data: object) -> None:
    values = {**RECIPE, "data": {**RECIPE["data"], **data}, "evaluate": EVALUATE}
    (place / "protocol.yaml").write_text(yaml.safe_dump(values))


def test_the_recipes_own_validation_images_are_taken_where_none_are_given(hub: HubServer, place: Path) -> None:
    expected = json.loads(evaluate(hub, place, "--json", sets=["acme/real"]).stdout)
    first = hub.repository("dataset", "acme/real").find("main")
    splits = {"train": make_rows(*range(6)), "validation": make_rows(1, 2)}
    files = {f"data/{split}-00000-of-00001.parquet": parquet(rows) for split, rows in splits.items()}
    repository = hub.repository("dataset", "acme/real")
    stored = {path: repository.store(content, lfs=True) for path, content in files.items()}
    repository.commit("refs/heads/main", first, stored, "other images")
    write_protocol(place, original="acme/real", revision=first)
    done = evaluate(hub, place, "--json", sets=["acme/real"], validation=[])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_the_built_in_digits_validate_what_follows_their_recipe(
    hub: HubServer, digits_folder: Path, place: Path
) -> None:
    write_protocol(place, original="digits")
    done = evaluate(hub, place, "--json", "--set", "evaluate.repeats=1", sets=[str(digits_folder)], validation=[])
    assert done.returncode == 0, done.stderr
    [evaluation] = json.loads(done.stdout)["evaluations"]
    assert (evaluation["validation"], evaluation["validation_images"]) == ("digits", 360)


@pytest.mark.parametrize("data", [{"validation_share": 0.5}, {"image_column": "picture"}])
def test_validation_images_that_must_be_prepared_are_not_guessed(
    hub: HubServer, place: Path, data: dict[str, object]
) -> None:
    write_protocol(place, original="acme/real", **data)
    done = evaluate(hub, place, sets=["acme/real"], validation=[])
    assert done.returncode == 2
    [key] = data
    message = f"recipe tiny has data.{key}: give the folder that `ddgs-hub prepare` writes as --validation"
    assert done.stderr == f"ddgs-hub: {message}\n"


def test_robust_scores_are_printed_and_kept(hub: HubServer, place: Path) -> None:
    write_rows(make_rows(*range(6)), place / "real")
    write_rows(make_rows(*range(10, 14)), place / "real", "validation")
    write_rows(make_rows(*range(4)), place / "set")
    sets = ["set"]
    how = ["--robust", "--original", "real", "--set", "evaluate.repeats=3", "--full-accuracy", "75"]
    done = evaluate(hub, place, *how, "--output", "out", "--json", sets=sets, validation=["real"])
    assert done.returncode == 0, done.stderr
    (values,) = json.loads(done.stdout)["robust"]
    assert values == json.loads((place / "out" / "robust.json").read_text())["robust"][0]
    assert values["last"]["full_hard"]["rounds"] == [0.75] * 3
    assert (values["data"], values["labels"], values["rounds"]) == (sets[0], "hard", 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"robust": True}, "robust scores compare with random real images: give --original, where these are"),
        ({"original": "acme/real"}, "--original and --full-accuracy are of robust scores: leave them away, or give"),
        ({"full_accuracy": 90.0}, "--original and --full-accuracy are of robust scores"),
        ({"robust": True, "original": "acme/real", "card": True}, "--robust makes other scores: leave --card away"),
    ],
)
def test_options_that_do_not_go_together(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_command(["acme/real"], "digits", **arguments)


def test_a_width_that_is_set_is_that_of_every_network(hub: HubServer, place: Path) -> None:
    networks = ["--network", "convnet1", "--network", "convnet2", "--set", "evaluate.width=3"]
    done = evaluate(hub, place, *networks, "--json", sets=["acme/real"])
    assert done.returncode == 0, done.stderr
    assert [entry["protocol"]["width"] for entry in json.loads(done.stdout)["evaluations"]] == [3, 3]


def test_what_is_finished_is_kept(hub: HubServer, place: Path) -> None:
    first = evaluate(hub, place, "--json", "--output", "out", sets=["acme/real"])
    results = json.loads(first.stdout)
    assert json.loads((place / "out" / "results.json").read_text()) == results
    [kept] = (place / "out").glob("convnet1-*.json")
    told = json.loads(kept.read_text())
    kept.write_text(json.dumps(told | {"accuracies": [[12.5], [87.5]]}))
    again = evaluate(
        hub, place, "--json", "--output", "out", "--network", "convnet2", "--network", "convnet1", sets=["acme/real"]
    )
    other, same = json.loads(again.stdout)["evaluations"]
    assert same["accuracies"] == [[12.5], [87.5]]  # read, not made again
    assert other["protocol"]["network"] == "convnet2"
    seeded = evaluate(hub, place, "--json", "--output", "out", "--seed", "5", sets=["acme/real"])
    [evaluation] = json.loads(seeded.stdout)["evaluations"]
    assert (evaluation["seed"], evaluation["accuracies"] == same["accuracies"]) == (5, False)


def test_results_stand_in_the_card(hub: HubServer, place: Path) -> None:
    repository = export(place) / "hub" / "tiny-ddgs-ipc2"
    before = (repository / "README.md").read_text()
    done = evaluate(hub, place, "--card", "--json", sets=[str(repository)])
    assert done.returncode == 0, done.stderr
    [evaluation] = json.loads(done.stdout)["evaluations"]
    card = DatasetCard.load(repository / "README.md")
    [entry] = card.data["model-index"]
    [result] = entry["results"]
    assert result["dataset"]["type"] == "acme/real"
    assert len(result["dataset"]["revision"]) == 40
    means = [evaluation["best_mean"], evaluation["last_mean"]]
    assert [metric["value"] for metric in result["metrics"]] == [round(mean, 2) for mean in means]
    assert card.text == DatasetCard(before).text


def test_a_card_names_what_others_find(hub: HubServer, place: Path) -> None:
    repository = export(place) / "hub" / "tiny-ddgs-ipc2"
    write_rows(make_rows(1, 2), place / "real", "validation")
    done = evaluate(hub, place, "--card", sets=[str(repository)], validation=["real"])
    assert done.returncode == 2
    assert "a card names what was tested on so that others find it: give a Hub dataset as --validation" in done.stderr


def test_classes_of_a_subset_are_put_in_its_order(hub: HubServer, place: Path) -> None:
    """Strangers sort ImageWoof by wnid; a distilled set has the paper's order."""
    write_protocol(place, subset="imagewoof")
    for name, wnids in (("sorted", sorted(WOOF.wnids)), ("ours", list(WOOF.wnids))):
        features = Features(image=Image(), label=ClassLabel(names=wnids), seed=Value("int64"))
        pictures = make_rows(*range(10))["image"]
        rows = Dataset.from_dict({"image": pictures, "label": range(10), "seed": range(10)}, features=features)
        files = {f"data/{split}-00000-of-00001.parquet": parquet(rows) for split in ("train", "validation")}
        hub.add_repository("dataset", f"acme/{name}", files)
    done = evaluate(hub, place, "--json", sets=["acme/ours", "acme/sorted"], validation=["acme/sorted"])
    assert done.returncode == 0, done.stderr
    assert [result["num_classes"] for result in json.loads(done.stdout)["evaluations"]] == [10, 10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "vgg"], "unknown network 'vgg': choose convnet"),
        (["--network", "convnet9"], "convnet9 halves an image 9 times, which leaves nothing of 8 px"),
        (["--card"], "acme/real has no README.md that can be read: give the folder of a repository"),
        (["--validation", "acme/other"], "acme/other"),  # behind one that is there
        (["--labels", "soft"], "there are no soft labels in acme/real, which has no column 'soft_label_classes'"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_mistakes_are_said_before_a_network_is_trained(
    hub: HubServer, place: Path, arguments: list[str], message: str
) -> None:
    done = evaluate(hub, place, *arguments, "--quiet", "--output", "out", sets=["acme/real"])
    assert done.returncode == 2
    *progress, last = done.stderr.splitlines()
    assert message in last
    assert all(not line or line.startswith("Generating ") for line in progress), done.stderr
    assert not (place / "out").exists()
