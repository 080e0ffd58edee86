"""A family of sets in a collection of the Hub: made once, each repository once, and nothing is lost where it fails."""

import pytest
from published import REPO, TOKEN, export, the_repository

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub import publish

FAMILY = "Tiny, distilled"
OTHER = "acme/tiny-ddgs-ipc1"


def items(hub):
    [collection] = hub.collections.values()
    return [(item["type"], item["id"]) for item in collection["items"]]


def test_sets_of_a_family_are_in_one_collection_of_their_owner(hub, api, tmp_path):
    made = publish(export(tmp_path), REPO, collection=FAMILY, api=api)
    [collection] = hub.collections.values()
    assert (collection["owner"], collection["title"], collection["private"]) == ("acme", FAMILY, False)
    assert len(collection["description"]) <= 150  # more the Hub refuses
    assert made.collection == f"{hub.url}/collections/{collection['slug']}"
    assert made.text.endswith(f"\nin the collection {made.collection}")
    publish(export(tmp_path, (1, 2)), OTHER, collection=FAMILY, api=api)
    again = publish(tmp_path, OTHER, collection=collection["slug"], api=api)
    assert (again.action, again.collection) == ("unchanged", made.collection)
    assert items(hub) == [("dataset", REPO), ("dataset", OTHER)]


def test_a_private_set_is_not_shown_by_a_new_public_collection(hub, api, run):
    publish(run, REPO, private=True, collection=FAMILY, api=api)
    [collection] = hub.collections.values()
    assert collection["private"]


@pytest.mark.parametrize(
    ("collection", "options", "reason"),
    [
        ("acme/none", {}, "there is no collection acme/none on the Hub, or this token may not see it"),
        (" ", {}, "the collection has no title: give one"),
        (FAMILY, {"create_pr": True}, "what a pull request proposes is in no collection"),
    ],
)
def test_a_collection_that_cannot_be_is_refused_before_anything_is_sent(hub, api, run, collection, options, reason):
    with pytest.raises(InputError, match=reason):
        publish(run, REPO, collection=collection, api=api, **options)
    assert hub.store.get("dataset", REPO) is None
    assert hub.collections == {}


def test_a_dry_run_makes_no_collection(hub, api, run):
    assert publish(run, REPO, dry_run=True, collection=FAMILY, api=api).collection == ""
    assert hub.collections == {}


def test_where_the_token_may_not_the_set_is_published_all_the_same(hub, api, run):
    hub.fail("POST /api/collections", status=403, times=None)
    reason = (
        rf"{REPO} v1\.0\.0 is published \({hub.url}/datasets/{REPO}/tree/v1\.0\.0\), but in no collection: "
        rf"this token may not write to acme/{FAMILY}: take one with the role write of a member of acme"
    )
    with pytest.raises(InputError, match=reason):
        publish(run, REPO, collection=FAMILY, api=api)
    assert list(the_repository(hub).tags) == ["v1.0.0"]


def test_somebody_elses_collection_is_left_alone(hub, api, run):
    hub.add_user("carol", "hf_carol")
    theirs = type(api)(endpoint=hub.url, token="hf_carol").create_collection("Best of", namespace="carol")
    with pytest.raises(InputError, match=f"but in no collection: this token may not write to {theirs.slug}"):
        publish(run, REPO, collection=theirs.slug, api=api)
    assert items(hub) == []


@pytest.mark.parametrize("where", ["POST /api/collections$", "POST /api/collections/.*/items"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "after"}, {"status": 503, "served": True}])
def test_a_connection_that_breaks_adds_nothing_twice(hub, api, run, where, fault):
    broken = hub.fail(where, **fault)
    publish(run, REPO, collection=FAMILY, api=api)
    assert broken.happened
    assert items(hub) == [("dataset", REPO)]


def test_the_command(hub, api, run):
    command = ["-m", "ddgs_hub", "publish", str(run), "--repo", REPO, "--collection", FAMILY]
    done = hub.run(command, token=TOKEN)
    assert done.returncode == 0, done.stderr
    [slug] = hub.collections
    assert done.stdout.endswith(f"in the collection {hub.url}/collections/{slug}\n")
