"""Models of the Hub that may not be read, or are not there: one sentence that says which, and what to do."""

import json

LOAD = """
import json, os, sys
from ddgs_hub.diffusion import load_autoencoder
from ddgs_hub.diffusion import load_dit
from ddgs_hub.difficulty import Scorer
from ddgs_hub.core.errors import InputError

said = []
for token, name, revision in json.loads(sys.argv[1]):
    os.environ.pop("HF_TOKEN", None)
    if token:
        os.environ["HF_TOKEN"] = token
    for load in (Scorer.from_pretrained, load_dit, load_autoencoder):
        try:
            load(name, revision=revision)
        except InputError as error:
            said.append(str(error))
print(json.dumps(said))
"""
LOADERS = ("cannot get the scorer {}: ", "cannot load a DiT from {}: ", "cannot load an autoencoder from {}: ")
TOKEN = "hf_" + "Eve00" * 7


def test_who_may_not_read_a_model_is_told_so(hub):
    hub.add_user("eve", TOKEN)
    hub.gate(hub.add_repository("model", "acme/gated", {"config.json": b"{}"}))
    hub.add_repository("model", "acme/private", {"config.json": b"{}"}, private=True)
    missing = "there is no model {} on " + hub.url
    log_in = "or it is private: correct the id, or log in with `hf auth login` or set HF_TOKEN"
    cases = {
        (TOKEN, "acme/gated", None): f"acme/gated is gated and this account has no access to it: ask for access on "
        f"{hub.url}/acme/gated",
        (TOKEN, "acme/gated", "v9"): f"acme/gated has no revision 'v9': those that it has are on "
        f"{hub.url}/acme/gated/tree/main",
        (TOKEN, "acme/none", None): f"{missing.format('acme/none')}, or its token may not read it: correct the id, or "
        "use a token that may",
        (None, "acme/private", None): f"{missing.format('acme/private')}, {log_in}",
        (None, "acme/none", "v1"): f"{missing.format('acme/none')}, {log_in}",
        ("hf_wrong", "acme/private", None): f"{hub.url} does not accept the token for acme/private: it is wrong or no "
        "longer valid",
    }
    done = hub.run(LOAD, json.dumps([*cases]))
    assert done.returncode == 0, done.stderr
    assert "hf_wrong" not in done.stdout + done.stderr
    wanted = [loader.format(name) + told for (_, name, _), told in cases.items() for loader in LOADERS]
    for found, expected in zip(json.loads(done.stdout.splitlines()[-1]), wanted, strict=True):
        assert found.startswith(expected)
        assert "\n" not in found
