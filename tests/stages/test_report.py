"""The page of a run: what it shows, that it loads nothing, and that nothing in it acts; and the same in a browser."""

import dataclasses
import json
import os
import re
import shlex
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
import yaml
from datasets import ClassLabel, Dataset
from evaluations import an_evaluation
from published import RECIPE, export_with_pool

from ddgs_hub.cli import main as cli
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, undecoded, write_rows
from ddgs_hub.recipe import Recipe, SampleSettings, parse_recipe
from ddgs_hub.stages.figure_rows import find_rows
from ddgs_hub.stages.figures import make_figures
from ddgs_hub.stages.provenance import here_and_now, made_with
from ddgs_hub.stages.report import is_current, make_report
from ddgs_hub.stages.run_folder import Finished, RunFolder, write_json
from ddgs_hub.stages.sample import make_distilled
from ddgs_hub.stages.usability import CHECK, Finding, PoolCheck

HOSTILE = ['"><img src=x onerror=alert(1)>', "</script><script>alert(2)</script> \u202egnp"]
WARNING = "the mean difficulty <b>is</b> 0.90"
EXTERNAL = ("https://arxiv.org/abs/2507.03331", "https://pypi.org/project/ddgs-hub/")


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def a_run(folder: Path, names: list[str] | None = None, drawn: bool = True, **hub: str) -> tuple[Recipe, RunFolder]:
    """A finished run folder at toy size, with figures or, which takes less time, without."""
    export_with_pool(folder)
    if names:
        for part in ("pool", "original"):
            rows = read_rows(folder / part).cast_column("label", ClassLabel(names=names))
            write_rows(rows, folder / part)
        sampled = {"seed": 3, "mark_pool": True}
        make_distilled(
            SampleSettings(ipc=2), folder / "pool", folder / "original", folder / "distilled-ipc2", **sampled
        )
    recipe = parse_recipe({**RECIPE, "seed": 3, "hub": {**RECIPE["hub"], **hub}})
    (folder / "recipe.yaml").write_text(yaml.safe_dump(made_with(recipe), allow_unicode=True))
    stages = {
        "original": Finished("20 images", 61.5, {}, 2**30, None, *here_and_now()),
        "score pool": Finished("16 images\nmore of them", 0.25),
    }
    write_json(folder / "stages.json", {name: dataclasses.asdict(stage) for name, stage in stages.items()})
    (folder / "evaluation").mkdir()
    results = {"Random": an_evaluation([[24.0, 22.0]]), "Ours": an_evaluation([[35.0, 34.0]])}
    write_json(folder / "evaluation" / "results.json", {name: result.to_dict() for name, result in results.items()})
    if drawn:
        make_figures(find_rows(str(folder)), folder / "figures")
    return recipe, RunFolder(folder, 2, "tiny-ddgs-ipc2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, RunFolder]:
    return a_run(tmp_path_factory.mktemp("runs") / "tiny", note="mine")


@pytest.fixture(scope="module")
def page(finished: tuple[Recipe, RunFolder]) -> Page:
    recipe, run = finished
    made = make_report(recipe, [run])
    assert made.values == {"output": str(run.path / "report.html"), "bytes": (run.path / "report.html").stat().st_size}
    return Page(run.path / "report.html")


@pytest.fixture
def copied(finished: tuple[Recipe, RunFolder], tmp_path: Path) -> tuple[Recipe, RunFolder]:
    """The same run without its page, to change."""
    recipe, run = finished
    folder = shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("report.html"))
    return recipe, dataclasses.replace(run, path=folder)


def test_the_page_has_all_parts_of_a_run(page):
    headings = [words for tag, words in re.findall(r"<(h[123])[^>]*>([^<]*)<", page.source)]
    assert headings == [
        *("Tiny, distilled to 2 images a class", "2 images a class", "Accuracy", "Difficulty", "Selection"),
        *("Images, from easy to hard", "zero", "one", "Load and publish", "tiny-ddgs-ipc2", "The generator"),
        *("How it was made", "Time and memory", "Recipe"),
    ]
    for words in (
        "Ours 35.0 ± 0.0 34.0 ± 0.0",
        "original 20 images 61.5 1.00 GiB",
        "score pool 16 images 0.2",
        "all 61.8 1.00 GiB",
        "torch 2.",
        "pretty_name: Tiny",
        "/tiny/recipe.yaml --output ",
        "CPU, ",
        "8 of 10 images, mean ",
    ):
        assert words in page.text, words
    assert "<strong>35.0 ± 0.0</strong>" in page.source
    assert "Warning" not in page.text


def test_every_command_on_the_page_is_one_that_the_parser_takes(page):
    group = typer.main.get_command(cli.app)
    lines = re.findall(r"<code>(ddgs-hub [^<]+)</code>", page.source)
    assert [line.split()[1] for line in lines] == ["publish", "publish", "run"]
    for line in lines:
        name, *arguments = shlex.split(unescape(line))[1:]
        context = group.commands[name].make_context(name, arguments, resilient_parsing=True)
        assert not context.args, line
    publish = {option for parameter in group.commands["publish"].params for option in parameter.opts}
    named = set(re.findall(r"<code>(--[\w-]+)</code>", page.source))
    assert named
    assert named <= publish


def test_tables_have_headers_and_pictures_say_what_they_show(page):
    assert len(page.all("caption")) == len(page.all("table")) == 3
    assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
    images = page.all("img")
    # 2 classes: 8 of 10 original images, the 8 of the pool, 2 distilled ones; and two figures.
    assert len(images) == 2 * (8 + 8 + 2) + 2
    assert all(image["alt"] for image in images)
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))
    assert page.all("html") == [{"lang": "en"}]


def test_nothing_is_loaded_from_anywhere_and_nothing_can_run(page):
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in {"src", "srcset", "data", "action", "poster", "background", "xlink:href"} & set(attributes):
            assert attributes[name].startswith("data:image/")
    links = [link["href"] for link in page.all("a")]
    assert {link for link in links if not link.startswith("#")} == set(EXTERNAL)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith(
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    )
    assert "url(" not in page.source.split("</style>")[0]
    assert "@import" not in page.source.split("</style>")[0]


def test_the_same_run_gives_the_same_page(finished, page):
    recipe, run = finished
    make_report(recipe, [run])
    assert (run.path / "report.html").read_text(encoding="utf-8") == page.source


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a run whose classes, recipe and warnings would act if they could."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    note = f"{HOSTILE[1]} {{{{ 7 * 7 }}}}"
    recipe, run = a_run(folder, HOSTILE, drawn=False, pretty_name=HOSTILE[0], note=note)
    check = PoolCheck(0.9, 0.1, 0.2, 2, [Finding("mean difficulty", 0.9, 0.5, WARNING, "train longer")])
    stages = json.loads((folder / "stages.json").read_text())
    stages["score pool"]["values"] = {CHECK: check.to_dict()}
    (folder / "stages.json").write_text(json.dumps(stages))
    make_report(recipe, [run])
    return Page(folder / "report.html")


def test_names_and_recipes_of_strangers_are_inert(hostile):
    assert "script" not in {tag for tag, _ in hostile.elements}
    assert all("onerror" not in attributes for _, attributes in hostile.elements)
    assert HOSTILE[0] in hostile.text
    assert "</script><script>alert(2)</script> \N{REPLACEMENT CHARACTER}gnp" in hostile.text
    assert "\u202e" not in hostile.source
    assert "{{ 7 * 7 }}" in hostile.text
    assert hostile.text.count("this pool is not usable as it is") == 1
    assert f"{WARNING}. What to change: train longer." in hostile.text


def test_they_are_inert_in_a_browser(browser, hostile):
    said = []
    with browser.new_context(viewport={"width": 360, "height": 740}) as context:
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.goto(hostile.path.as_uri())
        assert tab.get_by_role("heading", name=HOSTILE[0], exact=True).is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert said == []


def test_an_image_that_cannot_be_decoded_is_said_to_be_so(copied):
    recipe, run = copied
    rows = undecoded(read_rows(run.pool))
    cells = [{"bytes": b"no picture", "path": None}, *rows["image"][1:]]
    write_rows(Dataset.from_dict({**rows.to_dict(), "image": cells}, features=rows.features), run.pool)
    make_report(recipe, [run])
    assert Page(run.path / "report.html").text.count("cannot be decoded") == 1


def test_a_page_that_is_older_than_what_it_shows_is_not_current(copied):
    recipe, run = copied
    assert not is_current([run])
    make_report(recipe, [run])
    assert is_current([run])
    newer = (run.path / "report.html").stat().st_mtime_ns + 1
    for name in ("figures/sheet.png", "evaluation/results.json", "stages.json"):
        path = run.path / name
        before = path.stat()
        os.utime(path, ns=(newer, newer))
        assert not is_current([run])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_current([run])


def test_of_many_classes_some_are_shown_and_the_page_says_so(copied, monkeypatch):
    from ddgs_hub.stages.report import page as pages
    from ddgs_hub.stages.report import pictures

    recipe, run = copied
    monkeypatch.setattr(pictures, "MOST_CLASSES", 1)
    monkeypatch.setattr(pictures, "MOST_IMAGES", 12)
    monkeypatch.setattr(pages, "MOST_ROWS", 1)
    make_report(recipe, [run])
    page = Page(run.path / "report.html")
    assert "1 of 2 classes are shown, evenly spread by the mean difficulty of their originals." in page.text
    assert "The table has the first 1 of 2 classes; distilled-ipc2/selections.json has them all." in page.text
    assert len(page.all("img")) == 4 + 4 + 2 + 2


def test_a_run_that_is_not_finished_is_refused(copied):
    recipe, run = copied
    (run.distilled / "selections.json").unlink()
    with pytest.raises(InputError, match=r"selections.json"):
        make_report(recipe, [run])
    assert not (run.path / "report.html").exists()


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (360, "light")])
def test_a_browser_shows_the_page_alone(browser, finished, page, width, scheme):
    said, asked = [], []
    with browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme) as context:
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        address = (finished[1].path / "report.html").as_uri()
        tab.goto(address)
        assert [url for url in asked if not url.startswith("data:")] == [address]
        assert said == []
        for heading in ("Accuracy", "Selection", "Load and publish", "Time and memory"):
            tab.get_by_role("heading", name=heading).scroll_into_view_if_needed()
            assert tab.get_by_role("heading", name=heading).is_visible()
        assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(15, 19, 24)" if scheme == "dark" else "rgb(255, 255, 255)")
        tab.emulate_media(media="print")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not tab.get_by_role("navigation").is_visible()
        tab.emulate_media(media="screen")
        tab.get_by_role("link", name="How it was made").click()
        assert tab.url == f"{address}#made"
