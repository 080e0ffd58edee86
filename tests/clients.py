"""Python in processes of its own, without the seconds that PyTorch takes to load: forked by `fork_server`.

One server for each process of the tests, started for the first client. `run` is for clients that are waited for,
`Client` for those that are killed, or read from while they are at work.
"""

import functools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

SCRIPT = Path(__file__).with_name("fork_server.py")
# What Python or a C library reads as it starts: these are the server's. Not what our libraries set when imported.
AT_START = re.compile(r"PYTHON(?!PATH$)|LC_|LANG|LD_|MALLOC_|OMP_|MKL_|OPENBLAS_|TORCH_|CUDA|MPL")

ONE_THREAD = {"OMP_NUM_THREADS": "1"}


class Server:
    """A process that forks. It ends when `orders` is closed, so at the latest with this process."""

    def __init__(self) -> None:
        self.orders, theirs = socket.socketpair()
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | ONE_THREAD
        self.at_start = at_start(env)
        command = [sys.executable, str(SCRIPT), str(theirs.fileno())]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "pass_fds": [theirs.fileno()]}
        self.process = subprocess.Popen(command, env=env, **pipes)
        theirs.close()


the_server = functools.cache(Server)


def at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if AT_START.match(name)}


def environment(**changes: str) -> dict[str, str]:
    """The environment of this process with some changes; what Python reads as it starts is as the server has it."""
    later = {name: value for name, value in os.environ.items() if not AT_START.match(name)}
    return {**later, **the_server().at_start, **changes}


class Client:
    """A forked process, with what tests use of `subprocess.Popen`.

    Args:
        argv: what follows `python` on a command line: `["-c", source, …]`, `["-m", module, …]` or `[script, …]`.
        env: its whole environment, `ONE_THREAD` included. ValueError where that needs a new Python, see `AT_START`.
        cwd: its working directory; this process's by default.
        streams: its stdin, stdout and stderr; None: nothing.

    Attributes:
        pid: its number.
        returncode: its exit code once it was waited for; negative: the signal that ended it.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        streams: tuple[IO | None, IO | None, IO | None] = (None, None, None),
    ) -> None:
        server = the_server()
        if at_start(env) != server.at_start:
            raise ValueError(f"{at_start(env)} is not what the fork server started with: {server.at_start}")
        self.args, self.streams, self.returncode = [*map(os.fspath, argv)], streams, None
        report, theirs = os.pipe()
        with tempfile.TemporaryFile("w+") as order, open(os.devnull, "r+") as nothing:
            json.dump({"argv": self.args, "env": dict(env), "cwd": str(cwd or Path.cwd())}, order)
            order.flush()
            fds = [stream.fileno() for stream in (order, *(stream or nothing for stream in streams))]
            socket.send_fds(server.orders, [b"+"], [theirs, *fds])
        os.close(theirs)
        self._report = os.fdopen(report)
        pid = self._report.readline()
        if not pid:
            raise RuntimeError("the fork server has ended; it said why on stderr")
        self.pid = int(pid)

    def poll(self) -> int | None:
        """The exit code if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end; TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._report.readline())
            self._report.close()
        return self.returncode

    def kill(self) -> None:
        """Ends it at once, and waits for that."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout: float | None = None,
    fork: bool = True,
) -> "subprocess.CompletedProcess[str]":
    """Runs Python on a command line, and captures what it writes; forked where its environment allows that.

    Args:
        argv: what follows `python`, as for `Client`.
        env: the whole environment.
        cwd: the working directory; this process's by default.
        timeout: seconds; TimeoutExpired after them.
        fork: False for what measures memory: that of a forked process is the server's in part.
    """
    command = [sys.executable, *argv]
    if not fork or at_start(env) != the_server().at_start:
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=cwd, timeout=timeout)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        client = Client(argv, env=env, cwd=cwd, streams=(None, out, err))
        try:
            code = client.wait(timeout)
        finally:
            client.kill()
        written = [file.seek(0) or file.read() for file in (out, err)]
        return subprocess.CompletedProcess(command, code, *written)


def launch(
    count: int,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    port: int,
    cwd: Path | None = None,
    timeout: float = 300,
) -> "subprocess.CompletedProcess[str]":
    """What `count` processes do and write together, which find each other at this port, as those of `torchrun` do.

    Returns:
        Their outputs one after the other, and the first exit code that is not 0.
    """
    the_server()
    common = {**env, "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    with ThreadPoolExecutor(count) as threads:
        done = list(threads.map(lambda env: run(argv, env=env, cwd=cwd, timeout=timeout), ranks))
    code = next((process.returncode for process in done if process.returncode), 0)
    out, err = ("".join(getattr(process, name) for process in done) for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(done[0].args, code, out, err)
