"""Publishing against the local Hub: versions, cards, who may, pull requests, dry runs, the commands."""

import json
import re
import traceback

import pytest
from huggingface_hub import HfApi
from published import (
    OPERATIONS,
    REPO,
    TOKEN,
    assert_whole,
    commit,
    export,
    make_rows,
    png,
    provenance,
    published,
    refused_tokens,
    the_repository,
)

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub import publish
from ddgs_hub.hub.cards import HAND_WRITTEN
from ddgs_hub.hub.publishing.publish import find_folder

# Versions


def test_versions_follow_from_what_changed(hub, api, tmp_path):
    first = publish(export(tmp_path), REPO, api=api)
    assert (first.version, first.action, first.changes) == ("v1.0.0", "published", "the first version")
    assert first.url == f"{hub.url}/datasets/{REPO}/tree/v1.0.0"
    assert first.commit == the_repository(hub).tags["v1.0.0"]
    again = publish(export(tmp_path), REPO, api=api)
    assert (again.version, again.action, again.commit) == ("v1.0.0", "unchanged", first.commit)
    assert again.text.startswith(f"nothing to publish: {REPO} v1.0.0 has this content")
    expected = [
        ({"note": "A term."}, "v1.0.1", "the same rows; changed: README.md, provenance.json"),
        ({"note": "A term.", "seeds": (1, 2, 3, 5)}, "v1.1.0", "new rows from the same pool"),
        ({"seeds": (1, 2, 3, 5), "pool": "larger"}, "v2.0.0", "another pool"),
        ({"seeds": (1, 2), "pool": "larger", "dit": "tuned", "scorer": "b"}, "v3.0.0", "another DiT, another scorer"),
    ]
    for arguments, version, changes in expected:
        made = publish(export(tmp_path, **arguments), REPO, api=api)
        assert (made.version, made.changes) == (version, changes)
    assert_whole(hub, "v1.0.0", "v1.0.1", "v1.1.0", "v2.0.0", "v3.0.0")


def test_what_is_published_is_what_was_exported(hub, api, tmp_path):
    run = export(tmp_path, figures=("sheet",))
    publish(run, REPO, api=api)
    folder, repository = run / "hub" / "tiny-ddgs-ipc2", the_repository(hub)
    for name in ("data/train-00000-of-00001.parquet", "figures/sheet.png"):
        assert repository.read(name) == (folder / name).read_bytes()
    card = repository.read("README.md").decode()
    assert f'load_dataset("{REPO}", split="train", revision="v1.0.0")' in card
    assert "OWNER" not in card
    there = provenance(repository)
    del there["published"]
    assert there == json.loads((folder / "provenance.json").read_text())
    assert {commit.author for commit in repository.commits} == {"alice"}


def test_a_version_of_ones_own(hub, api, tmp_path):
    assert publish(export(tmp_path), REPO, version="v2.1.0", api=api).version == "v2.1.0"
    assert publish(tmp_path, REPO, version="v5.0.0", api=api).action == "unchanged"
    for version in ("v2.1.0", "v2.0.9"):
        with pytest.raises(InputError, match=rf"version {version} is not above v2.1.0"):
            publish(export(tmp_path, (1, 5)), REPO, version=version, api=api)
    with pytest.raises(InputError, match=r"'2\.1' is no version: give one such as v1\.2\.0"):
        publish(tmp_path, REPO, version="2.1", api=api)
    assert_whole(hub, "v2.1.0")


def test_a_tag_that_somebody_else_set_is_not_moved(hub, api, run):
    api.create_repo(REPO, repo_type="dataset")
    theirs = the_repository(hub).head.sha
    api.create_tag(REPO, tag="v1.0.0", repo_type="dataset")
    api.create_tag(REPO, tag="latest", repo_type="dataset")
    assert publish(run, REPO, api=api).version == "v2.0.0"
    assert the_repository(hub).tags == {"v1.0.0": theirs, "latest": theirs, "v2.0.0": the_repository(hub).head.sha}


def test_files_of_an_earlier_version_go_and_those_of_others_stay(hub, api, tmp_path):
    publish(export(tmp_path, figures=("sheet", "old")), REPO, api=api)
    commit(api, {"figures/theirs.png": png(1), "raw/a.txt": b"a\n", "data/train-00001-of-00002.parquet": b"PAR1"})
    made = publish(export(tmp_path, (1, 5), figures=("sheet",)), REPO, api=api)
    assert made.version == "v1.1.0"
    assert set(the_repository(hub).head.files) == {
        *(".gitattributes", "README.md", "provenance.json", "data/train-00000-of-00001.parquet"),
        *("figures/sheet.png", "figures/theirs.png", "raw/a.txt"),
    }
    assert_whole(hub, "v1.0.0", "v1.1.0")


# Cards


def test_hand_written_parts_and_other_configurations_are_kept(hub, api, tmp_path):
    publish(export(tmp_path), REPO, api=api)
    repository = the_repository(hub)
    card = repository.read("README.md").decode()
    other = "- config_name: raw\n  data_files: raw/*.parquet\n"
    edited = card.replace("configs:\n", f"language: en\nconfigs:\n{other}").replace("tags:\n", "tags:\n- mine\n")
    commit(api, {"README.md": (edited + "\n## From me\n\nSome words.\n").encode()})
    assert publish(tmp_path, REPO, api=api).action == "unchanged"
    assert publish(export(tmp_path, note="A term."), REPO, api=api).version == "v1.0.1"
    card = repository.read("README.md").decode()
    assert card.count("A term.") == card.count("## Citation") == card.count(HAND_WRITTEN) == 1
    assert card.endswith(f"{HAND_WRITTEN}\n\n## From me\n\nSome words.\n")
    data = api.dataset_info(REPO).card_data
    assert [config["config_name"] for config in data.configs] == ["default", "raw"]
    assert data.language == "en"
    assert data.tags == ["dataset-distillation", "ddgs", "ipc-2", "synthetic", "mine"]
    assert publish(tmp_path, REPO, api=api).action == "unchanged"


def test_a_card_of_somebody_else_is_kept_whole(hub, api, run):
    theirs = "---\nlicense: mit\nconfigs:\n- config_name: raw\n  data_files: raw.csv\n---\n# Theirs\n\nWords.\n"
    hub.add_repository("dataset", REPO, {"README.md": theirs.encode(), "raw.csv": b"a\n"})
    publish(run, REPO, api=api)
    card = the_repository(hub).read("README.md").decode()
    assert card.startswith("---\nlicense: other\n")
    assert card.endswith(f"{HAND_WRITTEN}\n\n# Theirs\n\nWords.\n")
    assert [config["config_name"] for config in api.dataset_info(REPO).card_data.configs] == ["default", "raw"]


def test_a_broken_card_there_is_left_alone(hub, api, run):
    hub.add_repository("dataset", REPO, {"README.md": b"---\nlicense: [\n---\n"})
    with pytest.raises(InputError, match="front matter of the card on the Hub is not valid YAML"):
        publish(run, REPO, api=api)
    assert published(the_repository(hub)) == []


# Who may publish


@pytest.mark.parametrize(
    ("token", "message"),
    [
        *refused_tokens(REPO),
        ("hf_two words", "the token has blanks or characters that no token has"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_who_may_not(hub, api, run, token, message, there):
    if there:
        api.create_repo(REPO, repo_type="dataset")
    with pytest.raises(InputError, match=re.escape(message)):
        publish(run, REPO, api=HfApi(endpoint=hub.url, token=token))
    repository = hub.store.get("dataset", REPO)
    assert (repository is not None) == there
    assert repository is None or (len(repository.commits), repository.tags) == (1, {})


def test_private(hub, api, run, tmp_path):
    publish(run, REPO, private=True, api=api)
    assert the_repository(hub).settings["private"] is True
    with pytest.raises(InputError, match=f"this token may not write to {REPO}"):
        publish(run, REPO, api=HfApi(endpoint=hub.url, token="hf_bob"))
    assert publish(export(tmp_path, (1, 9)), REPO, api=api).version == "v1.1.0"
    assert the_repository(hub).settings["private"] is True
    hub.set_private(the_repository(hub), False)
    with pytest.raises(InputError, match="is there and public: make it private in its settings first"):
        publish(export(tmp_path, (1, 8)), REPO, private=True, api=api)
    assert_whole(hub, "v1.0.0", "v1.1.0")


@pytest.mark.parametrize("fault", [None, {"status": 503, "served": True}, {"drop": "after"}], ids=str)
def test_a_pull_request(hub, api, tmp_path, fault):
    publish(export(tmp_path), REPO, api=api)
    repository, head = the_repository(hub), the_repository(hub).head.sha
    if fault:
        hub.fail(OPERATIONS["commit"], **fault)
    bob = HfApi(endpoint=hub.url, token="hf_bob")
    run = export(tmp_path, (5, 6))
    proposed = publish(run, REPO, create_pr=True, api=bob)
    assert (proposed.version, proposed.action) == ("v1.1.0", "proposed")
    assert proposed.url == f"{hub.url}/datasets/{REPO}/discussions/1"
    assert publish(run, REPO, create_pr=True, api=bob).action == "unchanged"
    assert (repository.head.sha, len(repository.pull_requests), list(repository.tags)) == (head, 1, ["v1.0.0"])
    repository.set_ref("refs/heads/main", repository.pull_requests["1"])  # merged
    assert publish(run, REPO, api=api).version == "v1.1.0"
    assert_whole(hub, "v1.0.0", "v1.1.0")


def test_a_pull_request_that_was_closed_is_proposed_again(hub, api, tmp_path):
    publish(export(tmp_path), REPO, api=api)
    bob, run = HfApi(endpoint=hub.url, token="hf_bob"), export(tmp_path, (5, 6))
    publish(run, REPO, create_pr=True, api=bob)
    hub.close_pull_request(the_repository(hub), 1)
    again = publish(run, REPO, create_pr=True, api=bob)
    assert (again.action, again.url.rsplit("/", 1)[1]) == ("proposed", "2")


def test_a_pull_request_while_a_tag_is_missing(hub, api, tmp_path):
    planned = hub.fail(OPERATIONS["tag"], times=None, status=503)
    with pytest.raises(InputError, match="goes on where it was"):
        publish(export(tmp_path), REPO, api=api)
    planned.times = 0
    bob = HfApi(endpoint=hub.url, token="hf_bob")
    assert publish(tmp_path, REPO, create_pr=True, api=bob).action == "unchanged"
    assert publish(export(tmp_path, (5, 6)), REPO, create_pr=True, api=bob).version == "v1.1.0"
    assert the_repository(hub).tags == {}


def test_a_dry_run_touches_nothing(hub, api, tmp_path):
    run = export(tmp_path, figures=("sheet",))
    plan = publish(run, REPO, dry_run=True, api=api)
    assert (plan.version, plan.action, plan.commit, plan.removed, plan.kept) == ("v1.0.0", "planned", None, [], [])
    assert plan.added == ["README.md", "data/train-00000-of-00001.parquet", "figures/sheet.png", "provenance.json"]
    publish(run, REPO, api=api)
    asked = len(hub.requests)
    plan = publish(export(tmp_path, (1, 9)), REPO, dry_run=True, api=api)
    assert (plan.version, plan.removed, plan.kept) == ("v1.1.0", ["figures/sheet.png"], [".gitattributes"])
    assert "  - figures/sheet.png\n" in plan.text
    assert plan.text.endswith(plan.card)
    assert {request.method for request in hub.requests[asked:]} <= {"GET", "HEAD"}
    assert_whole(hub, "v1.0.0")


# Folders


def test_folders_that_cannot_be_published(api, tmp_path):
    folder = export(tmp_path) / "hub" / "tiny-ddgs-ipc2"
    with pytest.raises(InputError, match=r"has no README\.md: give a run folder"):
        publish(tmp_path / "nothing", REPO, api=api)
    for name in ("no-owner", "acme/a b", "acme/a/b"):
        with pytest.raises(InputError, match="give OWNER/NAME"):
            publish(folder, name, api=api)
    (tmp_path / "hub" / ".tiny-ddgs-ipc2.partial").mkdir()  # left by a kill
    assert find_folder(tmp_path, "acme/other") == find_folder(tmp_path, "acme/other", 2) == folder
    (tmp_path / "hub" / "another").mkdir()
    with pytest.raises(InputError, match="has not one folder to publish"):
        publish(tmp_path, "acme/other", api=api)
    (tmp_path / "hub" / "another" / "data").mkdir()
    (tmp_path / "hub" / "another" / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"cannot read split 'train' of .*another"):
        publish(tmp_path, "acme/other", ipc=2, api=api)
    values = json.loads((folder / "provenance.json").read_text())
    for text, message in [
        ("{", "Invalid JSON"),
        (json.dumps({**values, "content": {}}), "does not say what the distilled set was made of"),
        (json.dumps({**values, "content": {**values["content"], "rows": "0" * 64}}), "are not those that its"),
        (json.dumps({**values, "key": "hf_" + "x" * 34}), "looks like an access token"),
    ]:
        (folder / "provenance.json").write_text(text)
        with pytest.raises(InputError, match=message):
            publish(folder, REPO, api=api)


def test_the_token_is_told_to_nobody(hub, api, run, caplog, capsys, monkeypatch):
    caplog.set_level(0)
    for pattern, status in ((OPERATIONS["commit"], 503), (OPERATIONS["tag"], 418)):
        hub.fail(pattern, status=status)
        told = ""
        try:
            told = publish(run, REPO, api=api).text
        except InputError:
            told = traceback.format_exc()
        assert TOKEN not in told
    publish(run, REPO, api=api)
    output = capsys.readouterr()
    assert TOKEN not in caplog.text + output.out + output.err
    assert all(TOKEN.encode() not in path.read_bytes() for path in the_repository(hub).folder.rglob("*.*"))
    folder = run / "hub" / "tiny-ddgs-ipc2"
    folder.joinpath("README.md").write_text(folder.joinpath("README.md").read_text() + TOKEN[:20])
    with pytest.raises(InputError, match="the token is written in") as caught:
        publish(run, REPO, api=HfApi(endpoint=hub.url, token=TOKEN[:20]))
    assert TOKEN[:20] not in str(caught.value)


def test_the_commands(hub, tmp_path):
    hub.add_user("alice", TOKEN, orgs=["acme"])
    run = export(tmp_path)
    arguments = ["-m", "ddgs_hub", "publish", str(run), "--repo", REPO]
    done = hub.run(arguments, "--dry-run", token=TOKEN)
    assert (done.returncode, hub.store.get("dataset", REPO)) == (0, None), done.stderr
    done = hub.run(arguments, "--private", "--json", token=TOKEN)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert (json.loads(done.stdout)["version"], the_repository(hub).settings["private"]) == ("v1.0.0", True)
    refused = hub.run(arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("ddgs-hub: there is no token to publish with: log in with `hf auth login`")
    export(tmp_path, (5, 6))
    assert hub.run(arguments, token=TOKEN).returncode == 0
    script = "from datasets import load_dataset; import sys, json\n"
    script += "print(json.dumps(load_dataset(sys.argv[1], split='train', revision='v1.0.0')['seed'][:]))"
    loaded = hub.run(script, REPO, token=TOKEN)
    assert json.loads(loaded.stdout.splitlines()[-1]) == make_rows(1, 2, 3, 4)["seed"][:], loaded.stderr
    listed = hub.run(["-m", "ddgs_hub", "versions", REPO], token=TOKEN)
    assert re.findall(r"^v\d\S+", listed.stdout, re.MULTILINE) == ["v1.0.0", "v1.1.0"], listed.stderr
    compared = hub.run(["-m", "ddgs_hub", "diff", REPO, "v1.0.0", "v1.1.0", "--json"], token=TOKEN)
    assert len(json.loads(compared.stdout)["added"]) == 2, compared.stderr
