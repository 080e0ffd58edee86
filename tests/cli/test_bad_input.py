"""A tour of bad input through the real command line: one line on stderr, exit code 2, and nothing half-written.

The folder that each command works in holds:

    pool, original     scored rows of two classes, the original with a validation split
    odd/<what>         the pool or the original with one thing wrong
    two, three         scorers of that many classes
    precious.txt       a file, where a folder is asked for
"""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import timm
import yaml
from datasets import ClassLabel, Features, Image, Value
from filelock import FileLock
from PIL import Image as PILImage
from timm.models import save_for_hf

from ddgs_hub.cli import main as cli
from ddgs_hub.core.rows import parquet_path, write_tables
from ddgs_hub.core.staging import hidden_sibling
from ddgs_hub.recipe import load_recipe, values_of_run

NAMES = ["cat", "dog"]
TINY = {
    "name": "tiny",
    "data": {"original": "original", "image_size": 16},
    "codec": {"encoder": None, "decoder": None, "training": {"block_out_channels": [8, 8], "steps": 1}},
    "model": {"base": None, "label_space": "dataset", "pretraining": {"hidden_size": 16, "depth": 1, "num_heads": 2}},
    "score": {"scorer": None, "training": {"model": "test_resnet", "folds": 2}},
    "evaluate": {"network": "convnet1", "image_size": 16, "epochs": 1, "repeats": 1},
    "hub": {"dataset": "tiny", "pretty_name": "Tiny"},
}
Refuse = Callable[..., str]


def encoded(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, *, split: str = "train", names: list[str] = NAMES, drop: str = "", **changed: list) -> None:
    """Eight rows in Hub layout, some columns changed; nothing checks the values."""
    columns: dict[str, list] = {
        "image": [{"bytes": encoded(k), "path": None} for k in range(8)],
        "label": [k % 2 for k in range(8)],
        "difficulty": [k / 8 for k in range(8)],
        **changed,
    }
    features = Features(image=Image(), label=ClassLabel(names=names), difficulty=Value("float32"))
    if isinstance(columns["label"][0], str):
        features["label"] = Value("string")
    columns, kept = ({name: part[name] for name in part if name != drop} for part in (columns, features))
    schema = Features(kept).arrow_schema
    write_tables([pa.table(columns, schema=schema)], Features(kept), parquet_path(folder, split))


def write_scorer(folder: Path, names: list[str]) -> None:
    config = {"label_names": names}
    save_for_hf(timm.create_model("test_resnet", num_classes=len(names)), folder, config, safe_serialization=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder described above."""
    place = tmp_path_factory.mktemp("place")
    corrupt = [{"bytes": encoded(k) if k != 5 else encoded(k)[:60], "path": None} for k in range(8)]
    for name in ("pool", "original"):
        write(place / name)
    write(place / "original", split="validation")
    for column in ("image", "label", "difficulty"):
        write(place / "odd" / f"no-{column}", drop=column)
    for split in ("train", "validation"):
        write(place / "odd" / "label", split=split, label=[0, 1, 0, 7, 0, 1, 0, 1])
        write(place / "odd" / "empty-class", split=split, label=[0] * 8)
        write(place / "odd" / "text-labels", split=split, label=NAMES * 4)
        write(place / "odd" / "corrupt", split=split, image=corrupt)
        write(place / "odd" / "other-classes", split=split, names=["dog", "cat"])
        write(place / "odd" / "three-classes", split=split, names=["cat", "dog", "eel"], label=[0, 1, 2, 0, 1, 2, 0, 1])
    write(place / "odd" / "nan", difficulty=[float("nan"), *[0.5] * 7])
    write_scorer(place / "two", NAMES)
    write_scorer(place / "three", ["ant", "bee", "cow"])
    (place / "no-scorer").mkdir()
    (place / "full").mkdir()
    (place / "full" / "letter.txt").write_text("precious")
    (place / "precious.txt").write_text("precious")
    (place / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (place / "broken.yaml").write_text("name: [tiny\n")
    (place / "unknown-key.yaml").write_text(yaml.safe_dump({**TINY, "pool": {"images": 5}}))
    (place / "wrong-type.yaml").write_text(yaml.safe_dump({**TINY, "pool": {"size": "five"}}))
    (place / "out-of-range.yaml").write_text(yaml.safe_dump({**TINY, "pool": {"guidance_scale": 0.5}}))
    return place


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, hidden ones included, and what is in the files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture
def refuse(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Calls the command line in the place and returns its one line, after seeing that nothing else came of it."""

    def call(command: str, *arguments: str) -> str:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["ddgs-hub", *command.split(), *arguments])
        before = contents(place)
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capfd.readouterr()
        assert (caught.value.code, out) == (2, "")
        line = one_line(err)
        assert contents(place) == before
        return line

    return call


def one_line(stderr: str) -> str:
    assert stderr.count("\n") == 1, stderr
    assert stderr.startswith("ddgs-hub: ")
    assert "Traceback" not in stderr
    return stderr.strip()


class TestCommandLine:
    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("distil", "No such command 'distil'"),
            ("prepare --recipe digits", "Missing option '--output'"),
            ("sample --original original --output out", "Missing option '--pool'"),
            ("run", "Missing argument 'recipe'"),
            ("run digits --ipc 20", "No such option: --ipc"),
            ("run digits --seed one", "Invalid value for '--seed'"),
            ("run digits --seed -1", "'--seed': .*greater than or equal to 0"),
            ("sample --pool pool --original original --output out --ipc 0", "--ipc takes a number of images per class"),
            ("sample --pool pool --original original --output out --weight 2", "'--weight': .*or equal to 1, got '2'"),
            ("sample --pool pool --original original --output out --weight nan", "'--weight'"),
            ("sample --pool pool --original original --output out --seed -1", "'--seed': .*greater than or equal to 0"),
            ("sample --pool pool --original original --output out --distribution valley", "n': 'valley' is not one of"),
            (
                "sample --pool pool --original original --output out --mixture 0.2",
                "--mixture 0.2 has no effect on scale",
            ),
            ("sample --pool pool --original original --output out --divergence js", "'js' is not one of"),
            ("baseline best --original original --output out", "'best' is not one of"),
            ("score original --scorer two --output out --batch-size 0", "'--batch-size'"),
            ("generate --recipe digits --output out --per-class 0", "'--per-class'"),
        ],
    )
    def test_usage(self, refuse: Refuse, command: str, message: str) -> None:
        assert re.search(message, refuse(command))


class TestRecipe:
    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("run imagemeow", "unknown recipe 'imagemeow': choose one of digits, evidence64, imageidc, "),
            ("prepare --recipe imagemeow --output out", "unknown recipe 'imagemeow'"),
            ("run none.yaml", "cannot read recipe none.yaml: No such file"),
            ("run broken.yaml", "recipe broken.yaml is not valid YAML"),
            ("run unknown-key.yaml", r"recipe unknown-key.yaml: unknown key 'pool\.images'; known are size, num_steps"),
            ("run wrong-type.yaml", r"pool\.size: input should be a valid integer.*, got 'five'"),
            ("run out-of-range.yaml", r"pool\.guidance_scale: input should be greater than or equal to 1, got 0\.5"),
            ("run tiny.yaml --set seed=-1", "seed: input should be greater than or equal to 0, got -1"),
            ("run tiny.yaml --set sample.ipc", "--set takes SECTION.KEY=VALUE"),
            ("run tiny.yaml --set sample.ipc=[1", r"--set sample\.ipc=\[1: .* is not valid YAML"),
            ("run tiny.yaml --set sample.ipcs=1", r"unknown key 'sample\.ipcs'"),
            ("evaluate pool --validation original --protocol tiny.yaml --set evaluate.epochs=0", r"evaluate\.epochs: "),
            ("pretrain --original original --recipe imagewoof --output out", "has no model.pretraining section"),
            ("train-scorer --original original --recipe imagewoof --output out", "has no score.training section"),
            ("finetune --original original --recipe tiny.yaml --output out", "has no pretrained base"),
        ],
    )
    def test_one_that_cannot_be_used(self, refuse: Refuse, command: str, message: str) -> None:
        assert re.search(message, refuse(command))


class TestSource:
    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("./nowhere", r"there is no folder \./nowhere"),
            ("no-scorer", "cannot open split 'train' of no-scorer"),
            ("pool", "cannot open split 'validation' of pool"),
            ("odd/no-image", r"odd/no-image \(train\) has no column 'image': it has label, difficulty; name the one"),
            ("odd/no-label", r"odd/no-label \(train\) has no column 'label': it has image, difficulty; name the one"),
            (
                "odd/text-labels",
                r"column 'label' of odd/text-labels .* is Value\('string'\), not a ClassLabel: cast it",
            ),
            ("odd/label", "row 3 of odd/label .* has label 7, outside its 2 classes"),
            ("odd/empty-class", r"class 'dog' of odd/empty-class \(train\) has no image"),
        ],
    )
    def test_one_that_cannot_be_used(self, refuse: Refuse, source: str, message: str) -> None:
        assert re.search(message, refuse("prepare --recipe tiny.yaml --output out --original", source))

    def test_a_subset_that_is_not_in_it(self, refuse: Refuse) -> None:
        line = refuse("prepare --recipe imagewoof --original original --output out")
        assert "cannot find ImageWoof in the 2 classes of original (train)" in line


class TestScore:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ("./nowhere", "there is no folder ./nowhere"),
            ("original --split test", "split 'test' of original: it has train, validation"),
            ("odd/no-image", "no column 'image'"),
            ("odd/no-label", "no column 'label'"),
            ("odd/text-labels", "not a ClassLabel"),
            ("odd/label", "row 3 .*has label 7, outside its 2 classes"),
            ("odd/corrupt", "the image of row 5 cannot be decoded"),
            ("original --subset imagemeow", "unknown subset 'imagemeow'"),
            ("original --subset imagewoof", "cannot find ImageWoof in the 2 classes of original"),
            ("odd/three-classes", "two has 2 classes, fewer than the 3 of the dataset"),
        ],
    )
    def test_a_dataset_that_cannot_be_scored(self, refuse: Refuse, data: str, message: str) -> None:
        assert re.search(message, refuse("score --scorer two --output out", *data.split()))

    @pytest.mark.parametrize(
        ("scorer", "message"),
        [
            ("three", "class 'cat' is none of the 3 classes of three"),
            ("./nowhere", r"there is no folder \./nowhere"),
            ("no-scorer", "no-scorer has no readable config.json"),
            ("pool", "pool has no readable config.json"),
        ],
    )
    def test_a_scorer_that_does_not_fit(self, refuse: Refuse, scorer: str, message: str) -> None:
        assert re.search(message, refuse("score original --output out --scorer", scorer))


class TestSample:
    @pytest.mark.parametrize(
        ("pool", "original", "message"),
        [
            ("nowhere", "original", "'nowhere' is neither a folder nor OWNER/NAME"),
            ("odd/no-difficulty", "original", "the pool has no column 'difficulty': it has image, label"),
            ("pool", "odd/no-difficulty", "the original dataset has no column 'difficulty'"),
            ("odd/no-label", "original", "the pool has no column 'label'"),
            ("odd/label", "original", "row 3 of split 'train' of odd/label has label 7, outside its 2 classes"),
            ("pool", "odd/label", "row 3 of split 'train' of odd/label has label 7"),
            ("odd/nan", "original", "row 0 of the pool has difficulty nan"),
            ("odd/three-classes", "original", "different classes"),
            ("odd/empty-class", "original", "class 'dog' has 0 images in the pool, fewer than IPC 2"),
            ("pool", "odd/empty-class", "class 'dog' has no image in the original dataset"),
        ],
    )
    def test_rows_that_cannot_be_sampled(self, refuse: Refuse, pool: str, original: str, message: str) -> None:
        line = refuse(f"sample --ipc 2 --output out --pool {pool} --original {original}")
        assert re.search(message, line)

    def test_a_pool_smaller_than_ipc(self, refuse: Refuse) -> None:
        line = refuse("sample --ipc 5 --output out --pool pool --original original")
        assert "class 'cat' has 4 images in the pool, fewer than IPC 5: enlarge the pool" in line


class TestOtherStages:
    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("baseline herding --original original --output out", "herding needs the features .* give --scorer"),
            ("baseline random --ipc 5 --original original --output out", "cat has 4 images, fewer than the 5"),
            ("baseline dm --original original --output out", "dm learns its images as a recipe says: give --recipe"),
            (
                "baseline idc-1 --recipe digits --scorer two --original original --output out",
                "idc-1 uses no classifier: leave --scorer away",
            ),
            (
                "baseline random --recipe digits --original original --output out",
                "random selects real images, whatever the recipe: leave --recipe and --set away",
            ),
            (
                "baseline dm --recipe digits --ipc 5 --original original --output out",
                "cat has 4 images, fewer than the",
            ),
            ("baseline random --ipc 1 --original odd/empty-class --output out", "dog has 0 images"),
            (
                "baseline random --ipc 1 --original odd/label --output out",
                "row 3 of split 'train' of odd/label has label 7, outside",
            ),
            (
                "evaluate odd/corrupt --validation original --protocol tiny.yaml",
                "the image of row 5 .* cannot be decoded",
            ),
            ("evaluate pool --validation odd/corrupt --protocol tiny.yaml", "row 5 of the validation images cannot be"),
            ("evaluate pool --validation odd/other-classes --protocol tiny.yaml", "must mean the same class in both"),
            ("evaluate pool --validation pool --protocol tiny.yaml", "pool has no split 'validation'"),
            (
                "evaluate odd/label --validation original --protocol tiny.yaml",
                "row 3 of split 'train' of odd/label has label 7",
            ),
            ("train-scorer --original odd/empty-class --recipe tiny.yaml --output out", "class 'dog'"),
            ("train-scorer --original odd/corrupt --recipe tiny.yaml --output out", "the image of row 5 cannot be"),
            ("pretrain --original odd/corrupt --recipe tiny.yaml --output out", "the image of row 5 cannot be decoded"),
            ("pretrain --original odd/label --recipe tiny.yaml --output out", "row 3 .*has label 7"),
            ("finetune --original original --base pool --recipe tiny.yaml --output out", "cannot load a DiT from pool"),
            (
                "finetune --original original --base no.pt --recipe tiny.yaml --output out",
                "there is no checkpoint no.pt",
            ),
            ("generate --recipe tiny.yaml --dit pool --output out", "pool has no classes.json"),
            ("figures nowhere", "'nowhere' is neither a folder nor OWNER/NAME"),
            ("figures pool", "pool has no distilled-ipcN/: finish the run first"),
        ],
    )
    def test_refuses(self, refuse: Refuse, command: str, message: str) -> None:
        assert re.search(message, refuse(command))


class TestOutput:
    WRITERS = (
        "prepare --recipe digits",
        "score original --scorer two",
        "sample --ipc 2 --pool pool --original original",
        "baseline random --ipc 2 --original original",
    )

    @pytest.mark.parametrize("command", WRITERS)
    @pytest.mark.parametrize(
        ("output", "message"),
        [
            ("precious.txt", "cannot write precious.txt: it is a file; choose another --output"),
            ("precious.txt/out", "cannot write precious.txt/out: .*; choose another --output"),
            ("full", "full is not empty: choose another --output, or remove it"),
            ("original", "original is not empty: choose another --output, or remove it"),
            (".", r"\. is not empty: choose another --output, or remove it"),
        ],
    )
    def test_that_is_taken_or_cannot_be_written(self, refuse: Refuse, command: str, output: str, message: str) -> None:
        assert re.search(message, refuse(command, "--output", output))


class TestRunFolder:
    @pytest.mark.parametrize("output", ["precious.txt", "precious.txt/run"])
    def test_that_cannot_be_written(self, refuse: Refuse, output: str) -> None:
        assert re.search(f"cannot write {output}: .*; choose another --output", refuse("run digits --output", output))

    def test_of_another_recipe(self, refuse: Refuse, place: Path) -> None:
        folder = place / "another"
        folder.mkdir()
        recipe = values_of_run(load_recipe("digits"))
        (folder / "recipe.yaml").write_text(yaml.safe_dump({"recipe": recipe, "versions": {}}))
        (folder / "stages.json").write_text('{"original": {"made": "rows", "seconds": 1}}')
        line = refuse("run digits --output another --set sample.weight=0.25")
        assert "another belongs to another recipe (sample.weight is 0.5 there, 0.25 here): choose another" in line

    def test_that_another_run_works_in(self, refuse: Refuse, place: Path) -> None:
        with FileLock(hidden_sibling(place / "busy", "lock")):
            line = refuse("run digits --output busy")
        assert "another command works in busy: wait until it is done, or give another folder" in line


class TestProcess:
    """The same as a process of its own: what libraries print when they are loaded would show here."""

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("run imagemeow", "unknown recipe 'imagemeow'"),
            ("score odd/corrupt --scorer two --output out", "the image of row 5 cannot be decoded"),
        ],
    )
    def test_one_line_and_exit_code_2(self, place: Path, command: str, message: str) -> None:
        before = contents(place)
        python = [sys.executable, "-m", "ddgs_hub", *command.split()]
        done = subprocess.run(python, cwd=place, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in one_line(done.stderr)
        assert contents(place) == before
