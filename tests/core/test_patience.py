"""What the Hub's failures become for the user, and how often it is asked again."""

import pytest
from http_library import httpx
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from published import REPO, export

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import patiently, persist
from ddgs_hub.hub import list_versions, publish


def test_nobody_there(free_port, tmp_path, pauses):
    api = HfApi(endpoint=f"http://127.0.0.1:{free_port}", token="hf_alice")
    with pytest.raises(InputError, match=rf"did not serve {REPO} 6 times, .*Connection refused"):
        publish(export(tmp_path), REPO, api=api)
    assert pauses[-5:] == [1, 2, 4, 8, 16]


def test_offline(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, and what is on the Hub must be seen: unset it"):
        list_versions(REPO, api=HfApi(endpoint=hub.url, token=False))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "the Hub refuses this"),
        (403, "may not write"),
        (404, "there is no dataset"),
        (418, "refuses .*status 418"),
    ],
)
def test_refusals_are_not_tried_again(hub, tmp_path, pauses, status, message):
    hub.add_user("alice", "hf_alice", orgs=["acme"])
    fault = hub.fail("POST /api/datasets/.*/commit/", status=status, times=None)
    with pytest.raises(InputError, match=message):
        publish(export(tmp_path), REPO, api=HfApi(endpoint=hub.url, token="hf_alice"))
    assert (fault.met, pauses) == (1, [])


def test_others_who_do_not_stop_writing(hub, tmp_path, pauses):
    hub.add_user("alice", "hf_alice", orgs=["acme"])
    hub.fail("POST /api/datasets/.*/commit/", status=412, times=None)
    with pytest.raises(InputError, match=f"{REPO} was changed by others 20 times meanwhile"):
        publish(export(tmp_path), REPO, api=HfApi(endpoint=hub.url, token="hf_alice"))


@pytest.mark.parametrize("error", [ValueError("ours"), RuntimeError("ours"), KeyError("ours")])
def test_our_own_defects_are_not_taken_for_the_hubs(error):
    def attempt():
        raise error

    with pytest.raises(type(error), match="ours"):
        persist(REPO, attempt)


def answered(status, **headers):
    request = httpx.Request("GET", "http://127.0.0.1/api")
    return HfHubHTTPError("no", response=httpx.Response(status, headers=headers, request=request))


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (answered(503), [1, 2, 4, 8]),
        (answered(429, **{"Retry-After": "7"}), [7, 7, 7, 7]),
        (answered(429, **{"Retry-After": "7000"}), [120] * 4),
        (httpx.ReadError("the connection broke"), [1, 2, 4, 8]),
        (ConnectionError("of Xet"), [1, 2, 4, 8]),
        (answered(404), []),
        (httpx.ConnectError("nobody listens"), []),
        (ValueError("ours"), []),
    ],
)
def test_what_is_read_is_asked_for_again_where_that_may_help(pauses, error, waits):
    def ask():
        raise error

    with pytest.raises(type(error)) as raised:
        patiently(ask)
    assert raised.value is error
    assert pauses == waits
