"""The app of a published Space, started as a Space starts it: a page for everybody, on which nothing can be written."""

import json
import threading
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from clients import Client
from published import REPO

from ddgs_hub.hub import publish, publish_space


def test_the_app_of_a_space_shows_the_pool_of_its_version_and_writes_nothing(hub, api, pooled, tmp_path, free_port):
    publish_space(publish(pooled, REPO, pool=True, api=api), api=api)
    app = tmp_path / "app.py"
    app.write_bytes(hub.repository("space", REPO).read("app.py"))
    space = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(free_port)}
    env = {**hub.environment(tmp_path / "home"), **space, "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    with (tmp_path / "err").open("w") as err:
        client = Client([app], env=env, cwd=tmp_path, streams=(None, None, err))
        try:
            config = wait_for(f"http://127.0.0.1:{free_port}/config", client, tmp_path / "err")
        finally:
            client.kill()
    ids = {component["props"].get("elem_id") for component in config["components"]}
    assert {"class", "ipc", "gallery", "line"} <= ids
    assert not {"save", "publish", "folder", "repo"} & ids
    shown = json.dumps(config)
    assert f"{REPO}@v1.0.0" in shown
    assert str(tmp_path) not in shown
    assert {function["api_visibility"] for function in config["dependencies"]} == {"private"}
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".parquet"] == []


def wait_for(url, client, err):
    """What the address answers, as a proxy in front of a Space asks it."""
    for _ in range(600):
        if client.poll() is not None:
            pytest.fail(err.read_text())
        try:
            with urlopen(Request(url, headers={"Host": "acme-tiny.example"})) as answer:
                return json.loads(answer.read())
        except URLError:
            threading.Event().wait(0.2)  # `api` has nobody sleep
    return pytest.fail(err.read_text())
