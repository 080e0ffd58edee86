"""The figures of a run, of a repository's folder, and of a set that was published with its pool."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from published import REPO, export_with_pool

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows
from ddgs_hub.hub import add_pool, publish
from ddgs_hub.sampling import difficulty_histogram, log_transform
from ddgs_hub.stages import figures_folder, find_rows, make_figures
from ddgs_hub.stages.figures import _Sampled

NAMES = ["difficulty", "distributions", "sheet"]
PICTURES = sorted(f"{name}.{suffix}" for name in NAMES for suffix in ("png", "svg"))


def pictures(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def text_of(folder, name):
    return re.findall(r">([^<>\n]+)</(?:text|tspan)>", (folder / f"{name}.svg").read_text())


def test_a_run_gives_all_figures_and_says_which_classes_it_shows(pooled, tmp_path):
    line = make_figures(find_rows(str(pooled)), tmp_path / "out").text
    assert re.fullmatch(
        r"out/: difficulty, sheet, distributions \(\.png, \.svg\); easiest and hardest class: zero and one",
        line,
    )
    made = pictures(tmp_path / "out")
    assert list(made) == PICTURES
    assert {"original", "distilled", "zero", "one"} <= set(text_of(tmp_path / "out", "sheet"))
    why = {f"{which} of 2 classes by the original's mean difficulty" for which in ("easiest", "hardest")}
    assert why <= set(text_of(tmp_path / "out", "difficulty"))
    assert any("this dataset (IPC 2, scale)" in text for text in text_of(tmp_path / "out", "distributions"))
    assert {"IPC 2", "IPC 10", "IPC 20", "IPC 50", "scale", "cliff"} <= set(text_of(tmp_path / "out", "distributions"))
    make_figures(find_rows(str(pooled)), tmp_path / "out")
    assert pictures(tmp_path / "out") == made


def test_difficulties_are_those_of_the_rows_and_of_their_transformation(pooled):
    distilled, pool = read_rows(pooled / "distilled-ipc2"), read_rows(pooled / "pool")
    [selection, _] = json.loads((pooled / "distilled-ipc2" / "selections.json").read_text())
    original = read_rows(pooled / "original")
    shown = _Sampled(find_rows(str(pooled))).difficulties(0)
    values = np.array(original["difficulty"])[np.array(original["label"]) == 0]
    np.testing.assert_array_equal(shown.before.original, values)
    np.testing.assert_array_equal(shown.after.original, log_transform(values, selection["bottom"], selection["top"]))
    of_class = np.array(distilled["label"]) == 0
    np.testing.assert_array_equal(shown.distilled, np.array(distilled["difficulty"], np.float32)[of_class])
    for rows, after in ((pool, shown.after.pool), (distilled, shown.after.distilled)):
        of_class = np.array(rows["label"]) == 0
        np.testing.assert_array_equal(after, np.array(rows["difficulty_log"], np.float32)[of_class])
    # Drawn without the transformation, the distilled images follow the original as far as the pool has such images.
    drawn = difficulty_histogram(shown.before.distilled)
    assert drawn.sum() == 2
    assert (drawn <= difficulty_histogram(shown.before.pool)).all()


def test_classes_are_chosen_by_name(pooled, tmp_path):
    rows = find_rows(str(pooled))
    assert "; of one" in make_figures(rows, tmp_path / "out", ["one", "one"]).text
    assert {"zero", "one"} & set(text_of(tmp_path / "out", "sheet")) == {"one"}
    assert {"zero", "one"} & set(text_of(tmp_path / "out", "difficulty")) == {"one"}
    assert "1 of 2 classes, as asked for" in text_of(tmp_path / "out", "sheet")
    with pytest.raises(InputError, match="there is no class 'two': choose from zero, one"):
        make_figures(rows, tmp_path / "other", ["two"])
    assert not (tmp_path / "other").exists()


def test_the_ipc_is_found_or_chosen(pooled, tmp_path):
    assert find_rows(str(pooled), 2).sample.ipc == 2
    with pytest.raises(InputError, match=r"run has no distilled-ipc3/: give --ipc 2$"):
        find_rows(str(pooled), 3)
    shutil.copytree(pooled / "distilled-ipc2", pooled / "distilled-ipc10")
    with pytest.raises(InputError, match="run has several distilled sets: give --ipc 2 or --ipc 10"):
        find_rows(str(pooled))
    with pytest.raises(InputError, match="has 2 images a class, not 3: leave out --ipc"):
        find_rows(str(pooled / "hub" / "tiny-ddgs-ipc2"), 3)
    with pytest.raises(InputError, match="has no distilled-ipcN/: finish the run first"):
        find_rows(str(tmp_path))


def test_the_folder_of_a_repository_shows_what_its_run_does(pooled, tmp_path):
    repository = pooled / "hub" / "tiny-ddgs-ipc2"
    make_figures(find_rows(str(pooled)), tmp_path / "of-run")
    make_figures(find_rows(str(repository)), tmp_path / "repository")
    assert pictures(tmp_path / "of-run") == pictures(tmp_path / "repository")
    alone = shutil.copytree(repository, tmp_path / "alone")
    with pytest.raises(InputError, match="alone has no pool and lies in no run folder: give its run"):
        find_rows(str(alone))
    add_pool(repository)
    with_pool = shutil.copytree(repository, tmp_path / "with-pool")
    made = make_figures(find_rows(str(with_pool)), tmp_path / "out")
    assert not made.values["original_images"]
    assert all(Path(picture).is_file() for picture in made.values["pictures"])
    assert made.text.endswith("; the sheet has no original images, only their scores are at hand")
    assert "original" not in text_of(tmp_path / "out", "sheet")
    for name in ("difficulty.png", "distributions.png"):
        assert pictures(tmp_path / "out")[name] == pictures(tmp_path / "of-run")[name]


def test_figures_lie_in_the_run_or_in_a_folder_of_their_own(pooled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert figures_folder(str(pooled)) == pooled / "figures"
    assert str(figures_folder(str(pooled / "hub" / "tiny-ddgs-ipc2"))) == "figures-tiny-ddgs-ipc2"
    assert str(figures_folder(f"{REPO}@v1.0.0")) == "figures-tiny-ddgs-ipc2"
    (tmp_path / "figures-tiny-ddgs-ipc2").mkdir()
    (tmp_path / "figures-tiny-ddgs-ipc2" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="figures-tiny-ddgs-ipc2 is not empty"):
        figures_folder(REPO)


FIGURES = """
import sys
from ddgs_hub.cli.main import main
sys.argv = ["ddgs-hub", "figures", *sys.argv[1:]]
main()
"""


def test_a_published_set_with_its_pool_is_drawn_from_the_hub(hub, api, pooled, tmp_path):
    publish(pooled, REPO, pool=True, api=api)
    make_figures(find_rows(str(pooled)), tmp_path / "of-run")
    folder = tmp_path / "out"
    done = hub.run(FIGURES, f"{REPO}@v1.0.0", "--output", str(folder))
    assert done.returncode == 0, done.stderr
    assert "the sheet has no original images, only their scores are at hand" in done.stdout
    assert list(pictures(folder)) == PICTURES
    for name in ("difficulty.png", "distributions.png"):
        assert pictures(folder)[name] == pictures(tmp_path / "of-run")[name]
    unknown = hub.run(FIGURES, REPO, "--class", "dog", "--output", str(tmp_path / "none"))
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "there is no class 'dog': choose from zero, one" in unknown.stderr


def test_a_set_that_was_published_without_its_pool_is_refused(hub, api, tmp_path):
    publish(export_with_pool(tmp_path / "run"), REPO, api=api)
    done = hub.run(FIGURES, REPO, "--output", str(tmp_path / "out"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "was published without its pool" in done.stderr
    assert not (tmp_path / "out").exists()
