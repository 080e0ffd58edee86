"""The site: built strictly and without network, and looked at in a browser, on a desk and on a phone."""

import functools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from markdown_blocks import ROOT, pages

from ddgs_hub.recipe import load_recipe, recipe_to_dict
from documentation.commands import program

NOBODY = "http://127.0.0.1:9"  # the port of `discard`: nothing listens there
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), NOBODY)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **proxies, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def text_of(site: Path, page: str) -> str:
    return (site / page / "index.html").read_text(encoding="utf-8")


def test_every_page_is_built(site):
    built = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    sources = [path.relative_to(ROOT / "docs") for path in pages() if path.is_relative_to(ROOT / "docs")]
    assert built == {
        "."
        if path.stem == "index" and path.parent == Path()
        else path.parent.as_posix()
        if path.stem == "index"
        else path.with_suffix("").as_posix()
        for path in sources
    }


def test_nothing_is_fetched_from_elsewhere(site):
    fetched = [
        re.compile(r'<(?:script|img|iframe|source)[^>]* src="?(https?:)?//'),
        re.compile(r'<link[^>]* rel="?(?:stylesheet|preconnect)[^>]* href="?(https?:)?//'),
    ]
    for path in site.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        assert not any(pattern.search(html) for pattern in fetched), path


def test_the_reference_has_all_commands_and_their_options(site):
    html = text_of(site, "reference/commands")
    common = html.split("Every command has")[1].split("<h2")[0]
    for name, command in program().commands.items():
        assert f'id="{name}"' in html
        section = html.split(f'id="{name}"')[1].split("<h2")[0]
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                shown = section if f"<code>{option}" in section or f", {option}" in section else common
                assert option in shown, f"{name} {option}"


def test_the_reference_has_all_keys_of_a_recipe(site):
    html = text_of(site, "reference/recipes")

    def keys(values: dict, path: str = "") -> Iterator[str]:
        for key, value in values.items():
            inner = isinstance(value, dict) and value and f"{path}{key}" not in ("paper", "score.training.model_args")
            yield from keys(value, f"{path}{key}.") if inner else [f"{path}{key}"]

    for key in keys(recipe_to_dict(load_recipe("digits"))):
        assert f"<code>{key}</code>" in html, key
    assert "λ of Eq. 9" in html


def test_search_finds_what_the_pages_say(site):
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    found = [entry["location"] for entry in index["docs"] if "search_thresholds" in entry["text"]]
    assert any(place.startswith("method/") for place in found)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_pages_fit_the_screen_and_ask_nobody(browser, address, size):
    page = browser.new_page(viewport=size)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for place in (
        "",
        "method/",
        "own-data/",
        "hub/",
        "tables/",
        "inputs/",
        "reference/commands/",
        "reference/recipes/",
    ):
        page.goto(address + place)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
    page.goto(address + "method/")
    equations = page.locator(".equation svg").all()
    assert len(equations) == 12
    for equation in equations:
        box = equation.bounding_box()
        assert box
        assert box["width"] > 100
        assert box["height"] > 15
    assert page.locator(".equation .number").all_text_contents() == [f"({k})" for k in range(1, 10)]
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()
    assert errors == []
    page.close()


def test_a_reader_finds_a_command(browser, address):
    page = browser.new_page(viewport=DESK)
    page.goto(address)
    page.get_by_placeholder("Search").fill("pool-size")
    page.locator(".md-search-result__link").first.wait_for()
    assert "sample" in page.locator(".md-search-result__list").inner_text()
    page.close()
