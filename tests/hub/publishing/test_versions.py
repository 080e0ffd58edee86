"""Versions of a published dataset, and what differs between two of them."""

import hashlib
import json

import pytest
from published import REPO, export, png

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub import diff_versions, list_versions, publish, versions_table
from ddgs_hub.hub.publishing.remote import Version


@pytest.fixture
def three(hub, api, tmp_path):
    """A repository of three versions and of a tag that is none."""
    for seeds, note in (((1, 2, 3, 4), ""), ((1, 2, 3, 9), ""), ((1, 2, 3, 9), "A term.")):
        publish(export(tmp_path, seeds, note=note), REPO, api=api)
    api.create_tag(REPO, tag="latest", repo_type="dataset")
    return hub.repository("dataset", REPO)


def digest(seed):
    return hashlib.sha256(png(seed)).hexdigest()


@pytest.mark.parametrize("tag", ["v1.2", "1.2.3", "v1.2.3-rc1", "v01.2.3", "latest", "v1.2.3\n", None])
def test_no_version(tag):
    assert Version.parse(tag) is None


def test_versions_are_ordered_as_numbers():
    assert Version.parse("v1.10.0") > Version.parse("v1.9.12")
    assert str(Version.parse("v1.10.0")) == "v1.10.0"


def test_list_versions(api, three):
    found = list_versions(REPO, api=api)
    assert [(v.tag, v.rows, v.mean_difficulty, v.changes) for v in found] == [
        ("v1.0.0", 4, 0.3, "the first version"),
        ("v1.1.0", 4, 0.425, "new rows from the same pool"),
        ("v1.1.1", 4, 0.425, "the same rows; changed: README.md, provenance.json"),
    ]
    assert [v.commit for v in found] == [three.tags[v.tag] for v in found]
    assert [v.to_dict()["date"][:19] for v in found] == [three.at(v.tag).date[:19] for v in found]
    lines = versions_table(found).splitlines()
    assert lines[0].split() == ["version", "date", "rows", "mean", "difficulty", "changes"]
    assert lines[2].split()[2:] == ["4", "0.425", "new", "rows", "from", "the", "same", "pool"]


def test_a_version_that_is_not_ours(hub, api):
    repository = hub.add_repository("dataset", REPO, {"provenance.json": b"[1]"})
    api.create_tag(REPO, tag="v0.1.0", repo_type="dataset")
    repository.set_ref("refs/heads/main", repository.commits[0].sha)  # so that main does not lead to the tag
    (found,) = list_versions(REPO, api=api)
    assert (found.tag, found.rows, found.mean_difficulty, found.changes) == ("v0.1.0", None, None, None)
    assert versions_table([found]).splitlines()[1].split()[2:] == ["—"]
    with pytest.raises(InputError, match=r"has no data/train-\*\.parquet"):
        diff_versions(REPO, "v0.1.0", "v0.1.0", api=api)


def test_a_fault_on_the_way(hub, api, three, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.fail("GET /api/datasets/.*/refs", drop="during")
    hub.fail("GET /api/datasets/.*/commits", status=503)
    assert len(list_versions(REPO, api=api)) == 3


def test_diff_versions(api, three):
    found = diff_versions(REPO, "v1.0.0", "v1.1.1", api=api)
    assert (found.common, len(found.added), len(found.removed)) == (3, 1, 1)
    assert found.added == [{"image_sha256": digest(9), "label": "one", "difficulty": pytest.approx(0.95)}]
    assert found.removed == [{"image_sha256": digest(4), "label": "one", "difficulty": pytest.approx(0.45)}]
    assert found.difficulty["a"]["histogram"] == [0, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert found.difficulty["b"]["histogram"] == [0, 1, 1, 1, 0, 0, 0, 0, 0, 1]
    assert found.difficulty["a"]["mean"] == pytest.approx(0.3)
    assert found.recipe == {"hub.note": ["", "A term."]}
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    text = found.text
    assert text.startswith("v1.0.0 → v1.1.1: 1 rows added, 1 gone, 3 in both\n")
    assert f"  + {digest(9)[:12]}  one  0.950\n  - {digest(4)[:12]}  one  0.450\n" in text
    assert "mean             0.300     0.425\n" in text
    assert text.endswith("recipe:\n  hub.note:  → A term.")
    same = diff_versions(REPO, "v1.1.0", "v1.1.0", api=api)
    assert (same.added, same.removed, same.recipe) == ([], [], {})
    assert same.text.endswith("recipe: the same")


@pytest.mark.parametrize(
    ("repo", "a", "message"),
    [
        (REPO, "v9.0.0", f"{REPO} has no version 'v9.0.0': its versions are v1.0.0, v1.1.0, v1.1.1"),
        (REPO, "latest", f"{REPO} has no version 'latest'"),
        ("acme/nothing", "v1.0.0", "there is no dataset or model acme/nothing on the Hub"),
    ],
)
def test_what_is_not_there(api, three, repo, a, message):
    with pytest.raises(InputError, match=message):
        diff_versions(repo, a, "v1.0.0", api=api)


def test_a_difficulty_on_an_edge_is_in_the_upper_bin(api, tmp_path):
    publish(export(tmp_path, tuple(range(100, 110))), REPO, api=api)
    assert diff_versions(REPO, "v1.0.0", "v1.0.0", api=api).difficulty["a"]["histogram"] == [1] * 10
