"""Faults of the local Hub, and what remains of it."""

import socket
import threading
import time

import pytest
from http_library import httpx
from hub_server import HubServer
from huggingface_hub.errors import HfHubHTTPError
from stock_clients import DATA, PARQUET, commit, status_of


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_status_on_demand(hub, api, rows, status):
    before = rows.head.sha
    fault = hub.fail("POST .*/commit/main", status=status, headers={"Retry-After": "3"})
    with pytest.raises(HfHubHTTPError) as error:
        commit(api, "second", {"notes.txt": b"two\n"})
    assert (status_of(error), error.value.response.headers["Retry-After"]) == (status, "3")
    assert (rows.head.sha, fault.happened) == (before, True)
    commit(api, "second", {"notes.txt": b"two\n"})  # once only
    assert rows.head.message == "second"
    hub.fail("POST .*/commit/main", nth=2, status=status, served=True)
    commit(api, "third", {"notes.txt": b"three\n"})
    with pytest.raises(HfHubHTTPError):
        commit(api, "fourth", {"notes.txt": b"four\n"})
    assert rows.head.message == "fourth"  # it took effect all the same


@pytest.mark.parametrize(
    ("drop", "effect", "errors"),
    [
        ("before", False, httpx.RemoteProtocolError),
        ("upload", False, httpx.TransportError),
        ("during", True, httpx.RemoteProtocolError),
        ("after", True, httpx.RemoteProtocolError),
    ],
)
def test_a_dropped_connection(hub, api, rows, drop, effect, errors):
    before = rows.head.sha
    hub.fail("POST .*/commit/main", drop=drop)
    with pytest.raises(errors):
        commit(api, "second", {"notes.txt": b"two\n" * 100_000})
    assert (rows.head.message, rows.head.parent == before) == (("second", True) if effect else ("first", False))
    [request] = [request for request in hub.requests if "/commit/" in request.path][1:]
    assert request.status == (200 if drop == "during" else None)
    commit(api, "second", {"notes.txt": b"two\n" * 100_000})  # the client sees what is there
    assert [c.message for c in rows.commits] == ["initial commit", "first", "second"]


def test_a_broken_download_is_tried_again(hub, api, rows, tmp_path):
    hub.fail("GET /lfs/", drop="during")
    path = api.hf_hub_download(DATA, "data/rows.parquet", repo_type="dataset", cache_dir=tmp_path)
    with open(path, "rb") as file:
        assert file.read() == PARQUET
    gets = [get.sent for get in hub.requests if get.method == "GET" and get.path.startswith("/lfs/")]
    assert gets == [len(PARQUET) // 2, len(PARQUET)]  # from the beginning: the client keeps pieces of 10 MB only


def test_a_delay(hub, api, rows):
    hub.fail("GET /api/datasets/", delay=30)
    with pytest.raises(httpx.ReadTimeout):
        api.dataset_info(DATA, timeout=0.3)
    assert api.dataset_info(DATA, timeout=10).sha == rows.head.sha


# The server


def test_nothing_of_it_remains(tmp_path):
    def threads():
        return {thread for thread in threading.enumerate() if thread.name == "hub" or "process_request" in thread.name}

    before = threads()
    with HubServer(tmp_path) as hub:
        hub.add_user("alice", "hf_alice")
        hub.fail("GET /api/whoami", delay=60)
        connection = socket.create_connection(("127.0.0.1", int(hub.url.rsplit(":", 1)[1])))
        connection.sendall(b"GET /api/whoami-v2 HTTP/1.1\r\nAuthorization: Bearer hf_alice\r\n\r\n")
        while not hub.requests:
            time.sleep(0.01)
        repository = hub.add_repository("model", "acme/dit", {"config.json": b"{}"})
    connection.close()
    assert threads() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(hub.url.rsplit(":", 1)[1])))
    with HubServer(tmp_path) as again:  # the repositories are on disk
        assert again.repository("model", "acme/dit").commits == repository.commits


def test_a_bug_of_the_server_is_not_taken_for_a_dropped_connection(tmp_path):
    with pytest.raises(RuntimeError, match="has no attribute 'get'"), HubServer(tmp_path) as hub:  # noqa: PT012
        hub.store = None
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{hub.url}/api/models/acme/dit")
