"""One Hub with one source, processes that score and publish, and a scorer."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_datasets import FILE, IMAGENET, card
from hub_server import HubServer
from scored import SOURCE, TOKEN, Done, Forker, make_scorer


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """One Hub for all tests of this file, with one source; each test publishes under a name of its own."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        server.add_user("alice", TOKEN, orgs=["acme"])
        server.add_user("alice", "hf_read", role="read", orgs=["acme"])
        server.add_user("bob", "hf_bob")
        server.add_repository("dataset", SOURCE, {"README.md": card({"train": 40}), FILE: IMAGENET})
        yield server


@pytest.fixture(autouse=True)
def no_faults(hub: HubServer) -> Iterator[None]:
    hub.requests.clear()
    yield
    hub.faults.planned.clear()


@pytest.fixture(scope="module")
def forker(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    process = Forker(hub, tmp_path_factory.mktemp("home"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def large(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    """The same for more rows: they are read and spooled as many at a time as they always are, or nearly."""
    process = Forker(hub, tmp_path_factory.mktemp("home"), group=256, part=2**22)
    yield process
    process.close()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_scorer(tmp_path_factory.mktemp("scorer")))


@pytest.fixture
def push(forker: Forker, scorer: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Done]:
    """Scores the source's ImageWoof and publishes it under a name of the test's own, `push.repo`."""
    repo = "acme/to-" + re.sub(r"\W+", "-", request.node.name)[:60].strip("-")

    def call(*more: str, source: str = SOURCE, token: str = TOKEN, to: str = repo) -> Done:
        arguments = ["score", source, "--subset", "imagewoof", "--scorer", scorer, "--batch-size", "8", "--push", to]
        done = forker.run([*arguments, *more], tmp_path, token=token)
        told = done.out + done.err + "".join(path.read_text("latin1") for path in tmp_path.rglob("*") if path.is_file())
        assert TOKEN not in told
        assert "Traceback" not in done.err, done.err
        return done

    call.repo = repo  # type: ignore[attr-defined]
    return call
