"""A forked client is what the same command line is in a new Python."""

import importlib
import os
import pty
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clients import ONE_THREAD, Client, run

SHOW = """
import json, os, sys
names = sorted(name for name in sys.modules if name.split(".")[0] in ("huggingface_hub", "datasets", "ddgs_hub"))
print(json.dumps([sys.argv, sys.path, __name__, os.getcwd(), dict(os.environ), names, sys.stdin.read(), os.getpgrp()]))
print(vars(sys.modules["__main__"]) is globals(), sys.stdout.isatty(), sys.stdout.line_buffering)
print("ö", file=sys.stderr)
"""
ENDS = {
    "": (0, ""),
    "raise SystemExit": (0, ""),
    "raise SystemExit(3)": (3, ""),
    "raise SystemExit('no')": (1, "no\n"),
    "raise ValueError('no')": (1, "ValueError: no\n"),
    "import atexit; atexit.register(print, 'last')": (0, ""),
    "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()": (0, ""),
    "import os; os._exit(7)": (7, ""),
    "import os; print('lost'); os.abort()": (-signal.SIGABRT, ""),
    "raise KeyboardInterrupt": (-signal.SIGINT, "KeyboardInterrupt\n"),
    "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); print('lost')": (None, "No space left on device\n"),
}


def both(argv: list[str], **how) -> list["subprocess.CompletedProcess[str]"]:
    return [run(argv, fork=fork, **how) for fork in (True, False)]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    more = {"HF_HOME": str(tmp_path), "NEW": "ö", "PYTHONPATH": os.pathsep.join(["here", str(tmp_path)])}
    return {**os.environ, **ONE_THREAD, **more}


@pytest.mark.parametrize("how", ["-c", "-m", "script"])
def test_it_sees_what_a_new_python_sees(how, env, tmp_path):
    (tmp_path / "show.py").write_text(SHOW)
    argv = {"-c": ["-c", SHOW], "-m": ["-m", "show"], "script": [str(tmp_path / "show.py")]}[how]
    forked, new = both([*argv, "a", "b c"], env=env, cwd=tmp_path)
    assert new.returncode == 0, new.stderr
    assert vars(forked) == vars(new)


@pytest.mark.parametrize("source", ENDS)
def test_it_ends_as_a_new_python_ends(source, env):
    forked, new = both(["-c", source], env=env)
    code, error = ENDS[source]
    assert (forked.returncode, forked.stdout) == (new.returncode, new.stdout)
    assert forked.returncode == code or code is None  # None: it depends on whether Python's output is buffered
    assert forked.stderr.endswith(error)
    assert new.stderr.splitlines()[-1:] == forked.stderr.splitlines()[-1:]


def test_libraries_of_the_hub_read_the_environment_of_the_client(env, tmp_path):
    source = (
        "import huggingface_hub, datasets; print(huggingface_hub.constants.HF_HUB_CACHE, datasets.config.HF_CACHE_HOME)"
    )
    for home in ("one", "two"):
        done = run(["-c", source], env={**env, "HF_HOME": str(tmp_path / home)})
        assert done.stdout.split() == [str(tmp_path / home / "hub"), str(tmp_path / home)], done.stderr


def test_many_clients_of_one_environment_have_its_libraries_loaded(env, tmp_path):
    source = """
import os, sys
print("diffusers" in sys.modules, os.environ.get("RANK"), os.getcwd())
import huggingface_hub, datasets
print(huggingface_hub.constants.HF_HUB_CACHE, datasets.config.HF_CACHE_HOME)
"""
    for number in range(4):
        done = run(["-c", source], env={**env, "RANK": str(number)}, cwd=tmp_path)
        home = str(tmp_path)
        assert done.stdout.split() == [str(number >= 2), str(number), home, f"{home}/hub", home], done.stderr
    others = [run(["-c", source], env={**env, "HF_HOME": str(tmp_path / "other")}, cwd=tmp_path) for _ in range(2)]
    assert {done.stdout.split()[3] for done in others} == {f"{tmp_path}/other/hub"}
    argv = ["-c", SHOW.replace("(name for name in sys.modules", "(name for name in ()")]
    forked, new = both(argv, env=env, cwd=tmp_path)
    assert vars(forked) == vars(new)


def test_clients_are_forked_whatever_was_imported_here(hub):
    source = "import sys; print('torch' in sys.modules, open('/proc/self/cmdline').read())"
    for name in ("diffusers", "sklearn.cluster", "timm", "ddgs_hub.stages.run"):  # some of which set variables
        importlib.import_module(name)
    done = hub.run(source)
    assert done.stdout.startswith("True"), done.stderr
    assert "fork_server.py" in done.stdout
    assert hub.run(source, fork=False).stdout.startswith("False")


def test_what_python_reads_as_it_starts_needs_a_new_one(env):
    done = run(["-c", "import sys; print(sys.stdout.encoding)"], env={**env, "PYTHONIOENCODING": "cp1252"})
    assert done.stdout == "cp1252\n", done.stderr
    with pytest.raises(ValueError, match="cp1252"):
        Client(["-c", ""], env={**env, "PYTHONIOENCODING": "cp1252"})


def test_several_at_once_and_a_kill(env, tmp_path):
    source = "import sys, time; print(*sys.argv[1:], flush=True); time.sleep(60)"
    files = [(tmp_path / name).open("w+") for name in ("first", "second")]
    clients = [Client(["-c", source, file.name], env=env, streams=(None, file, file)) for file in files]
    while not all(Path(file.name).read_text() for file in files):
        assert [client.poll() for client in clients] == [None, None]
        time.sleep(0.01)
    os.kill(clients[0].pid, signal.SIGTERM)
    assert clients[0].wait(10) == -signal.SIGTERM
    clients[1].kill()
    assert clients[1].returncode == clients[1].poll() == -signal.SIGKILL
    for client, file in zip(clients, files, strict=True):
        assert Path(file.name).read_text() == f"{file.name}\n"
        with pytest.raises(ProcessLookupError):
            os.kill(client.pid, 0)


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_its_output_is_a_pipe_or_a_terminal(kind, env):
    source = "import sys; sys.stdout.reconfigure(errors='replace'); print(sys.stdout.seekable(), sys.stdout.isatty())"
    read, write = os.pipe() if kind == "pipe" else pty.openpty()
    with os.fdopen(read, "rb", 0) as ours, os.fdopen(write, "wb", 0) as theirs:
        assert Client(["-c", source], env=env, streams=(None, theirs, None)).wait(30) == 0
        assert ours.read(100).split() == [b"False", str(kind == "terminal").encode()]


def test_what_takes_too_long_is_killed(env, tmp_path):
    source = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    with pytest.raises(subprocess.TimeoutExpired):
        run(["-c", source], env=env, cwd=tmp_path, timeout=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_chance_is_not_the_same_in_two_clients(env):
    source = "import random, uuid; import numpy as np; print(random.random(), np.random.random(), uuid.uuid4())"
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: run(["-c", source], env=env).stdout.split(), range(2))
    assert len({*first, *second}) == 6


def test_torch_computes_in_several_threads_and_processes(env):
    source = """
import torch
torch.set_num_threads(2)
x = torch.ones(256, 256, requires_grad=True)
(x @ x).sum().backward()
loader = torch.utils.data.DataLoader(range(8), batch_size=2, num_workers=2)
print(int(x.grad.sum()), [int(batch.sum()) for batch in loader])
"""
    done = run(["-c", source], env=env)
    assert done.stdout == f"{2 * 256**3} [1, 5, 9, 13]\n", done.stderr
