"""What the page of a pool shows, without a browser: opening, sampling, the gallery, its words and what is saved."""

import json
import re
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest
from explored import HOSTILE, hostile_run
from published import REPO, TOKEN, export_with_pool

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.hub import add_pool, publish
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling import log_transform
from ddgs_hub.sampling.datasets import distill_columns
from ddgs_hub.stages.explore import open_explored
from ddgs_hub.stages.explore import words as page_words
from ddgs_hub.stages.explore.drawing import histograms
from ddgs_hub.stages.explore.gallery import LEFT_OUT, ORIGINAL, PER_PAGE, POOL, SELECTED, Gallery
from ddgs_hub.stages.explore.images import Thumbnails
from ddgs_hub.stages.explore.sampled import Sampler, bin_facts
from ddgs_hub.stages.explore.saving import publish_line, sample_line, save, save_and_publish

# What a user does on the page of a published pool: choose another IPC, and publish what comes of it.
PUBLISH = """
import json, sys
from dataclasses import replace
from ddgs_hub.core.errors import InputError
from ddgs_hub.stages.explore import open_explored
from ddgs_hub.stages.explore.gallery import POOL, Gallery
from ddgs_hub.stages.explore.sampled import Sampler
from ddgs_hub.stages.explore.saving import sample_line, save_and_publish

opened = open_explored(sys.argv[1])
sample = replace(opened.sample, ipc=4)
classes = Sampler(opened.scores).classes([0, 1], sample, 1)
page = Gallery(opened).page(POOL, classes, sample, 1)
said = []
for repo in sys.argv[2:]:
    try:
        said.append(save_and_publish(opened, sample, 1, "chosen", repo, private=False))
    except InputError as error:
        said.append(str(error))
print(json.dumps([[opened.pool, opened.original, opened.name, page.total], sample_line(opened, sample, 1, "x"), said]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return export_with_pool(tmp_path_factory.mktemp("explored") / "run")


@pytest.fixture(scope="module")
def opened(run):
    return open_explored(str(run))


def test_of_settings_with_auto_it_begins_with_scale(run, tmp_path):
    shutil.copytree(run, tmp_path / "auto")
    path = tmp_path / "auto" / "distilled-ipc2" / "sampling.json"
    sampling = json.loads(path.read_text())
    sampling["sample"]["distribution"] = "auto"
    path.write_text(json.dumps(sampling))
    assert open_explored(str(tmp_path / "auto")).sample.distribution == "scale"


def test_a_run_its_repository_and_a_pool_with_its_original_open_alike(run, opened, tmp_path):
    assert opened.sample == SampleSettings(ipc=2)
    assert (opened.seed, opened.most_ipc, opened.name) == (3, 8, "run")
    in_hub = open_explored(str(run / "hub" / "tiny-ddgs-ipc2"))
    assert (in_hub.pool, in_hub.original, in_hub.seed) == (str(run / "pool"), str(run / "original"), 3)
    alone = open_explored(str(run / "pool"), str(run / "original"))
    assert (alone.sample.ipc, alone.seed) == (8, 0)  # nothing says how it was sampled; no class has ten images
    repository = tmp_path / "repository"
    shutil.copytree(run, tmp_path / "run")
    add_pool(tmp_path / "run" / "hub" / "tiny-ddgs-ipc2", repository)
    published = open_explored(str(repository))
    assert (published.pool, published.original, published.images) == (str(repository), None, None)
    assert (published.sample.ipc, published.seed) == (2, 3)
    for other in (in_hub, alone, published):
        np.testing.assert_array_equal(other.scores.difficulty, opened.scores.difficulty)


def test_what_cannot_be_opened_is_said(run, tmp_path):
    with pytest.raises(InputError, match="is a pool without its scored original: give --original"):
        open_explored(str(run / "pool"))
    with pytest.raises(InputError, match="holds no scored pool: give a folder that `ddgs-hub score` wrote"):
        open_explored(str(tmp_path))
    shutil.copytree(run, tmp_path / "run")
    write_rows(read_rows(tmp_path / "run" / "original").remove_columns("difficulty"), tmp_path / "run" / "original")
    with pytest.raises(InputError, match="has no column 'difficulty': finish the run, or score it"):
        open_explored(str(tmp_path / "run"))
    rows = read_rows(run / "pool")
    write_rows(rows.filter(lambda row: row["label"] == 1), tmp_path / "half")
    with pytest.raises(InputError, match=r"class 'zero' has no image in .*: enlarge the pool, or drop the class"):
        open_explored(str(tmp_path / "half"), str(run / "original"))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ipc": 5},
        {"ipc": 3, "distribution": "cliff"},
        {"weight": 0.0},
        {"pool_size": 2},
        {"divergence": "reference"},
    ],
    ids=str,
)
def test_a_class_is_sampled_as_the_whole_set_is(opened, settings):
    sample = replace(opened.sample, **settings)
    made = distill_columns(opened.rows.columns, opened.rows.original, sample, seed=7)
    classes = Sampler(opened.scores).classes([0, 1], sample, 7)
    chosen = np.concatenate([one.rows[one.selected] for one in classes])
    np.testing.assert_array_equal(chosen, made.indices)
    np.testing.assert_array_equal(
        np.concatenate([one.bins for one in classes]),
        np.array(made.pool["difficulty_bin"])[np.concatenate([one.rows for one in classes])],
    )


def test_bins_say_what_they_had_wanted_gave_and_why(opened):
    [one, _] = classes = Sampler(opened.scores).classes([0, 1], replace(opened.sample, ipc=5), 0)
    facts = bin_facts(classes)
    assert sum(bin.available for bin in facts) == 16
    assert sum(bin.wanted for bin in facts) == sum(bin.taken for bin in facts) == 10
    assert sum(bin.filled for bin in facts) == sum(bin.short for bin in facts)
    assert sum(bin.left for bin in facts) == 6
    for bin in facts:
        assert bin.taken == bin.wanted - bin.short + bin.filled
        assert bool(bin.short) == ("missing, taken from other bins" in bin.why)
        assert ("full" in bin.why) == bool(bin.wanted and bin.left)
    ranks, edges = one.selection.thresholds, one.edges()
    transformed = log_transform(one.difficulty, ranks.bottom, ranks.top)
    inside = (one.difficulty >= edges[3] * 1.001) & (one.difficulty <= edges[7] * 0.999)
    assert ((transformed[inside] >= 0.3) & (transformed[inside] <= 0.7)).all()
    assert edges[0] == np.sort(one.difficulty)[ranks.bottom]


def test_the_gallery_goes_from_easy_to_hard_and_says_why(opened):
    sample = replace(opened.sample, ipc=2, pool_size=2)
    sampler, gallery = Sampler(opened.scores), Gallery(opened)
    assert gallery.kinds == [SELECTED, LEFT_OUT, POOL, ORIGINAL]
    classes = sampler.classes([0, 1], sample, 0)
    counts = {kind: gallery.page(kind, classes, sample, 1).total for kind in gallery.kinds}
    assert counts == {SELECTED: 4, LEFT_OUT: 12, POOL: 16, ORIGINAL: 20}
    pool = gallery.page(POOL, classes, sample, 1).tiles
    assert [tile.difficulty for tile in pool] == sorted(tile.difficulty for tile in pool)
    columns = opened.rows.columns
    for tile in pool:
        assert tile.seed == columns[tile.row]["seed"]
        assert tile.difficulty == pytest.approx(columns[tile.row]["difficulty"])
        assert tile.of_class == ["zero", "one"][columns[tile.row]["label"]]
        assert tile.address.startswith("data:image/png;base64,")
        assert bool(tile.why_left) != tile.selected
        assert (tile.bin is None) == (tile.why_left == "beyond the first 4") == (columns[tile.row]["pool_index"] >= 4)
    [alone] = [gallery.page(ORIGINAL, classes[:1], sample, 1).tiles]
    assert {tile.of_class for tile in alone} == {None}


def test_a_long_gallery_has_pages_and_reads_only_what_it_shows(tmp_path):
    opened = open_explored(str(hostile_run(tmp_path)))
    gallery, classes = Gallery(opened), Sampler(opened.scores).classes([0, 1], opened.sample, 0)
    first, last = (gallery.page(POOL, classes, opened.sample, number) for number in (1, 9))
    assert (len(first.tiles), first.pages, first.total) == (PER_PAGE, 2, 60)
    assert (len(last.tiles), last.number) == (12, 2)
    assert max(tile.difficulty for tile in first.tiles) <= min(tile.difficulty for tile in last.tiles)
    assert f"1 – {PER_PAGE} of 60 pool" in page_words.gallery(first, POOL)
    assert f"{PER_PAGE + 1} – 60 of 60 pool" in page_words.gallery(last, POOL)
    assert [tile.seed for tile in first.tiles if tile.row == 0] == [None]


def test_pictures_that_were_shown_are_kept_and_a_damaged_one_has_a_place(tmp_path):
    opened = open_explored(str(hostile_run(tmp_path, image=b"no image")))
    classes = Sampler(opened.scores).classes([1], opened.sample, 0)
    page = Gallery(opened).page(SELECTED, classes, opened.sample, 1)
    assert {tile.address for tile in page.tiles} == {None}
    assert "cannot be decoded" in page_words.gallery(page, SELECTED)
    thumbnails = Thumbnails(opened.rows.folder)
    assert thumbnails.of([3, 1]) == [None, None]
    shutil.rmtree(tmp_path / "pool")
    assert thumbnails.of([1]) == [None]
    with pytest.raises(InputError, match="has no split 'train'"):
        thumbnails.of([2])


def test_names_of_strangers_are_shown_and_do_nothing(tmp_path):
    opened = open_explored(str(hostile_run(tmp_path)))
    sampler, gallery = Sampler(opened.scores), Gallery(opened)
    both, alone = sampler.classes([0, 1], opened.sample, 0), sampler.classes([0], opened.sample, 0)
    texts = [page_words.gallery(gallery.page(kind, both, opened.sample, 1), kind) for kind in gallery.kinds]
    texts += [histograms(both), histograms(alone), page_words.bins_table(alone), page_words.numbers(both)]
    texts += [page_words.refusal(HOSTILE), page_words.done(HOSTILE)]
    for text in texts:
        assert "<img src=x" not in text
        assert "\x1b" not in text
        assert text.count("<") == text.count(">")
    assert "&lt;img src=x onerror=window.hacked=1&gt;" in texts[0]


def test_numbers_and_histograms_are_those_of_the_selection(opened):
    classes = Sampler(opened.scores).classes([0], opened.sample, 3)
    shown = page_words.numbers(classes)
    chosen = classes[0].difficulty[classes[0].selected]
    assert f"<dd>{chosen.mean():.3f}</dd>" in shown
    assert "<dd>2</dd><dd class='note'>of 8 in the pool</dd>" in shown
    ranks = classes[0].selection.thresholds
    assert f"{ranks.objective:.3f} bits" in shown
    assert f"b* = {ranks.bottom}, t* = {ranks.top}" in shown
    drawn = histograms(classes)
    labels = re.findall(r"aria-label='([^']*)'", drawn)
    assert len(labels) == 6
    assert labels[2].startswith("selection: 2 images · mean")
    assert sum(map(int, labels[5].split("hard ")[1].split(", "))) == 2


def test_what_is_saved_is_what_sample_writes_and_the_line_says_so(opened, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from ddgs_hub.cli.main import app

    sample = replace(opened.sample, ipc=3, distribution="hill", pool_size=2)
    assert save(opened, sample, 5, str(tmp_path / "saved")).startswith(f"{tmp_path / 'saved'}: 6 images")
    line = sample_line(opened, sample, 5, "by line")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    files = [path.relative_to(tmp_path / "saved") for path in sorted((tmp_path / "saved").rglob("*")) if path.is_file()]
    assert files
    for path in files:
        assert (tmp_path / "saved" / path).read_bytes() == (tmp_path / "by line" / path).read_bytes(), path
    with pytest.raises(InputError, match="is not empty"):
        save(opened, sample, 5, str(tmp_path / "saved"))
    with pytest.raises(InputError, match="there is no folder to write to"):
        save(opened, sample, 5, " ")
    assert publish_line("by line", "acme/x", private=True) == "ddgs-hub publish 'by line' --repo acme/x --private"


def test_a_pool_on_the_hub_is_shown_and_what_is_chosen_of_it_is_published(hub, api, pooled, tmp_path):
    publish(pooled, REPO, pool=True, api=api)
    commit = hub.repository("dataset", REPO).head.sha
    theirs, ours = "other/chosen", "acme/chosen"
    done = hub.run(PUBLISH, REPO, theirs, ours, ours, token=TOKEN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, line, [refused, published, again] = json.loads(done.stdout)
    assert found == [f"{REPO}@{commit}", None, REPO, 16]
    assert line == f"ddgs-hub sample --pool {REPO}@{commit} --ipc 4 --seed 1 --output x"
    assert refused.startswith("this token may not write to other/chosen")
    assert published.splitlines()[0].startswith("chosen: 8 images")
    assert f"{ours} v1.0.0: the first version" in published
    assert again.startswith(f"nothing to publish: {ours} v1.0.0 has this content")
    assert hub.repository("dataset", ours).tags.keys() == {"v1.0.0"}


def test_only_the_set_that_is_shown_is_published(opened, tmp_path):
    def publish_shown(folder, **settings):
        return save_and_publish(opened, replace(opened.sample, **settings), 5, str(folder), "acme", private=False)

    save(opened, opened.sample, 5, str(tmp_path / "saved"))
    with pytest.raises(InputError, match=r"saved' holds a set of other settings: give a new folder"):
        publish_shown(tmp_path / "saved", ipc=3)
    with pytest.raises(InputError, match="'acme' does not say whose repository it is: give OWNER/NAME"):
        publish_shown(tmp_path / "saved")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else than a distilled set"):
        publish_shown(tmp_path / "notes")
    values = json.loads((tmp_path / "saved" / "sampling.json").read_text())
    assert values["seed"] == 5
