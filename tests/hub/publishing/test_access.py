"""Whether a token may write, asked before anything is computed."""

import re

import pytest
from huggingface_hub import HfApi
from published import REPO, TOKEN

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub import check_push

MAY_NOT = f"this token may not write to {REPO}: take one with the role write of a member of acme"


@pytest.fixture
def users(hub, api):
    hub.add_user("alice", "hf_fine", role="fineGrained", orgs=["acme"])
    hub.add_user("carol", "hf_carol", orgs=["acme"])


@pytest.mark.parametrize("repo_type", ["dataset", "model"])
@pytest.mark.parametrize("there", [False, True])
def test_who_may(hub, users, repo_type, there):
    if there:
        hub.add_repository(repo_type, REPO)
    for token in (TOKEN, "hf_carol"):
        check_push(REPO, repo_type, api=HfApi(endpoint=hub.url, token=token))
    check_push("bob/mine", repo_type, private=True, api=HfApi(endpoint=hub.url, token="hf_bob"))
    assert {request.method for request in hub.requests if request.path.startswith("/")} == {"GET"}


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_read", MAY_NOT),
        ("hf_fine", MAY_NOT),
        ("hf_bob", MAY_NOT),
        ("hf_wrong", f"the Hub does not accept this token for {REPO}: log in"),
        (False, "there is no token to publish with: log in"),
        ("hf_two words", "the token has blanks"),
    ],
)
@pytest.mark.parametrize("there", [None, "public", "private"])
def test_who_may_not(hub, users, token, message, there):
    if there:
        hub.add_repository("model", REPO, private=there == "private")
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        check_push(REPO, "model", api=HfApi(endpoint=hub.url, token=token))
    assert str(token) not in str(caught.value)


def test_a_public_repository_that_is_to_be_private(hub, api):
    repository = hub.add_repository("model", REPO)
    check_push(REPO, "model", api=api)
    with pytest.raises(InputError, match="is there and public: make it private in its settings first"):
        check_push(REPO, "model", private=True, api=api)
    hub.set_private(repository)
    check_push(REPO, "model", private=True, api=api)


def test_no_name(api):
    for name in ("no-owner", "acme/a b"):
        with pytest.raises(InputError, match="give OWNER/NAME"):
            check_push(name, api=api)


@pytest.mark.parametrize(
    "operation", ["GET /api/whoami", "GET /api/models/acme/[^/]*$", "GET /api/models/.*/auth-check"]
)
@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"drop": "during"}], ids=str)
def test_a_fault(hub, api, pauses, operation, fault):
    hub.add_repository("model", REPO)
    planned = hub.fail(operation, **fault)
    check_push(REPO, "model", api=api)
    assert planned.happened
    planned.times, planned.met = None, 0
    with pytest.raises(InputError, match="start the same command again later"):
        check_push(REPO, "model", api=api)


def test_offline(hub, tmp_path):
    script = f"from ddgs_hub.hub import check_push; check_push('{REPO}')"
    done = hub.run(script, token=TOKEN, env={"HF_HUB_OFFLINE": "1"})
    assert "InputError: HF_HUB_OFFLINE is set, and what is on the Hub must be seen: unset it" in done.stderr
    assert TOKEN not in done.stderr
    assert hub.requests == []
