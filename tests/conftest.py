"""What all tests share: golden vectors and real images, where this checkout has them beside it, and a local Hub."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import open_browser
from hub_server import HubServer
from huggingface_hub import HfApi, close_session, constants
from huggingface_hub.utils import disable_progress_bars
from published import TOKEN, export, export_with_pool

from ddgs_hub.original import write_original

# Files, longest first.
SLOW = (
    "test_distributed",
    "test_kills",
    "test_matching",
    "test_tour",
    "test_score_push_faults",
    "test_run",
    "test_examples",
    "test_notebook",
    "test_site",
)
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: begun last, they would keep one process busy while the other has nothing left to do."""
    items.sort(key=lambda item: SLOW.index(item.path.stem) if item.path.stem in SLOW else len(SLOW))


def _shared_path(relative: str) -> Path:
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"../shared/{relative} is not beside this checkout")
    return path


@pytest.fixture
def golden() -> Callable[[str], Path]:
    """`golden("nets.json")` is the path of a golden file; the test is skipped where it is absent."""
    return lambda name: _shared_path(f"golden/{name}")


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """`shared_data("imagenette224")` is the folder of a real dataset; the test is skipped where it is absent."""
    return lambda name: _shared_path(f"data/{name}")


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in digits as an original dataset, in Hub layout."""
    folder = tmp_path_factory.mktemp("digits")
    write_original("digits", folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    """A Chromium of this system, driven by playwright; the test is skipped where there is none."""
    with open_browser() as opened:
        yield opened


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A timm classifier of ten classes with random weights, in timm's layout."""
    import timm
    import torch
    from timm.models import save_for_hf

    folder = tmp_path_factory.mktemp("timm")
    torch.manual_seed(0)
    overlay = {"input_size": (3, 32, 32), "crop_pct": 0.9, "interpolation": "bicubic", "mean": (0.4, 0.5, 0.6)}
    model = timm.create_model("test_resnet", num_classes=10, pretrained_cfg_overlay=overlay)
    # Random weights are all but indifferent: a head this strong makes some images easy and some hard.
    torch.nn.init.normal_(model.get_classifier().weight, std=2.0)
    facts, sizes = {"label_names": [str(k) for k in range(10)]}, {"num_classes": 10}
    save_for_hf(model, folder, facts, sizes, safe_serialization=True)  # before 1.0.31, timm does not note the sizes
    return folder


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hugging Face Hub on this machine, empty. Clients: `hub.run(…)`, or in this process with `endpoint=hub.url`."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        # What a client in this process asks of anybody else is refused here; and Xet, which is read when
        # huggingface_hub is imported, would be another protocol than the server's.
        for name, value in server.proxy().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        close_session()  # a client keeps the proxies of its first moment
        yield server
        close_session()


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
