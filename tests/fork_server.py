"""A process that has loaded PyTorch, and forks others that need not load it again; `clients` starts it as a script.

A new Python takes six seconds to become a client of the Hub, and four of them go into libraries that are the same for
all: this process imports those once. What reads HF_HOME, HF_ENDPOINT and the like as it is imported (huggingface_hub
and all that is built on it, our package too) is not among them: each client imports that itself, in its environment.
Where many clients have one environment, a server of their own has imported the libraries of `LATER` in it.

A client is a process as `python -c …`, `python -m …` or `python script.py` starts it: environment, working directory,
`sys.argv`, `sys.path`, `__main__`, streams, exit code, signals. What differs: clients have this process's hash seed
and its command line in /proc, their tracebacks begin with its frames, and they end as in `leave`.
"""

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
import types
from contextlib import suppress

PRELOADED = (
    *("torch", "torch.distributed.checkpoint", "torch.nn.attention.flex_attention", "torchvision.transforms.v2"),
    *("torchvision.models.feature_extraction", "pandas", "pyarrow.dataset", "pyarrow.json", "pyarrow.parquet"),
    *("scipy.optimize", "scipy.stats", "sklearn.cluster", "matplotlib.pyplot", "safetensors.torch", "tokenizers"),
    *("fsspec", "jinja2", "multiprocess", "pydantic", "requests", "yaml"),
)
# What reads the environment as it is imported.
LATER = ("accelerate", "datasets", "diffusers.pipelines.dit.pipeline_dit", "timm", "transformers")
OF_A_LAUNCH = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # read later than that
MANY = 3  # clients of one environment, for which a server of their own pays
MOST_SERVERS = 2


def serve(orders: socket.socket, libraries: tuple[str, ...] = PRELOADED) -> dict | None:
    """Forks a client for each order, and in the client returns the order; None at the end of all."""
    for name in libraries:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else the first collection of each client would copy all of that
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one from the keyboard goes to the clients, too
    counts: dict[str, int] = {}
    servers: dict[str, socket.socket] = {}
    while fds := socket.recv_fds(orders, 1, 5)[1]:
        env = {name: value for name, value in read(fds[1])["env"].items() if name not in OF_A_LAUNCH}
        key = json.dumps(env, sort_keys=True)
        counts[key] = counts.get(key, 0) + 1
        if key not in servers and counts[key] == MANY and libraries is not LATER:
            if len(servers) == MOST_SERVERS:
                servers.pop(next(iter(servers))).close()  # which ends it
            servers[key], theirs = socket.socketpair()
            if os.fork() == 0:
                close(orders, *servers.values())
                for fd in fds:  # else who reads from a client would wait for this server's end
                    os.close(fd)
                os.environ.clear()
                os.environ.update(env)
                return serve(theirs, LATER)
            theirs.close()
        if key in servers:
            socket.send_fds(servers[key], [b"+"], fds)
        elif os.fork() == 0:
            close(orders, *servers.values())
            return begin(*fds)
        for fd in fds:
            os.close(fd)
        with suppress(ChildProcessError):  # those that have reported
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return None


def close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


def read(order: int) -> dict:
    """What is wanted, out of an open file; it stays open."""
    with open(order, closefd=False) as file:
        file.seek(0)
        return json.load(file)


def begin(report: int, order: int, *streams: int) -> dict:
    """Forks the client and stays behind to report its number and how it ended; returns the order in the client."""
    pid = os.fork()
    if pid:
        for fd in (order, *streams):
            os.close(fd)
        os.write(report, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wanted = read(order)
    os.close(order)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    os.close(report)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, reopened(getattr(sys, name)))
    return wanted


def reopened(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The same stream for what its descriptor is now; a file, a pipe and a terminal differ in what they can do."""
    through = stream.write_through  # PYTHONUNBUFFERED
    mode, size = ("wb", 0 if through else -1) if stream.writable() else ("rb", -1)
    raw = os.fdopen(stream.fileno(), mode, size, closefd=False)
    by_line = stream.line_buffering or raw.isatty()
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=by_line, write_through=through)


def become(argv: list[str], env: dict[str, str], cwd: str) -> None:
    """Runs what `python *argv` would run in this environment and folder."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    tempfile.tempdir = None  # TMPDIR may be another one
    sys.modules["numpy"].random.seed()  # as Python does with its own generator
    first = argv[0]
    folder = {"-c": "", "-m": cwd}.get(first, os.path.dirname(os.path.abspath(first)))
    more = env["PYTHONPATH"].split(os.pathsep) if env.get("PYTHONPATH") else []
    sys.path[:1] = [folder, *map(os.path.abspath, more)]
    importlib.invalidate_caches()
    carry_out(argv)


def carry_out(argv: list[str]) -> None:
    """Runs what `python *argv` would run, in this process."""
    first, *rest = argv
    if first == "-c":
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    elif first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        runpy.run_path(first, run_name="__main__")


def exit_code(order: dict) -> int:
    """Runs a client; with what code Python would end. What it did not catch is shown as Python does."""
    try:
        become(**order)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def leave(code: list[int]) -> None:
    """Ends a client without taking apart all that is loaded, which would take longer than most clients live."""
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code[0])


def main() -> None:
    code: list[int] = []
    atexit.register(leave, code)  # the first that is registered is the last that is called
    if order := serve(socket.socket(fileno=int(sys.argv[1]))):
        code.append(exit_code(order))
        sys.exit(code[0])


if __name__ == "__main__":
    main()
