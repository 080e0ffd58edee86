"""Whose terms apply to what is published."""

import json

from huggingface_hub import constants

from ddgs_hub.hub import license_of

LICENSES = """
import json, sys
from ddgs_hub.hub import license_of
print(json.dumps([license_of(name) for name in sys.argv[1:]]))
"""


def test_the_license_of_a_base_is_what_its_card_says(hub):
    named = "license: other\nlicense_name: terms\nlicense_link: LICENSE.md\n"
    for name, front in (
        ("plain", "license: cc-by-nc-4.0\n"),
        ("named", named),
        ("none", "tags: [a]\n"),
        ("bad", "a: ["),
    ):
        hub.add_repository("model", f"acme/{name}", {"README.md": f"---\n{front}---\n# A\n".encode()})
    names = [f"acme/{name}" for name in ("plain", "named", "none", "bad", "absent")]
    done = hub.run(LICENSES, *names)
    assert done.returncode == 0, done.stderr
    plain, other, *unknown = json.loads(done.stdout)
    assert plain == {"license": "cc-by-nc-4.0"}
    link = f"{hub.url}/acme/named/blob/main/LICENSE.md"
    assert other == {"license": "other", "license_name": "terms", "license_link": link}
    for name, found in zip(names[2:], unknown, strict=True):
        expected = {"license": "other", "license_name": f"that of {name}", "license_link": f"{hub.url}/{name}"}
        assert found == expected


def test_offline_the_license_is_that_of_the_base_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = license_of("acme/base")
    assert (found["license"], found["license_name"]) == ("other", "that of acme/base")
