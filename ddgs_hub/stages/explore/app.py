"""Serves the page: on this machine, to this machine alone; or as a Space, where nothing can be saved or published."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.extras import extra_version
from ddgs_hub.stages.explore.opened import Opened, open_explored

# gradio reads them: it would tell its makers of each start, and keep in the browser what was done.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False"}


@contextmanager
def serving(source: str, original: str | None = None, *, port: int | None = None) -> Iterator[str]:
    """In the block, the page of a pool is served on the loopback address; yields its address, with a key.

    Args:
        source: a run folder, a dataset that was published with its pool, or the folder of a scored pool; see
            `open_explored`.
        original: the scored original, likewise.
        port: None: the first from 7860 on that is free.

    Raises:
        InputError: gradio is not installed, the port is taken, or as `open_explored`.
        ConnectionLostError: the Hub does not answer.
    """
    extra_version("gradio", "explore")  # before a pool is fetched
    blocks = _make(open_explored(source, original), read_only=_is_space())
    from starlette.middleware import Middleware

    from ddgs_hub.stages.explore.guard import HERE, KEY, Guard

    key = secrets.token_urlsafe(16)
    guard = Middleware(Guard, key=key)
    try:
        blocks.launch(server_name=HERE[0], server_port=port, app_kwargs={"middleware": [guard]}, **_options())
    except OSError as error:
        taken = f"port {port} is taken" if port else "no port from 7860 on is free"
        raise InputError(f"{taken}: give another --port") from error
    try:
        yield f"http://{HERE[0]}:{blocks.server_port}/?{KEY}={key}"
    finally:
        blocks.close(verbose=False)


def space(where: str) -> None:
    """Serves the page as a Space does, for everybody who sees it: nothing can be saved or published from it.

    Args:
        where: `owner/name@version` of a dataset that was published with its pool.

    Raises:
        InputError: the dataset cannot be read.
    """
    blocks = _make(open_explored(where), read_only=True)
    blocks.launch(**_options())
    blocks.block_thread()


def _make(opened: Opened, *, read_only: bool) -> Any:
    os.environ.update(QUIET)  # before gradio is imported
    from ddgs_hub.stages.explore.page import Page

    return Page(opened, read_only=read_only).blocks()


def _options() -> dict[str, Any]:
    """What `launch` is told everywhere: no address for the whole world, no upload, no files, nothing in the footer."""
    from ddgs_hub.stages.explore.page import STYLE, THEME

    return {
        "prevent_thread_lock": True,
        "quiet": True,
        "share": False,
        "ssr_mode": False,
        "mcp_server": False,
        "max_file_size": 1,  # byte: there is nothing to upload
        "footer_links": [],
        "theme": THEME,
        "css_paths": [STYLE],
    }


def _is_space() -> bool:
    """Whether this machine is a Space, whose visitors must not write with its token."""
    return "SPACE_ID" in os.environ
