"""What the tests of publishing need: a client of the local Hub, a folder to publish, and nobody who waits."""

import time

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import disable_progress_bars
from published import TOKEN, export, export_with_pool


@pytest.fixture
def pauses(monkeypatch):
    """Seconds that were slept for, by us and by huggingface_hub; nobody waits for them."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def api(hub, pauses, tmp_path_factory, monkeypatch):
    """The client of alice of acme, with a cache of its own."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))
    disable_progress_bars()  # those of an upload that fails are left open
    hub.add_user("alice", TOKEN, orgs=["acme"])
    hub.add_user("alice", "hf_read", role="read", orgs=["acme"])
    hub.add_user("bob", "hf_bob")
    return HfApi(endpoint=hub.url, token=TOKEN)


@pytest.fixture
def run(tmp_path):
    return export(tmp_path)


@pytest.fixture
def pooled(tmp_path):
    """A run folder whose distilled set knows its pool."""
    return export_with_pool(tmp_path / "run")
