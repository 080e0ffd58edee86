"""What the tests of `score --push` share: a scorer, what must be published, and processes that start at once.

A process that has imported everything forks one for each command; see `Forker`.
"""

import io
import json
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import timm
import torch
from clients import Client
from hub_datasets import IMAGES, LABELS, WANTED, WNIDS, WOOF
from hub_server import HubServer
from hub_server.repositories import Repository
from timm.models import save_for_hf

TOKEN = "hf_" + "Alice0" * 6
SOURCE = "acme/in1k"
PUBLISHING = {
    "who": "GET /api/whoami-v2",
    "create": "POST /api/repos/create",
    "preupload": "POST /api/datasets/acme/to-.*/preupload/",
    "batch": "POST /datasets/acme/to-.*/info/lfs/objects/batch",
    "upload": "PUT /lfs/datasets/acme/to-",
    "verify": "POST /datasets/acme/to-.*/info/lfs/objects/verify",
    "commit": "POST /api/datasets/acme/to-.*/commit/",
    "tag": "POST /api/datasets/acme/to-.*/tag/",
}
# Reads a command a line, forks a process for it, and prints its number; a number is waited for, and what came of it
# printed. Rows are spooled a few at a time and batches are small, so that there is something to interrupt.
FORK = """
import json, os, sys, threading, time
from pathlib import Path
from ddgs_hub import hub
import ddgs_hub.stages.score
from ddgs_hub.original import reading as source_rows
from ddgs_hub.original import spool
from ddgs_hub.cli.main import main
from ddgs_hub.evaluation.figures import scored as scored_figures

source_rows.ROWS_PER_GROUP = int(sys.argv[2])
spool.PART_BYTES = int(sys.argv[3])
scored_figures.MOST_CLASSES = 1  # of many panels, most of the time would go into drawing
if sys.argv[1] == "hurry":
    time.sleep = lambda seconds: None


def watch(peaks, pause=threading.Event()):
    # What is resident without the files that are mapped, of which the system keeps as much as it likes.
    status = Path("/proc/self/status")
    while status.is_file():
        [anonymous] = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("RssAnon")]
        peaks.append(int(anonymous))
        pause.wait(0.02)


for line in sys.stdin:
    order = json.loads(line)
    if isinstance(order, int):
        _, status = os.waitpid(order, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    os.environ.update(order["env"])
    os.chdir(order["folder"])
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    sys.argv = ["ddgs-hub", *order["arguments"]]
    peaks = [0]
    threading.Thread(target=watch, args=(peaks,), daemon=True).start()
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    Path("peak").write_text(str(max(peaks)))
    os._exit(code)
"""


OUTPUTS = ("out", "err", "peak")


class Done(NamedTuple):
    code: int
    out: str
    err: str
    peak: float  # memory without mapped files, MB


class Forker:
    """A process that has imported everything, and forks one for each command.

    Args:
        hub: that all of them talk to.
        home: HF_HOME of all of them.
        hurry: nobody sleeps.
        group: rows that are read at once.
        part: bytes of rows that are spooled at once.
    """

    def __init__(self, hub: HubServer, home: Path, *, hurry: bool = True, group: int = 5, part: int = 1000) -> None:
        (theirs, orders), (answers, written) = os.pipe(), os.pipe()
        self.orders, self.answers = os.fdopen(orders, "w"), os.fdopen(answers)
        command = ["-c", FORK, "hurry" if hurry else "wait", str(group), str(part)]
        with os.fdopen(theirs) as stdin, os.fdopen(written, "w") as stdout:
            self.process = Client(command, env=hub.environment(home), streams=(stdin, stdout, None))

    def start(self, arguments: list[str], folder: Path, *, token: str = "", **env: str) -> int:
        """The number of the process that runs `ddgs-hub` with these arguments in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        order = {"arguments": arguments, "folder": str(folder), "env": {"HF_TOKEN": token, **env}}
        return self._ask(order)

    def wait(self, pid: int) -> int:
        """Its exit code; negative: the signal that ended it."""
        return self._ask(pid)

    def run(self, arguments: list[str], folder: Path, *, token: str = "", **env: str) -> Done:
        code = self.wait(self.start(arguments, folder, token=token, **env))
        out, err, peak = ((folder / name).read_text() for name in OUTPUTS)
        for name in OUTPUTS:
            (folder / name).unlink()
        return Done(code, out, err, int(peak) / 1024)

    def kill(self, pid: int) -> int:
        os.kill(pid, signal.SIGKILL)
        return self.wait(pid)

    def _ask(self, order: Any) -> int:
        self.orders.write(json.dumps(order) + "\n")
        self.orders.flush()
        return int(self.answers.readline())

    def close(self) -> None:
        self.orders.close()
        self.process.wait(10)
        self.answers.close()


def make_scorer(folder: Path, names: list[str] | None = None, seed: int = 0) -> Path:
    """A classifier with random weights, of ImageWoof's classes by default."""
    torch.manual_seed(seed)
    names = names or list(WOOF.wnids)
    model = timm.create_model("test_resnet", num_classes=len(names), pretrained_cfg_overlay={"input_size": (3, 32, 32)})
    torch.nn.init.normal_(model.get_classifier().weight, std=2.0)
    save_for_hf(model, folder, model_config={"label_names": names}, safe_serialization=True)
    return folder


def published(hub: HubServer, repo: str, version: str = "v1.0.0") -> Repository:
    """The repository, which has this version alone: one commit and one tag."""
    repository = hub.repository("dataset", repo)
    assert [commit.message.split(":")[0] for commit in repository.commits][1:] == [version]
    assert repository.tags == {version: repository.head.sha}
    return repository


def published_rows(repository: Any, revision: str = "main") -> dict[str, list[Any]]:
    """The columns of the Parquet files of a commit."""
    files = sorted(path for path in repository.at(revision).files if path.startswith("data/"))
    tables = [pq.read_table(io.BytesIO(repository.read(path, revision))) for path in files]
    assert len(tables) == 1
    return tables[0].to_pydict()


def assert_every_row_once(columns: dict[str, list[Any]], *, images: bool) -> None:
    """That these are the rows of ImageWoof in the source of `hub_datasets`, each once, in order, byte for byte."""
    assert columns["source_index"] == WANTED
    assert columns["label"] == [WOOF.imagenet_indices.index(LABELS[row]) for row in WANTED]
    assert columns["wnid"] == [WNIDS[LABELS[row]] for row in WANTED]
    assert all(0 <= difficulty <= 1 for difficulty in columns["difficulty"])
    assert len(set(columns["difficulty"])) > 10
    assert ("image" in columns) == images
    if images:
        assert [image["bytes"] for image in columns["image"]] == [IMAGES[row] for row in WANTED]
