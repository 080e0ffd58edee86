"""Faults and other writers: in the end one commit and one tag a version, or none and a clear error."""

import re
import threading
import traceback

import pytest
from clients import Client
from huggingface_hub import HfApi
from published import (
    FAULTS,
    NTHS,
    OPERATIONS,
    READS,
    REPO,
    TOKEN,
    assert_whole,
    commit,
    export,
    provenance,
    published,
    the_repository,
)

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub import publish

CASES = [
    pytest.param(operation, nth, fault, id=f"{operation}-{nth}-{'-'.join(map(str, fault.values()))}")
    for operation in OPERATIONS
    for nth in NTHS.get(operation, (1,))
    for fault in ([{"status": 503}, {"drop": "during"}] if operation in READS else FAULTS)
]


# Faults


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders of three versions of one dataset."""
    figures = {"figures": ("sheet",)}
    return [export(tmp_path_factory.mktemp("run"), (1, 2, 3, last), **figures) for last in (4, 5, 6)]


@pytest.mark.parametrize(("operation", "nth", "fault"), CASES)
def test_one_fault(hub, api, runs, operation, nth, fault):
    # Writing asks for each once a version, so the nth request of a kind is the nth version's.
    versions = ["v1.0.0", "v1.1.0", "v1.2.0"][: nth if operation not in READS else 1]
    planned = hub.fail(OPERATIONS[operation], nth=nth, **fault)
    made = [publish(run, REPO, api=api).version for run in runs[: len(versions)]]
    assert planned.happened
    assert made == versions
    assert_whole(hub, *versions)


@pytest.mark.parametrize("operation", ["create", "info", "preupload", "upload", "commit"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "before"}], ids=["503", "drop"])
def test_a_fault_that_stays(hub, api, run, operation, fault):
    planned = hub.fail(OPERATIONS[operation], times=None, **fault)
    with pytest.raises(InputError, match=r"did not serve .* start the same command again later"):
        publish(run, REPO, api=api)
    planned.times = 0
    repository = hub.store.get("dataset", REPO)
    assert repository is None or (published(repository), repository.tags) == ([], {})
    publish(run, REPO, api=api)
    assert_whole(hub, "v1.0.0")


@pytest.mark.parametrize("served", [False, True])
def test_cut_off_between_commit_and_tag(hub, api, tmp_path, served):
    run = export(tmp_path)
    planned = hub.fail(OPERATIONS["tag"], times=None, status=503, served=served)
    if served:  # the Hub did it, and only said that it did not
        publish(run, REPO, api=api)
    else:
        with pytest.raises(InputError, match="goes on where it was"):
            publish(run, REPO, api=api)
        plan = publish(run, REPO, dry_run=True, api=api)
        assert (plan.version, plan.changes) == ("v1.0.0", "only its tag is missing")
    planned.times = 0
    commit(api, {"notes.txt": b"on top of it\n"})
    # Other content follows: the version that was cut off gets its tag first, at its own commit.
    publish(export(tmp_path, (1, 2, 3, 8)), REPO, api=api)
    assert_whole(hub, "v1.0.0", "v1.1.0")


def test_killed_with_a_commit_on_its_way(hub, api, run, tmp_path):
    late = hub.fail(OPERATIONS["commit"], delay=4)
    command = ["-m", "ddgs_hub", "publish", str(run), "--repo", REPO]
    process = Client(command, env=hub.environment(tmp_path / "home", TOKEN))
    wait_until(lambda: late.happened or process.poll() is not None)
    process.kill()
    assert publish(run, REPO, api=api).action == "published"
    commits = [request for request in hub.requests if "/commit/" in request.path]
    assert [request.status for request in commits] == [None, 200]
    wait_until(lambda: commits[0].status)  # only now is the first commit carried out, and nobody waits for the answer
    assert commits[0].status == 412
    assert_whole(hub, "v1.0.0")


def wait_until(condition, seconds=60):
    for _ in range(seconds * 50):
        if condition():
            return
        threading.Event().wait(0.02)  # time.sleep returns at once here
    raise TimeoutError


def test_it_waits_as_long_as_the_hub_asks_and_says_so(hub, api, run, pauses, caplog):
    hub.fail(OPERATIONS["commit"], status=429, headers={"Retry-After": "7"})
    publish(run, REPO, api=api)
    assert pauses == [7.0]
    assert caplog.messages == [f"the Hub does not serve {REPO} (status 429): again in 7 s"]


def test_a_page_in_the_place_of_an_answer(hub, api, run, monkeypatch):
    # The client reads the answer to this request as JSON before it looks at its status.
    from hub_server import messages

    original = messages.HubError.response

    def page(error):
        response = original(error)
        return messages.Response(503, {}, b"<html>") if error.message == "A fault on demand" else response

    monkeypatch.setattr(messages.HubError, "response", page)
    hub.fail(OPERATIONS["validate"], status=503)
    publish(run, REPO, api=api)
    assert_whole(hub, "v1.0.0")


# Others who write


@pytest.mark.parametrize("before", ["commit", "tag"])
def test_a_commit_that_slips_in(hub, api, tmp_path, before):
    publish(export(tmp_path), REPO, api=api)
    repository = the_repository(hub)
    slipped = []

    def slip():
        slipped.append(repository.commit("refs/heads/main", repository.head.sha, {"theirs.txt": stored}, "theirs"))

    stored = repository.store(b"theirs\n")
    ahead_of(hub, OPERATIONS[before], slip)
    publish(export(tmp_path, (1, 2, 3, 6)), REPO, api=api)
    assert len(slipped) == 1
    assert repository.read("theirs.txt") == b"theirs\n"
    assert_whole(hub, "v1.0.0", "v1.1.0")
    assert repository.tags["v1.1.0"] != slipped[0].sha


def test_a_foreign_tag_that_slips_in(hub, api, run):
    api.create_repo(REPO, repo_type="dataset")
    repository = the_repository(hub)
    first = repository.head.sha
    ahead_of(hub, OPERATIONS["tag"], lambda: repository.set_ref("refs/tags/v1.0.0", first))
    made = publish(run, REPO, api=api)
    assert made.version == "v2.0.0"
    assert repository.tags["v1.0.0"] == first
    assert provenance(repository, "v2.0.0")["published"]["version"] == "v2.0.0"
    assert publish(run, REPO, api=api).action == "unchanged"


@pytest.mark.parametrize("before", [(), (1, 2)])
def test_another_version_that_slips_in_behind_ones_own(hub, api, tmp_path, before):
    if before:
        publish(export(tmp_path, before), REPO, api=api)
    theirs = export(tmp_path / "theirs", (3, 4))
    ahead_of(hub, OPERATIONS["tag"], lambda: publish(theirs, REPO, api=api))
    made = publish(export(tmp_path, (5, 6)), REPO, api=api)
    versions = ["v1.0.0", "v1.1.0", "v1.2.0"][: 3 if before else 2]
    assert (made.version, made.action) == (versions[-2], "published")
    assert made.commit == the_repository(hub).tags[made.version]
    assert_whole(hub, *versions)


def test_two_publishers_at_once(hub, api, tmp_path):
    runs = [export(tmp_path / name, seeds) for name, seeds in (("a", (1, 2)), ("b", (3, 4)), ("c", (1, 2)))]
    made, errors = [], []

    def publish_one(run):
        try:
            made.append(publish(run, REPO, api=HfApi(endpoint=hub.url, token=TOKEN)).version)
        except Exception:
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=publish_one, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    # "a" and "c" are the same content: where "b" was between them, it is published anew behind it.
    versions = list(the_repository(hub).tags)
    assert versions in (["v1.0.0", "v1.1.0"], ["v1.0.0", "v1.1.0", "v1.2.0"])
    assert_whole(hub, *versions)


def ahead_of(hub, pattern, act):
    """Calls `act` once, ahead of the first request that matches."""
    original, done = hub.faults.of, []

    def of(line):
        if not done and re.search(pattern, line):
            done.append(line)
            act()
        return original(line)

    hub.faults.of = of
