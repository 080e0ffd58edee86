"""The page of a pool as people use it: served to this machine alone, clicked in a real browser."""

import io
import os
import re
import shlex
import signal
import sys
import threading
from importlib.metadata import PackageNotFoundError
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from explored import HOSTILE, hostile_run
from typer.testing import CliRunner

from ddgs_hub.cli import main as cli
from ddgs_hub.core.errors import InputError
from ddgs_hub.stages.explore import open_explored, serving

SAVE = ("save", "publish")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return hostile_run(tmp_path_factory.mktemp("page") / "run")


@pytest.fixture(scope="module")
def address(run):
    """Where the page is, with its key; begun before the browser, whose event loop is that of this thread."""
    with serving(str(run)) as found:
        yield found


@pytest.fixture
def page(address, browser, request):
    """The page in a window, when its first images are there; fails if it asked anybody else, or if a script broke."""
    width, height = getattr(request, "param", (1280, 900))
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(60_000)
    opened, asked, broken = context.new_page(), [], []
    opened.on("request", lambda sent: asked.append(sent.url))
    opened.on("pageerror", lambda error: broken.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector("#gallery img")
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith((place_of(address), "data:", "blob:"))] == []
    assert broken == []


def place_of(address):
    return address.split("/?")[0]


class Watched(io.StringIO):
    """What a command prints; when it says how it ends, it is ended so."""

    def write(self, text):
        if "Ctrl-C ends it" in text:
            threading.Timer(0.1, os.kill, (os.getpid(), 2)).start()
        return super().write(text)


def test_the_command_says_where_the_page_is_until_it_is_interrupted(run, free_port, monkeypatch, capsys):
    # A program in the background may ignore it by what its shell said, and would show the page for ever.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    printed = Watched()
    monkeypatch.setattr(sys, "argv", ["ddgs-hub", "explore", str(run), "--port", str(free_port)])
    monkeypatch.setattr(sys, "stdout", printed)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not ended.value.code
    assert "interrupted" not in capsys.readouterr().err
    said = rf"http://127\.0\.0\.1:{free_port}/\?key=[\w-]{{22}} shows {re.escape(str(run))}; Ctrl-C ends it\n"
    assert re.fullmatch(said, printed.getvalue())


def test_a_port_that_is_taken_and_a_missing_library_are_said(run, address, monkeypatch):
    port = int(place_of(address).rsplit(":", 1)[1])
    with pytest.raises(InputError, match=f"port {port} is taken: give another --port"), serving(str(run), port=port):
        pass

    def missing(library):
        raise PackageNotFoundError(library)

    monkeypatch.setattr("ddgs_hub.core.extras.version", missing)
    message = r'^gradio is not installed: pip install "ddgs-hub\[explore\]"$'
    with pytest.raises(InputError, match=message), serving("nowhere"):
        pass


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),  # forwarded by ssh
        ({"Cookie": ""}, 401),
        ({"Cookie": "ddgs-hub-{port}=guessed"}, 401),
        ({"Host": "evil.example:7860"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),  # of somebody else on this machine
        ({"Host": "["}, 403),
    ],
    ids=str,
)
def test_only_who_has_the_key_is_answered_and_no_page_of_another_address(address, headers, status):
    place, key = place_of(address), address.split("key=")[1]
    port = place.rsplit(":", 1)[1]
    sent = {"Cookie": f"ddgs-hub-{port}={key}", **headers}
    sent = {name: value.replace("{port}", port) for name, value in sent.items()}
    try:
        with urlopen(Request(f"{place}/config", headers=sent)) as answer:
            found = answer.status
    except HTTPError as error:
        found = error.code
    assert found == status


def test_a_page_for_everybody_can_neither_save_nor_publish(run, monkeypatch):
    from ddgs_hub.stages.explore.app import _is_space
    from ddgs_hub.stages.explore.page import Page

    for read_only, found in ((True, set()), (False, set(SAVE))):
        blocks = Page(open_explored(str(run)), read_only=read_only).blocks()
        names = {function.name for function in blocks.fns.values()}
        assert names & set(SAVE) == found
        ids = {block.elem_id for block in blocks.blocks.values()}
        assert ids & set(SAVE) == found
        assert "line" in ids
    assert not _is_space()
    monkeypatch.setenv("SPACE_ID", "acme/tiny")
    assert _is_space()


def text_of(page, name):
    return page.locator(f"#{name}").inner_text()


def number_of(page, name):
    """One of the numbers at the top, by its name."""
    cards = page.locator("#numbers dl > div")
    return cards.filter(has_text=name).locator("dd").first.inner_text()


def set_number(page, name, value):
    page.locator(f"#{name} input[type=number]").fill(str(value))


def choose(page, name, option):
    page.locator(f"#{name} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def wait_for(page, condition):
    page.wait_for_function(condition)


def wait_for_text(page, name, text):
    page.locator(f"#{name}").filter(has_text=text).wait_for()


def test_settings_resample_at_once(page):
    assert number_of(page, "images") == "20"
    for _ in range(6):  # of many in a row the last one counts
        page.locator("#ipc input[type=range]").press("ArrowLeft")
    # Not that of 18 images, which passes by on the way.
    wait_for(page, r"/(^|\D)8 selected, from easy to hard/.test(document.querySelector('#gallery').innerText)")
    assert number_of(page, "images") == "8"
    assert "--ipc 4 " in page.locator("#line textarea").input_value()
    assert page.locator("#gallery img").count() == 8
    before = text_of(page, "bins")
    choose(page, "distribution", "cliff")
    wait_for(page, "document.querySelector('#line textarea').value.includes('--distribution cliff')")
    wait_for_text(page, "bins", "none wanted")
    assert text_of(page, "bins") != before
    choose(page, "class", "plain")
    wait_for_text(page, "numbers", "of 30 in the pool")
    wait_for_text(page, "gallery", "4 selected")
    assert "below" in text_of(page, "bins")  # of one class, the bins have difficulties
    assert page.locator("#histograms .edge").count() == 3 * 11
    set_number(page, "pool-size", 3)
    wait_for_text(page, "bins", "not among the first n × IPC images of its class")
    page.locator("#kind label", has_text="left out").click()
    wait_for_text(page, "gallery", "26 left out")
    wait_for_text(page, "gallery", "beyond the first 12")
    set_number(page, "pool-size", 20)
    wait_for_text(page, "refused", "class 'plain' has 30 images in the pool, fewer than 20 × IPC 4")


def test_a_number_that_is_missing_or_out_of_range_is_said_on_the_page(page, capfd):
    for name, value, sentence in (
        ("ipc", "", "a number is missing beside a slider: give one"),
        ("ipc", 999, "fewer than IPC 999"),
        ("ipc", 0, "ipc: input should be greater than or equal to 1, got 0"),
        ("weight", 2, "weight: input should be less than or equal to 1, got 2"),
    ):
        set_number(page, name, value)
        wait_for_text(page, "refused", sentence)
        set_number(page, name, 1)
        wait_for(page, "!document.querySelector('#refused p')")
    assert "Traceback" not in capfd.readouterr().err


def test_a_long_gallery_is_turned_over(page):
    page.locator("#kind label", has_text="pool").click()
    wait_for_text(page, "gallery", "1 – 48 of 60 pool")
    set_number(page, "page", 2)
    wait_for_text(page, "gallery", "49 – 60 of 60 pool")
    assert page.locator("#gallery img").count() == 12
    page.locator("#kind label", has_text="original").click()
    wait_for_text(page, "gallery", "of 60 original")


def test_the_set_is_saved_as_the_line_would_and_refusals_are_sentences(page, run, tmp_path):
    set_number(page, "ipc", 5)
    wait_for_text(page, "gallery", "10 selected")
    set_number(page, "seed", 11)
    page.locator("#folder input, #folder textarea").fill(str(tmp_path / "saved"))
    wait_for(page, "/--seed 11 .*saved/.test(document.querySelector('#line textarea').value)")
    page.locator("#save").click()
    wait_for_text(page, "saved", "10 images, mean difficulty")
    line = page.locator("#line textarea").input_value().replace(str(tmp_path / "saved"), str(tmp_path / "by-line"))
    done = CliRunner().invoke(cli.app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    saved = {path.relative_to(tmp_path / "saved"): path for path in (tmp_path / "saved").rglob("*.*")}
    assert saved
    for name, path in saved.items():
        assert path.read_bytes() == (tmp_path / "by-line" / name).read_bytes(), name
    page.locator("#save").click()
    wait_for_text(page, "saved", "is not empty: choose another --output, or remove it")
    page.locator("#repo input, #repo textarea").fill("acme")
    wait_for(page, "document.querySelector('#line textarea').value.includes('publish')")
    page.locator("#publish").click()
    wait_for_text(page, "saved", "'acme' does not say whose repository it is: give OWNER/NAME")


def test_the_name_of_a_class_does_nothing(page):
    shown = text_of(page, "gallery")
    assert "<img src=x onerror=window.hacked=1> ${window.hacked=2} {{window.hacked=3}}" in shown
    page.locator("#class input").click()
    page.get_by_role("option").filter(has_text="hacked").click()
    wait_for_text(page, "numbers", "of 30 in the pool")
    set_number(page, "pool-size", 20)
    wait_for_text(page, "refused", "class '<img src=x onerror=window.hacked=1>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    assert "\x1b" not in page.content()
    assert "\x1b" in HOSTILE


@pytest.mark.parametrize("page", [(390, 844)], indirect=True)
def test_a_phone_shows_all_without_scrolling_sideways(page):
    choose(page, "class", "plain")
    wait_for_text(page, "numbers", "of 30 in the pool")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for name in ("ipc", "numbers", "histograms", "bins", "gallery", "line", "save"):
        box = page.locator(f"#{name}").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390, name
    assert re.search(r"\d+ selected", text_of(page, "gallery"))
