"""The Space of a published set: three texts beside the dataset, pinned to its version."""

import json
from importlib.metadata import version

import pytest
from huggingface_hub import CommitOperationAdd
from published import REPO, TOKEN, export_with_pool, the_repository

from ddgs_hub import __version__
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import read_front_matter
from ddgs_hub.hub import check_space, publish, publish_space


def messages(hub):
    return [entry.message for entry in hub.repository("space", REPO).commits]


def test_the_page_of_a_version_lies_beside_the_dataset(hub, api, pooled):
    made = publish(pooled, REPO, pool=True, api=api)
    page = publish_space(made, api=api)
    assert page.action == "published"
    assert page.text == f"its page: {hub.url}/spaces/{REPO}"
    space = hub.repository("space", REPO)
    assert set(space.head.files) == {".gitattributes", "README.md", "app.py", "requirements.txt"}
    metadata = read_front_matter(space.read("README.md").decode(), "it")
    assert metadata["sdk"] == "gradio"
    assert metadata["sdk_version"] == version("gradio")
    assert metadata["app_file"] == "app.py"
    assert metadata["datasets"] == [REPO]
    assert "ddgs-hub" in metadata["tags"]
    assert metadata["license"] == read_front_matter(made.card, "it")["license"]
    assert len(metadata["short_description"]) <= 60
    assert f'space("{REPO}@v1.0.0")' in space.read("app.py").decode()
    compile(space.read("app.py"), "app.py", "exec")
    assert space.read("requirements.txt").decode().splitlines()[-1] == f"ddgs-hub[explore]=={__version__}"


def test_what_is_there_is_not_written_again_and_a_new_version_is(hub, api, pooled, tmp_path):
    made = publish(pooled, REPO, pool=True, api=api)
    publish_space(made, api=api)
    before = messages(hub)
    assert publish_space(made, api=api).action == "unchanged"
    assert messages(hub) == before
    addition = CommitOperationAdd("notes.md", b"ours")
    api.create_commit(REPO, [addition], repo_type="space", commit_message="by hand")
    export_with_pool(pooled, first=30)
    assert publish_space(publish(pooled, REPO, pool=True, api=api), api=api).action == "published"
    assert messages(hub)[-1] == "the page of v2.0.0"
    assert hub.repository("space", REPO).read("notes.md") == b"ours"


@pytest.mark.parametrize("step", ["POST /api/repos/create", "POST /api/spaces/.*/commit/", "GET /api/spaces/"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "after"}], ids=str)
def test_an_interruption_costs_nothing(hub, api, pooled, step, fault):
    made = publish(pooled, REPO, pool=True, api=api)
    hub.fail(step, **fault)
    assert publish_space(made, api=api).action == "published"
    assert messages(hub).count("the page of v1.0.0") == 1


def test_a_set_without_its_pool_has_no_page(hub, api, pooled):
    with pytest.raises(InputError, match=r"the page shows the pool, which .* lacks: give --with-pool, too"):
        check_space(pooled, REPO, pool=False, api=api)
    made = publish(pooled, REPO, api=api)
    with pytest.raises(InputError, match=r"v1\.0\.0 has no pool, which its page shows: publish it with --with-pool"):
        publish_space(made, api=api)
    with pytest.raises(KeyError):
        hub.repository("space", REPO)
    check_space(pooled, REPO, pool=True, api=api)
    publish(pooled, REPO, pool=True, api=api)
    check_space(pooled, REPO, pool=False, api=api)


def test_only_a_distilled_set_has_a_page(api, tmp_path):
    (tmp_path / "provenance.json").write_text(json.dumps({"kind": "dit", "content": {}}))
    with pytest.raises(InputError, match="holds a DiT, and only a distilled set has a page: leave --space away"):
        check_space(tmp_path, REPO, pool=False, api=api)


def test_a_space_of_somebody_else_is_left_alone(hub, api, pooled):
    hub.add_repository("space", REPO, {"index.html": b"hello"})
    made = publish(pooled, REPO, pool=True, api=api)
    reason = rf"{REPO} v1\.0\.0 is published \({made.url}\), but not its page: .* holds something else: rename it"
    with pytest.raises(InputError, match=reason):
        publish_space(made, api=api)
    assert messages(hub)[-1] == "files"


def test_the_page_of_a_private_set_is_private(hub, api, pooled):
    made = publish(pooled, REPO, pool=True, private=True, api=api)
    page = publish_space(made, api=api)
    assert hub.repository("space", REPO).settings["private"]
    assert page.text.endswith("give that Space a secret HF_TOKEN that may read the private dataset")
    hub.set_private(hub.repository("space", REPO), False)
    with pytest.raises(InputError, match="is there and public: make it private in its settings first"):
        publish_space(made, api=api)


def test_a_plan_touches_nothing(hub, api, pooled):
    made = publish(pooled, REPO, pool=True, dry_run=True, api=api)
    page = publish_space(made, api=api)
    assert page.text == f"its page would be: {hub.url}/spaces/{REPO}"
    with pytest.raises(KeyError):
        the_repository(hub)


def test_the_command_publishes_both_and_says_where_they_are(hub, api, pooled):
    command = ["-m", "ddgs_hub", "publish", str(pooled), "--repo", REPO, "--space"]
    for more, refused in ((["--create-pr"], "a proposal has no version that a page could show"), ([], "--with-pool")):
        done = hub.run([*command, *more], token=TOKEN)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert refused in done.stderr
        with pytest.raises(KeyError):
            the_repository(hub)
    done = hub.run([*command, "--with-pool", "--json"], token=TOKEN)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["space"]["url"] == f"{hub.url}/spaces/{REPO}"
    assert (result["action"], result["space"]["action"]) == ("published", "published")
    assert messages(hub)[-1] == f"the page of {result['version']}"
