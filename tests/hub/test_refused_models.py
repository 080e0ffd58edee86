"""Models of the Hub that may not be read, or are not there: one sentence that says which, and what to do."""

import json

import pytest

LOAD = """
import json
from ddgs_hub.codec import load_autoencoder
from ddgs_hub.diffusion import load_dit
from ddgs_hub.difficulty import Scorer
from ddgs_hub.errors import InputError

said = []
for load in (Scorer.from_pretrained, load_dit, load_autoencoder):
    for name, revision in (("acme/model", None), ("acme/model", "v9"), ("acme/none", None)):
        try:
            load(name, revision=revision)
        except InputError as error:
            said.append(str(error))
print(json.dumps(said))
"""
TOKEN = "hf_" + "Eve00" * 7


@pytest.fixture(scope="module")
def loaders():
    return ["cannot get the scorer {}: ", "cannot load a DiT from {}: ", "cannot load an autoencoder from {}: "]


def test_who_may_not_read_a_model_is_told_so(hub, loaders):
    model = hub.add_repository("model", "acme/model", {"config.json": b"{}"})
    hub.add_user("eve", TOKEN)
    missing = "there is no model {} on " + hub.url
    hub.gate(model)
    assert_said(
        hub.run(LOAD, token=TOKEN),
        loaders,
        f"acme/model is gated and this account has no access to it: ask for access on {hub.url}/acme/model",
        f"acme/model has no revision 'v9': those that it has are on {hub.url}/acme/model/tree/main",
        f"{missing.format('acme/none')}, or its token may not read it: correct the id, or use a token that may",
    )
    hub.gate(model, False)
    hub.set_private(model)
    log_in = "or it is private: correct the id, or log in with `hf auth login` or set HF_TOKEN"
    hidden = f"{missing.format('acme/model')}, {log_in}"
    assert_said(hub.run(LOAD), loaders, hidden, hidden, f"{missing.format('acme/none')}, {log_in}")
    wrong = f"{hub.url} does not accept the token for {{}}: it is wrong or no longer valid"
    done = hub.run(LOAD, token="hf_wrong")
    assert_said(done, loaders, wrong.format("acme/model"), wrong.format("acme/model"), wrong.format("acme/none"))
    assert "hf_wrong" not in done.stdout + done.stderr


def assert_said(done, loaders, plain, revision, none):
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    names = ("acme/model", "acme/model", "acme/none")
    wanted = [loader.format(n) + s for loader in loaders for n, s in zip(names, (plain, revision, none), strict=True)]
    for found, expected in zip(said, wanted, strict=True):
        assert found.startswith(expected)
        assert "\n" not in found
