"""The local Hub of the tests answers the real clients as the Hub does."""

import pytest
from http_library import httpx
from huggingface_hub import CommitOperationDelete, HfFileSystem
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from stock_clients import DATA, PARQUET, client, commit, status_of

# Repositories and commits


def test_whoami(hub, api):
    me = api.whoami()
    assert (me["name"], [org["name"] for org in me["orgs"]]) == ("alice", ["acme"])
    assert me["auth"]["accessToken"]["role"] == "write"
    assert client(hub, "hf_alice_read").whoami()["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid user token") as error:
        client(hub, "hf_wrong").whoami()
    assert status_of(error) == 401


def test_create_and_delete(hub, api):
    url = api.create_repo("acme/dit", private=True)
    assert (url.repo_id, url.repo_type, str(url)) == ("acme/dit", "model", f"{hub.url}/acme/dit")
    assert api.create_repo("own", repo_type="dataset").repo_id == "alice/own"
    assert [hub.repository("model", "acme/dit").settings["private"], api.model_info("acme/dit").private] == [True, True]
    assert api.dataset_info("alice/own").private is False
    with pytest.raises(HfHubHTTPError, match="already created") as error:
        api.create_repo("acme/dit")
    assert status_of(error) == 409
    assert api.create_repo("acme/dit", exist_ok=True).repo_id == "acme/dit"
    api.update_repo_settings("acme/dit", private=False, gated="auto")
    assert (api.model_info("acme/dit").private, api.model_info("acme/dit").gated) == (False, "auto")
    api.delete_repo("acme/dit")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("acme/dit")
    with pytest.raises(KeyError):
        hub.repository("model", "acme/dit")


def test_a_commit_of_both_kinds_of_files(hub, api, rows):
    first = rows.commits[-1]
    assert [c.message for c in rows.commits] == ["initial commit", "first"]
    assert first.parent == rows.commits[0].sha
    assert {path: file.lfs for path, file in first.files.items()} == {
        ".gitattributes": False,
        "data/rows.parquet": True,
        "notes.txt": False,
    }
    assert rows.read("data/rows.parquet") == PARQUET
    uploads = [request for request in hub.requests if request.method == "PUT"]
    assert [(upload.received, upload.token, upload.status) for upload in uploads] == [(len(PARQUET), False, 200)]

    done = commit(api, "second", {"notes.txt": b"two\n", "data/rows.parquet": PARQUET}, parent_commit=first.sha)
    assert done.oid == rows.head.sha
    assert str(done) == f"{hub.url}/datasets/{DATA}/commit/{done.oid}"
    assert rows.read("notes.txt", first.sha) == b"one\n"
    assert len([request for request in hub.requests if request.method == "PUT"]) == 1  # it was there
    assert [c.title for c in api.list_repo_commits(DATA, repo_type="dataset")] == ["second", "first", "initial commit"]

    again = commit(api, "again", {"notes.txt": b"two\n", "data/rows.parquet": PARQUET})
    assert (again.oid, len(rows.commits)) == (done.oid, 3)  # nothing changed: no commit
    gone = [CommitOperationDelete("data/", is_folder=True)]
    api.create_commit(DATA, gone, repo_type="dataset", commit_message="less")
    assert set(rows.head.files) == {".gitattributes", "notes.txt"}
    with pytest.raises(RemoteEntryNotFoundError):
        api.create_commit(DATA, gone, repo_type="dataset", commit_message="less")


def test_a_commit_behind_another_parent_is_refused(api, rows):
    first = rows.head.sha
    commit(api, "second", {"notes.txt": b"two\n"}, parent_commit=first[:7])
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
        commit(api, "late", {"notes.txt": b"late\n"}, parent_commit=first)
    assert status_of(error) == 412
    assert [rows.head.message, rows.read("notes.txt")] == ["second", b"two\n"]


def test_invalid_card_is_refused_before_the_upload(hub, api, rows):
    with pytest.raises(ValueError, match="Invalid metadata"):
        commit(api, "card", {"README.md": b"---\nlicense: [\n---\n"})
    with pytest.warns(UserWarning, match="empty or missing yaml"):
        commit(api, "card", {"README.md": b"# Rows\n"})
    commit(api, "card", {"README.md": b"---\nlicense: mit\ntags: [a]\n---\n# Rows\n"})
    info = api.dataset_info(DATA, files_metadata=True)
    assert (info.card_data.license, info.tags, info.sha) == ("mit", ["a"], rows.head.sha)
    lfs = {sibling.rfilename: sibling.lfs for sibling in info.siblings}["data/rows.parquet"]
    assert (lfs.size, lfs.sha256) == (len(PARQUET), rows.head.files["data/rows.parquet"].sha256)


def test_tags_branches_and_pull_requests(hub, api, rows):
    first = rows.head.sha
    api.create_tag(DATA, tag="v1", tag_message="the first", repo_type="dataset")
    api.create_branch(DATA, branch="next", revision="v1", repo_type="dataset")
    commit(api, "on next", {"notes.txt": b"next\n"}, revision="next")
    assert (rows.tags, rows.branches) == ({"v1": first}, {"main": first, "next": rows.at("next").sha})
    for call in (api.create_tag, api.create_branch):
        name = {"tag": "v1"} if call == api.create_tag else {"branch": "next"}
        with pytest.raises(HfHubHTTPError, match="exists") as error:
            call(DATA, revision="next", repo_type="dataset", **name)
        assert status_of(error) == 409
    api.create_tag(DATA, tag="v1", revision="next", repo_type="dataset", exist_ok=True)
    assert rows.tags["v1"] == first  # as on the Hub: it stays where it was
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(DATA, tag="v2", revision="nowhere", repo_type="dataset")
    with pytest.raises(RevisionNotFoundError):
        commit(api, "on a tag", {"notes.txt": b"tag\n"}, revision="v1")
    with pytest.raises(BadRequestError):
        api.create_branch(DATA, branch="refs/pr/7", repo_type="dataset")

    stranger = client(hub, "hf_bob")
    with pytest.raises(HfHubHTTPError, match="create_pr=1") as error:
        commit(stranger, "mine", {"notes.txt": b"bob\n"})
    assert status_of(error) == 403
    request = commit(stranger, "a proposal", {"notes.txt": b"bob\n"}, create_pr=True)
    assert (request.pr_num, request.pr_revision, rows.pull_requests) == (1, "refs/pr/1", {"1": request.oid})
    assert (rows.read("notes.txt"), rows.read("notes.txt", "refs/pr/1")) == (b"one\n", b"bob\n")

    refs = api.list_repo_refs(DATA, repo_type="dataset", include_pull_requests=True)
    assert {branch.name: branch.target_commit for branch in refs.branches} == rows.branches
    assert [(tag.name, tag.ref, tag.target_commit) for tag in refs.tags] == [("v1", "refs/tags/v1", first)]
    assert [pull.ref for pull in refs.pull_requests] == ["refs/pr/1"]
    api.delete_tag(DATA, tag="v1", repo_type="dataset")
    api.delete_branch(DATA, branch="next", repo_type="dataset")
    assert (rows.tags, list(rows.branches)) == ({}, ["main"])


# Reading


def test_trees_and_paths(hub, api, rows):
    hub.page_size = 2
    entries = {entry.path: entry for entry in api.list_repo_tree(DATA, recursive=True, repo_type="dataset")}
    assert list(entries) == [".gitattributes", "data", "data/rows.parquet", "notes.txt"]  # from two pages
    assert [entry.path for entry in api.list_repo_tree(DATA, "data", repo_type="dataset")] == ["data/rows.parquet"]
    assert "data/rows.parquet" not in [entry.path for entry in api.list_repo_tree(DATA, repo_type="dataset")]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(DATA, "nowhere", repo_type="dataset"))
    commit(api, "second", {"other.txt": b"two\n"})
    paths = ["data/rows.parquet", "data", "nowhere"]
    file, folder = api.get_paths_info(DATA, paths, expand=True, repo_type="dataset")
    assert (file.path, file.size, file.lfs.size) == ("data/rows.parquet", len(PARQUET), len(PARQUET))
    assert [entry.last_commit.title for entry in (file, folder)] == ["first", "first"]
    assert file.blob_id == entries["data/rows.parquet"].blob_id


def test_downloads_at_a_branch_a_tag_and_a_commit(hub, api, rows, tmp_path):
    first = rows.head.sha
    api.create_tag(DATA, tag="v1", repo_type="dataset")
    api.create_branch(DATA, branch="old/one", repo_type="dataset")  # a slash in the name
    commit(api, "second", {"notes.txt": b"two\n"})

    def content(filename, **options):
        path = api.hf_hub_download(DATA, filename, repo_type="dataset", cache_dir=tmp_path, **options)
        with open(path, "rb") as file:
            return file.read()

    contents = [content("notes.txt", revision=revision) for revision in ("v1", "old/one", first[:9], first, None)]
    assert contents == [b"one\n"] * 4 + [b"two\n"]
    hub.requests.clear()
    assert content("data/rows.parquet") == PARQUET
    head, get = hub.requests
    assert (head.method, head.status, head.token) == ("HEAD", 302, True)
    assert (get.path.startswith("/lfs/"), get.sent, get.token) == (True, len(PARQUET), False)  # no token leaves the Hub
    with pytest.raises(RemoteEntryNotFoundError):
        content("nowhere.txt")
    with pytest.raises(RevisionNotFoundError):
        content("notes.txt", revision="nowhere")
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download("acme/nothing", "notes.txt", cache_dir=tmp_path)
    folder = api.snapshot_download(DATA, repo_type="dataset", revision="v1", cache_dir=tmp_path / "snapshot")
    assert folder.endswith(first)


def test_ranges_through_the_file_system(hub, rows):
    files = HfFileSystem(endpoint=hub.url, token="hf_alice", skip_instance_cache=True)
    path = f"datasets/{DATA}/data/rows.parquet"
    assert (files.info(path)["size"], files.glob(f"datasets/{DATA}/**/*.parquet")) == (len(PARQUET), [path])
    hub.requests.clear()
    with files.open(path, block_size=256, cache_type="none") as file:
        file.seek(4)
        assert file.read(256) == bytes(range(256))
        file.seek(-4, 2)
        assert file.read() == b"PAR1"
    gets = [(get.range, get.status, get.sent) for get in hub.requests if get.path.startswith("/lfs/")]
    assert gets == [("bytes=4-259", 206, 256), (f"bytes={len(PARQUET) - 4}-{len(PARQUET) - 1}", 206, 4)]
    size = len(PARQUET)
    url = f"{hub.url}/datasets/{DATA}/resolve/main/data/rows.parquet"
    for wanted, status, content in [
        ("bytes=-4", 206, b"PAR1"),
        (f"bytes={size - 2}-", 206, b"R1"),
        (f"bytes=0-{2 * size}", 206, PARQUET),
    ]:
        answer = httpx.get(url, headers={"Range": wanted}, follow_redirects=True)
        assert (answer.status_code, answer.content) == (status, content)
    beyond = httpx.get(url, headers={"Range": f"bytes={size}-"}, follow_redirects=True)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")


# Who may do what


def test_private_repositories_do_not_exist_for_strangers(hub, api, rows, tmp_path):
    hub.set_private(rows)
    assert api.dataset_info(DATA).private is True
    assert client(hub, "hf_alice_read").dataset_info(DATA).private is True
    for token, status in [("hf_bob", 404), (False, 401)]:
        other = client(hub, token)
        for call in (other.dataset_info, lambda repo, api=other: commit(api, "no", {"a.txt": b"a"})):
            with pytest.raises(RepositoryNotFoundError) as error:
                call(DATA)
            assert status_of(error) == status
        with pytest.raises(RepositoryNotFoundError):
            other.hf_hub_download(DATA, "notes.txt", repo_type="dataset", cache_dir=tmp_path)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as error:
        client(hub, "hf_wrong").dataset_info(DATA)
    assert (type(error.value), status_of(error)) == (HfHubHTTPError, 401)


def test_gated_files(hub, api, rows, tmp_path):
    hub.gate(rows, granted=["bob"])
    hub.add_user("carol", "hf_carol")
    assert client(hub, False).dataset_info(DATA).gated == "manual"  # all but the files can be seen
    for token, status in [("hf_carol", 403), (False, 401)]:
        with pytest.raises(GatedRepoError, match="restricted") as error:
            client(hub, token).hf_hub_download(DATA, "notes.txt", repo_type="dataset", cache_dir=tmp_path)
        assert status_of(error) == status
        with pytest.raises(GatedRepoError):
            client(hub, token).auth_check(DATA, repo_type="dataset")
    for token in ("hf_bob", "hf_alice_read"):
        folder = tmp_path / token
        assert client(hub, token).hf_hub_download(DATA, "notes.txt", repo_type="dataset", cache_dir=folder)
    hub.gate(rows, False)
    client(hub, False).auth_check(DATA, repo_type="dataset")


def test_who_may_write(hub, api, rows):
    before = rows.head.sha
    for token, status, message in [("hf_alice_read", 403, "Authorization error"), ("hf_bob", 403, "create_pr")]:
        with pytest.raises(HfHubHTTPError, match=message) as error:
            commit(client(hub, token), "no", {"a.txt": b"a"})
        assert status_of(error) == status
    with pytest.raises(RepositoryNotFoundError, match="Invalid username or password") as error:
        commit(client(hub, False), "no", {"a.txt": b"a"})
    assert status_of(error) == 401
    for token, status in [("hf_alice_read", 403), ("hf_bob", 403), (False, 401)]:
        with pytest.raises(HfHubHTTPError) as error:
            client(hub, token).create_repo("acme/new")
        assert status_of(error) == status
        with pytest.raises(HfHubHTTPError) as error:
            client(hub, token).create_tag(DATA, tag="v1", repo_type="dataset")
        assert status_of(error) == status
    assert (rows.head.sha, rows.tags) == (before, {})
