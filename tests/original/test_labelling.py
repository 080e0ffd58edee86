"""Which classes of a source are those of a subset: by wnid, by name, by number, by position, or a refusal."""

from collections.abc import Callable, Sequence
from pathlib import Path

import hub_datasets
import pytest
from datasets import ClassLabel
from timm.data import ImageNetInfo

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import parquet_path, read_rows, undecoded
from ddgs_hub.original import SUBSETS, wnids_by_order, write_original

IN1K = ImageNetInfo("imagenet-1k")
WNIDS, NAMES = IN1K.label_names(), IN1K.label_descriptions()
TRAIN = {"train": "train"}
BY_TEXT = sorted(range(1000), key=str)  # how folders 0 … 999 are sorted: 0, 1, 10, 100 …
# Those of a model of 2021, which spells some classes in its own way.
OWN_SPELLING = {134: "crane bird", 452: "poke-bonnet", 517: "construction crane", 638: "tights", 836: "sunglasses"}


def write(folder: Path, names: Sequence[str], *, shows: Sequence[str], split: str = "train") -> Path:
    """One row a class, of which the image says what it truly shows."""
    path = parquet_path(folder, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    images, label = [name.encode() for name in shows], ClassLabel(names=list(names))
    path.write_bytes(hub_datasets.parquet(images, range(len(names)), label, group=len(names)))
    return folder


def taken(source: Path, subset: str, output: Path) -> list[tuple[str, str]]:
    """Of each row that was taken the wnid and what its image shows, in the order of its label."""
    write_original(str(source), output, splits=TRAIN, subset=subset)
    rows = undecoded(read_rows(output)).sort("label")
    assert rows["label"][:] == list(range(10))
    return [(row["wnid"], row["image"]["bytes"].decode()) for row in rows]


def reordered(values: Sequence[str]) -> list[str]:
    return [values[k] for k in BY_TEXT]


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize(
    ("names", "shows"),
    [
        (reordered(WNIDS), reordered(WNIDS)),
        ([f"{wnid}-{k}" for k, wnid in enumerate(WNIDS[::-1])], WNIDS[::-1]),
        (WNIDS[900:] + WNIDS[:900], WNIDS[900:] + WNIDS[:900]),
        (reordered([str(k) for k in range(1000)]), reordered(WNIDS)),
        ([f"{k:04d}" for k in range(1000)][::-1], WNIDS[::-1]),
        (reordered([f"LABEL_{k}" for k in range(1000)]), reordered(WNIDS)),
        ([f"LABEL_{k}" for k in range(1000)], WNIDS),
        ([str(k) for k in range(1001)], ["background", *WNIDS]),
        (["background", *(f"{name}, class {k}" for k, name in enumerate(NAMES))], ["background", *WNIDS]),
    ],
    ids=[
        *("wnids as text sorts numbers", "wnids with names, backwards", "wnids", "numbers as text sorts them"),
        *("numbers backwards", "LABEL_k as text sorts them", "LABEL_k", "numbers with a background"),
        "names with a background",
    ],
)
def test_a_subset_is_found_whatever_the_order(subset: str, names: list[str], shows: list[str], tmp_path: Path) -> None:
    found = taken(write(tmp_path / "in", names, shows=shows), subset, tmp_path / "out")
    assert found == [(wnid, wnid) for wnid in SUBSETS[subset].wnids]


def unique(names: Sequence[str]) -> list[str]:
    """Names of ImageNet's that a ClassLabel takes: "crane" is there twice, and the Hub calls one of them crane2."""
    return [name if name not in names[:k] else f"{name}2" for k, name in enumerate(names)]


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("spelt", ["{}", "{first}", "{first_}", "{upper}"])
def test_names_are_found_in_any_order_and_by_any_synonym(subset: str, spelt: str, tmp_path: Path) -> None:
    names = []
    for name in NAMES:
        first = name.split(",")[0]
        names.append(spelt.format(name, first=first, first_=first.replace(" ", "_"), upper=first.upper()))
    source = write(tmp_path / "in", reordered(unique(names)), shows=reordered(WNIDS))
    assert taken(source, subset, tmp_path / "out") == [(wnid, wnid) for wnid in SUBSETS[subset].wnids]


@pytest.mark.parametrize("subset", SUBSETS)
def test_position_counts_where_the_names_are_imagenets_in_order(subset: str, tmp_path: Path) -> None:
    names = [OWN_SPELLING.get(k, name) for k, name in enumerate(unique(NAMES))]
    source = write(tmp_path / "in", names, shows=WNIDS)
    assert taken(source, subset, tmp_path / "out") == [(wnid, wnid) for wnid in SUBSETS[subset].wnids]


def test_a_name_counts_before_its_position(tmp_path: Path) -> None:
    """Two classes have changed places in a list that is ImageNet's otherwise."""
    names, shows = unique(NAMES), list(WNIDS)
    for values in (names, shows):
        values[258], values[0] = values[0], values[258]
    found = taken(write(tmp_path / "in", names, shows=shows), "imagewoof", tmp_path / "out")
    assert found == [(wnid, wnid) for wnid in SUBSETS["imagewoof"].wnids]


@pytest.mark.parametrize("info", ["imagenet-12k", "imagenet-22k"])
@pytest.mark.parametrize("how", ["wnids backwards", "names in order"])
def test_a_subset_of_a_larger_imagenet(info: str, how: str, tmp_path: Path) -> None:
    known = ImageNetInfo(info)
    wnids = known.label_names()
    names = (
        wnids[::-1]
        if how == "wnids backwards"
        else [f"{name}, {k}" for k, name in enumerate(known.label_descriptions())]
    )
    source = write(tmp_path / "in", names, shows=wnids[::-1] if how == "wnids backwards" else wnids)
    assert taken(source, "imagenette", tmp_path / "out") == [(wnid, wnid) for wnid in SUBSETS["imagenette"].wnids]


def test_ten_folders_called_by_imagenets_index(tmp_path: Path) -> None:
    woof = SUBSETS["imagewoof"]
    indices = sorted(woof.imagenet_indices, key=str)
    source = write(tmp_path / "in", [str(k) for k in indices], shows=[WNIDS[k] for k in indices])
    assert taken(source, "imagewoof", tmp_path / "out") == [(wnid, wnid) for wnid in woof.wnids]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            [f"person {k}" for k in range(1000)],
            "none is clearly 'Australian terrier', class 0 is 'person 0' where ImageNet has 'tench', class 1 is "
            "'person 1' where ImageNet has 'goldfish', class 2 is 'person 2' where ImageNet has 'great white shark'; ",
        ),
        ([str(k) for k in range(1, 1001)], "class 0 is '1' where ImageNet has 'tench'"),
        ([str(k) for k in range(300)], "the 300 classes .* none is clearly"),
        ([str(k) for k in range(11821)], "the 11,821 classes .* class 0 is '0' where ImageNet has 'benthos'"),
        ([f"LABEL_{k}" for k in range(21841)], "the 21,841 classes .* class 0 is 'LABEL_0' where"),
        ([*WNIDS[:193], *WNIDS[194:], "n00000001"], "none is clearly 'Australian terrier'"),
        ([*unique(NAMES)[:-1], "SAMOYEDE"], "'Samoyed, Samoyede' and 'SAMOYEDE' are both 'Samoyed'"),
        (["a", "b"], "the 2 classes .* none is clearly 'Australian terrier', class 0 is 'a' where"),
    ],
    ids=["people", "from 1", "300 of its own", "12k numbers", "22k placeholders", "lacks one", "twice", "two"],
)
def test_what_is_not_clear_is_refused(names: list[str], reason: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in", names, shows=["x"] * len(names))
    with pytest.raises(InputError, match=f"cannot find ImageWoof in .*{reason}.*needs a column 'wnid'"):
        write_original(str(source), tmp_path / "out", splits=TRAIN, subset="imagewoof")


def test_a_synonym_of_two_classes_is_not_guessed(tmp_path: Path) -> None:
    """A "horn" may be a French one or a cornet."""
    names = ["horn" if name.startswith("French horn") else name for name in reordered(unique(NAMES))]
    source = write(tmp_path / "in", names, shows=reordered(WNIDS))
    with pytest.raises(InputError, match="none is clearly 'French horn'"):
        write_original(str(source), tmp_path / "out", splits=TRAIN, subset="imagenette")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", " "], "class 1 of .* has an empty name"),
        (["a", "b\x1b[2J"], "class 1 of .* which is no name"),
        (["a", "b" * 1001], "the class names of .* cannot be used"),
        (["\u00e9", "e\u0301"], "classes 0 and 1 of .* are both called"),
        (["a", "a "], "classes 0 and 1 of .* are both called"),
    ],
    ids=["empty", "control character", "long", "composed and decomposed", "blank"],
)
def test_names_that_no_class_has_are_refused(names: list[str], reason: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in", names, shows=names)
    with pytest.raises(InputError, match=reason):
        write_original(str(source), tmp_path / "out", splits=TRAIN)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["dog", "cat"], r"\(validation\) has 'dog' for class 0, not 'cat' as in .* \(train\)"),
        (["cat", "dog", "eel"], r"\(validation\) has 3 classes, not 2 as in .* \(train\)"),
    ],
)
def test_splits_with_other_classes_are_refused_before_rows_are_read(
    names: list[str], reason: str, tmp_path: Path
) -> None:
    source = write(tmp_path / "in", ["cat", "dog"], shows=["x", "y"])
    write(source, names, shows=names, split="validation")
    with pytest.raises(InputError, match=reason):
        write_original(str(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda names: names[:3], None),
        (lambda names: names[::-1], None),
        (lambda names: [f"person {k}" for k in range(1000)], None),
        (lambda names: [str(k) for k in range(1000)], None),
        (lambda names: [names[1], names[0], *names[2:]], {0: WNIDS[1], 1: WNIDS[0]}),
        (lambda names: [OWN_SPELLING.get(k, name) for k, name in enumerate(names)], {}),
        (lambda names: ["crane", *names[1:]], {}),
        (lambda names: ["maillot", *names[1:638], "a", "b", *names[640:]], {0: None}),
    ],
    ids=["three", "backwards", "people", "numbers", "swapped", "own spelling", "another crane", "ambiguous"],
)
def test_no_class_gets_the_wnid_of_another(
    change: Callable[[list[str]], list[str]], wrong: dict[int, str | None] | None
) -> None:
    expected = None if wrong is None else [wrong.get(k, wnid) for k, wnid in enumerate(WNIDS)]
    assert wnids_by_order(change(list(NAMES))) == expected
