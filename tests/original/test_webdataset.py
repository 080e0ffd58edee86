"""WebDatasets on the Hub: whose classes `cls` counts, and what is said of shards that are malformed."""

from pathlib import Path

import pytest
import yaml
from datasets import ClassLabel, Features, Image, Value
from hub_datasets import IMAGES, WNIDS, read, shard
from hub_server import HubServer
from timm.data import ImageNetInfo

from ddgs_hub.core.errors import InputError
from ddgs_hub.original import open_source

LABELS = [0, 1, 1, 0, 1, 0, 0, 1]  # more than datasets looks at to find the features


def samples(*labels: int | str) -> bytes:
    return shard((key, IMAGES[key], label) for key, label in enumerate(labels))  # type: ignore[misc]


def card(*names: str) -> bytes:
    facts = {"filename": Value("string"), "height": Value("int64"), "label": Value("int64"), "width": Value("int64")}
    features = Features(
        {
            "jpg": Image(),
            "cls": ClassLabel(names=list(names)),
            "json": facts,
            "__key__": Value("string"),
            "__url__": Value("string"),
        }
    )
    front_matter = yaml.safe_dump({"dataset_info": {"features": features._to_yaml_list()}})
    return f"---\n{front_matter}---\n".encode()


def test_the_classes_are_those_that_the_files_tell_of(hub: HubServer) -> None:
    beyond = [*LABELS, 11_820]
    repositories = {
        "acme/pets": ({"train-0.tar": samples(*LABELS), "README.md": card("cat", "dog")}, LABELS, ["cat", "dog"]),
        "acme/imagenet1k-pets": ({"train-0.tar": samples(*LABELS), "README.md": card("cat", "dog")}, LABELS, None),
        "acme/shards": ({"imagenet1k-train-0.tar": samples(*LABELS)}, LABELS, WNIDS),
        "timm/imagenet-1k-wds": ({"train-0.tar": samples(*LABELS)}, LABELS, WNIDS),
        "timm/imagenet-12k-wds": (
            {"imagenet12k-train-0.tar": samples(*beyond)},
            beyond,
            ImageNetInfo("imagenet-12k").label_names(),
        ),
    }
    for name, (files, _, _) in repositories.items():
        hub.add_repository("dataset", name, files)
    results = read(hub, *({"source": name} for name in repositories))
    for result, (_, labels, names) in zip(results, repositories.values(), strict=True):
        assert (result.get("label"), result["names"]) == (labels, names or ["cat", "dog"]), result


def test_classes_that_nothing_names(hub: HubServer) -> None:
    hub.add_repository("dataset", "acme/pets", {"train-0.tar": samples(*LABELS)})
    hub.add_repository("dataset", "acme/mini-imagenet", {"train-0.tar": samples(*LABELS)})
    for result in read(hub, {"source": "acme/pets"}, {"source": "acme/mini-imagenet"}):
        assert result["error"].startswith("nothing says which classes column 'cls' of acme/")
        assert result["error"].endswith("declare it in the card's dataset_info as a class_label with their names")


def test_the_cache_of_datasets_has_the_same_names(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repository("dataset", "acme/imagenet-1k-wds", {"train-0.tar": samples(*LABELS)})
    load = "from datasets import load_dataset; load_dataset('acme/imagenet-1k-wds')"
    assert hub.run(load, home=tmp_path).returncode == 0
    (result,) = read(hub, {"source": "acme/imagenet-1k-wds"}, home=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    assert (result.get("label"), result.get("names")) == (LABELS, WNIDS), result


CLASSES = "row 10 of {} (train) has label {}, outside its {} classes: mend that row"
NO_INTEGER = (
    "sample {} of {} of {} (train) is malformed: invalid literal for int() with base 10: b'{}'; mend that sample"
)
FIRST, SECOND = "in1k-train-0.tar", "in1k-train-1.tar"


@pytest.mark.parametrize("subset", [None, "imagewoof"])
def test_malformed_shards(hub: HubServer, subset: str | None) -> None:
    two = {"README.md": card("cat", "dog")}
    cases = [
        ({FIRST: samples(*LABELS, 0, 0, 1000)}, CLASSES.format("acme/0", 1000, 1000)),
        ({FIRST: samples(*LABELS, 0, 0, -1)}, CLASSES.format("acme/1", -1, 1000)),
        ({FIRST: samples(*LABELS), SECOND: samples(0, 0, 1000)}, CLASSES.format("acme/2", 1000, 1000)),
        ({FIRST: samples(0, "dog", 1)}, NO_INTEGER.format(1, FIRST, "acme/3", "dog")),
        ({FIRST: samples(*LABELS, "dog")}, NO_INTEGER.format(8, FIRST, "acme/4", "dog")),
        ({FIRST: samples(*LABELS), SECOND: samples(0, 1, "")}, NO_INTEGER.format(2, SECOND, "acme/5", "")),
        ({FIRST: shard([])}, "cannot read acme/6 (train): "),
        ({FIRST: samples(*LABELS)[:700]}, "cannot read acme/7 (train): unexpected end of data; check its files"),
    ]
    if subset is None:
        cases.append(({**two, FIRST: samples(*LABELS, 0, 0, 2)}, CLASSES.format("acme/8", 2, 2)))
    for number, (files, _) in enumerate(cases):
        hub.add_repository("dataset", f"acme/{number}", files)
    results = read(hub, *({"source": f"acme/{number}", "subset": subset} for number in range(len(cases))))
    for result, (_, message) in zip(results, cases, strict=True):
        assert result["error"].startswith(message)


def test_no_answer_is_left_open_for_the_garbage_collector(hub: HubServer) -> None:
    hub.add_repository("dataset", "acme/in1k", {FIRST: samples(*LABELS)})
    look = """
import gc
from huggingface_hub.hf_file_system import HfFileSystemStreamFile
from ddgs_hub.original import open_source
gc.disable()
opened = open_source("acme/in1k", "train")
streams = [found for found in gc.get_objects() if isinstance(found, HfFileSystemStreamFile)]
print(sum(not stream.response.is_closed for stream in streams))
"""
    done = hub.run(look)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


DAMAGED = {
    "a damaged header": lambda whole: whole[:4608] + b"x" * 512 + whole[5120:],
    "cut at a header": lambda whole: whole[:4608],
    "cut in a header": lambda whole: whole[:4808],
    "two in one": lambda whole: whole + whole,
}


@pytest.mark.parametrize("how", DAMAGED)
def test_no_sample_is_lost_without_a_word(tmp_path: Path, how: str) -> None:
    """Tarfile takes what it cannot read for the end."""
    whole = samples(*LABELS)
    assert whole[4608:4614] == b"000001"  # a header
    (tmp_path / "README.md").write_bytes(card("cat", "dog"))
    (tmp_path / "train-0.tar").write_bytes(whole)
    assert sum(len(batch.row_numbers) for batch in open_source(str(tmp_path), "train").read()) == len(LABELS)
    (tmp_path / "train-0.tar").write_bytes(DAMAGED[how](whole))
    with pytest.raises(InputError, match=r"cannot read .* \(train\)"):
        list(open_source(str(tmp_path), "train").read())


@pytest.mark.parametrize("label", ["1_0", "+1", "\t1\x0b", "\N{FULLWIDTH DIGIT ONE}"])
def test_what_only_python_takes_for_a_number_is_no_class(tmp_path: Path, label: str) -> None:
    (tmp_path / "README.md").write_bytes(card(*(str(k) for k in range(20))))
    (tmp_path / "train-0.tar").write_bytes(samples(0, 1, label))
    with pytest.raises(InputError, match=r"sample 2 of train-0.tar of .* is malformed"):
        list(open_source(str(tmp_path), "train").read())
