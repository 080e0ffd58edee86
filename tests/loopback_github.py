"""A GitHub with one repository on the loopback address, which clients reach as github.com through a proxy."""

import io
import json
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOSTS = ("github.com", "raw.githubusercontent.com", "api.github.com")
COMMIT = "c0ffee" * 6 + "c0de"


@contextmanager
def loopback_github(repository: str, checkout: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Serves a checkout as `repository`, and yields the environment in which clients find it at GitHub's addresses.

    Args:
        repository: OWNER/NAME.
        checkout: what an archive of it holds.
        folder: an empty one, for the certificate.
    """
    certificate = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, folder / "key.pem")
    archive, project = _archive(checkout), (checkout / "pyproject.toml").read_bytes()
    answers = {
        f"github.com/{repository}": b"",
        f"github.com/{repository}.git/info/refs?service=git-upload-pack": f"{COMMIT} HEAD\0".encode(),
        f"github.com/{repository}/archive/HEAD.zip": archive,
        f"raw.githubusercontent.com/{repository}/HEAD/pyproject.toml": project,
        # What huggingface_hub before 1.28 asks for.
        f"api.github.com/repos/{repository}": json.dumps({"default_branch": "main"}).encode(),
        f"api.github.com/repos/{repository}/commits/main": COMMIT.encode(),
        f"github.com/{repository}/archive/refs/heads/main.zip": archive,
        f"raw.githubusercontent.com/{repository}/refs/heads/main/pyproject.toml": project,
    }

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def do_CONNECT(self) -> None:
            """From here on the connection is one to that host."""
            self.host = self.path.partition(":")[0]
            self.send_response(200 if self.host in HOSTS else 502)
            self.end_headers()
            self.close_connection = self.host not in HOSTS
            if not self.close_connection:
                self.connection = context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

        def respond(self) -> None:
            body = answers.get(self.host + self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body or b"")

        do_GET = do_HEAD = respond  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), f"http://127.0.0.1:{server.server_port}")
        yield {**proxies, **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(certificate))}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificate(folder: Path) -> Path:
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    key = ["-newkey", "rsa:2048", "-noenc", "-keyout", "key.pem"]
    subject = ["-subj", "/CN=loopback", "-addext", f"subjectAltName={names}", "-days", "1"]
    command = ["openssl", "req", "-x509", *key, *subject, "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem"


def _archive(checkout: Path) -> bytes:
    """What an installation needs of a checkout, zipped as GitHub does: in one folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("pyproject.toml", "README.md", "LICENSE", "ddgs_hub", "model_cards"):
            for path in [checkout / name, *(checkout / name).rglob("*")]:
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.write(path, Path("checkout") / path.relative_to(checkout))
    return buffer.getvalue()
