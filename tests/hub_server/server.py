"""The server: threads, connections, faults, the record; and how tests and client processes reach it."""

import os
import secrets
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Mapping, Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import clients

from hub_server import (  # noqa: F401  (they register their routes)
    accounts_api,
    collections_api,
    commits_api,
    contents_api,
    files_api,
)
from hub_server.access import Accounts, User
from hub_server.connection import Connection
from hub_server.faults import Fault, Faults
from hub_server.messages import Recorded
from hub_server.repositories import Repository, Store, is_lfs


class _Listener(ThreadingHTTPServer):
    """One address. Connections stay open between requests, so they are closed with it."""

    daemon_threads = True

    def __init__(self, hub: "HubServer") -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.hub = hub
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="hub", daemon=True)
        self.thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is its own business; everything else is a bug of ours, and no fault on demand."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.hub.bugs.append(traceback.format_exc())


class HubServer:
    """A small Hugging Face Hub on the loopback address.

        with HubServer(folder) as hub:
            hub.add_user("alice", "hf_alice", orgs=["acme"])
            api = HfApi(endpoint=hub.url, token="hf_alice")

    LFS objects are served at a second port, so that a client leaves the Hub's origin for them as it does in earnest.
    As an HTTP proxy the server refuses everything: clients that use it as theirs cannot reach anybody else.

    Attributes:
        url: the value for `HF_ENDPOINT`.
        storage_url: where the LFS objects are.
        requests: what was asked, in order.
        page_size: entries of one page of a tree or a history.
        moved: old names of datasets, without a namespace → their ids.
        collections: slug → what the API says of it.
    """

    def __init__(self, folder: Path) -> None:
        self.store, self.accounts, self.faults = Store(folder), Accounts(), Faults()
        self.requests: list[Recorded] = []
        self.bugs: list[str] = []  # tracebacks; the end of the `with` block raises them
        self.page_size = 1000
        self.moved: dict[str, str] = {}
        self.collections: dict[str, dict[str, Any]] = {}
        self.secret = secrets.token_hex(8)
        self.lock = threading.RLock()  # one request changes or reads the repositories at a time
        self.closing = threading.Event()  # ends a delay
        self.connections: set[Connection] = set()

    def __enter__(self) -> "HubServer":
        self._listeners = [_Listener(self), _Listener(self)]
        self.url, self.storage_url = (f"http://127.0.0.1:{listener.server_port}" for listener in self._listeners)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, frames: TracebackType | None) -> None:
        self.closing.set()
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()
            listener.thread.join()
        for connection in list(self.connections):
            connection.hang_up()
        for connection in list(self.connections):
            connection.thread.join(5)
        if self.bugs:
            raise RuntimeError(f"The Hub of the tests failed:\n{self.bugs[0]}")

    # What tests set up and look at

    def add_user(self, name: str, token: str, role: str = "write", orgs: Iterable[str] = ()) -> User:
        """A user and a token. The same user may have more tokens: call it again."""
        user = User(name, token, role, tuple(orgs))
        self.accounts.users[token] = user
        return user

    def add_repository(
        self, kind: str, repo_id: str, files: Mapping[str, bytes] | None = None, *, private: bool = False
    ) -> Repository:
        """A repository that is there before any client comes; `files` are a second commit."""
        repository = self.store.create(kind, repo_id, "system", private=private)
        if files:
            stored = {p: repository.store(c, lfs=is_lfs(p, len(c), c[:512])) for p, c in files.items()}
            repository.commit("refs/heads/main", repository.find("main"), stored, "files")
        return repository

    def repository(self, kind: str, repo_id: str) -> Repository:
        """The "dataset", "model" or "space" of this name; KeyError if there is none."""
        repository = self.store.get(kind, repo_id)
        if repository is None:
            raise KeyError(f"{kind} {repo_id}")
        return repository

    def gate(self, repository: Repository, mode: str | bool = "manual", granted: Iterable[str] = ()) -> None:
        """Puts a gate before the files, which `granted` users pass; False takes it away."""
        repository.save_settings({**repository.settings, "gated": mode, "granted": list(granted)})

    def set_private(self, repository: Repository, private: bool = True) -> None:
        repository.save_settings({**repository.settings, "private": private})

    def close_pull_request(self, repository: Repository, number: int) -> None:
        repository.save_settings({**repository.settings, "closed": [*repository.settings["closed"], number]})

    def page(self, repository: Repository) -> str:
        """The address of a repository's page."""
        return f"{self.url}/{'' if repository.kind == 'model' else f'{repository.kind}s/'}{repository.id}"

    def fail(self, match: str, **fault: object) -> Fault:
        """Plans a fault: see `Fault`. `match` is a regular expression on "METHOD /path?query"."""
        return self.faults.add(Fault(match, **fault))  # type: ignore[arg-type]

    @property
    def strays(self) -> list[str]:
        """What clients wanted from anybody else than this Hub, and did not get."""
        return [request.path for request in list(self.requests) if not request.path.startswith("/")]

    # Clients in processes of their own

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """An environment in which every client talks to this Hub, with an empty cache, and to nobody else."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "DATASETS_")) and "_proxy" not in name.lower()
        }
        mine = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "5",
            "HF_HUB_ETAG_TIMEOUT": "5",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            **clients.ONE_THREAD,
            **self.proxy(),
        }
        return {**kept, **mine, **({"HF_TOKEN": token} if token else {})}

    def proxy(self) -> dict[str, str]:
        """Environment variables that lead all requests which are not for the loopback address here, to be refused.

        And a folder without certificates: a client loads all that the system has, for each of its proxies, which takes
        longer than what most tests ask of this Hub.
        """
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        here = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        certificates = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": str(self.store.folder)}
        return {**dict.fromkeys(names, self.url), **here, **certificates}

    def run(
        self,
        script: str | Sequence[str],
        *arguments: str,
        token: str | None = None,
        home: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
        fork: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs Python on the source in `script`, or on the arguments in it (`["-m", "ddgs_hub", …]`).

        Args:
            script: what to run.
            *arguments: for a source, its `sys.argv[1:]`.
            token: `HF_TOKEN`; none by default.
            home: `HF_HOME`; a fresh one by default, removed afterwards.
            env: more environment variables.
            cwd: the working directory; this process's by default.
            timeout: seconds.
            fork: see `clients.run`.
        """
        argv = ["-c", script, *arguments] if isinstance(script, str) else [*script, *arguments]
        with tempfile.TemporaryDirectory() as fresh:
            environment = {**self.environment(home or Path(fresh), token), **(env or {})}
            return clients.run(argv, env=environment, cwd=cwd, timeout=timeout, fork=fork)
