"""A card as the Hub shows it: a page for a browser, and a browser that looks at it."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from ddgs_hub.core.front_matter import split_card

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--virtual-time-budget=10000",
]
# The Hub's column, fonts and tables; a table that is too wide scrolls in a box of its own.
STYLE = """
body { margin: 0 auto; max-width: 800px; padding: 24px; color: #111827;
       font: 16px/1.6 "Source Sans Pro", "Liberation Sans", sans-serif; }
h1 { font-size: 30px; line-height: 1.2; }
h2 { font-size: 24px; border-bottom: 1px solid #e5e7eb; }
img { max-width: 100%; }
pre { background: #f9fafb; border: 1px solid #e5e7eb; border-radius: 8px; padding: 16px; overflow-x: auto; }
code { font: 14px "IBM Plex Mono", "Liberation Mono", monospace; }
:not(pre) > code { background: #f3f4f6; padding: 2px 4px; }
.table { max-width: 100%; overflow: auto; margin: 16px 0; }
table { border-collapse: collapse; font-size: 14px; }
th, td { border: 1px solid #e5e7eb; padding: 6px 10px; text-align: left; vertical-align: top; }
.tags span { display: inline-block; background: #f3f4f6; border-radius: 8px; font-size: 13px; padding: 2px 8px;
             margin: 2px; }
"""
LOOK = """
addEventListener("load", () => {
  const root = document.documentElement, all = (selector) => [...document.querySelectorAll(selector)];
  const facts = {
    height: root.scrollHeight,
    overflow: root.scrollWidth - root.clientWidth,
    images: all("img").map((one) => [one.getAttribute("src"), one.naturalWidth, one.clientWidth]),
    tables: all(".table").map((one) => ({
      overflow: one.scrollWidth - one.clientWidth,
      columns: [...new Set([...one.querySelectorAll("tr")].map((row) => row.cells.length))],
      rows: one.querySelectorAll("tbody tr").length,
    })),
    headings: all("h1, h2").map((one) => one.textContent),
    cut: all("pre").filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent),
    text: document.querySelector("main").innerText,
  };
  root.dataset.facts = JSON.stringify(facts);
});
"""


def write_page(card: str, path: Path) -> Path:
    """The page of a README.md; its pictures are looked for beside it."""
    metadata, text = split_card(card, "the card")
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    body = markdown.render(text).replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    tags = []
    for name in ("task_categories", "pipeline_tag", "size_categories", "library_name", "tags", "license", "base_model"):
        values = metadata.get(name) or []
        tags += [f"{name}: {value}" for value in (values if isinstance(values, list) else [values])]
    shown = "".join(f"<span>{html.escape(tag)}</span>" for tag in tags)
    page = f'<p class="tags">{shown}</p><main>{body}</main>'
    head = f'<meta charset="utf-8"><style>{STYLE}</style><script>{LOOK}</script>'
    path.write_text(f"<!doctype html><html><head>{head}</head><body>{page}</body></html>", encoding="utf-8")
    return path


def look(page: Path, width: int, picture: Path, profile: Path) -> dict[str, Any]:
    """What a browser makes of a page, of which it also takes a picture.

    Args:
        page: of `write_page`.
        width: of the window, in px.
        picture: where the picture goes, a PNG file of the whole page.
        profile: a folder for the browser, not there yet.

    Returns:
        The facts of `LOOK`, in px: height, `overflow` (what sticks out of the window), each picture with its own width
        and that on the page, each table with its numbers of columns and rows and what sticks out of its box, headings,
        code that is `cut`, text.
    """
    dumped = _browse(page, profile, f"--window-size={width},1000", "--dump-dom")
    match = re.search(r'data-facts="([^"]*)"', dumped)
    assert match, dumped[-2000:]
    facts = json.loads(html.unescape(match[1]))
    _browse(page, profile, f"--window-size={width},{facts['height'] + 100}", f"--screenshot={picture}")
    return facts


def _browse(page: Path, profile: Path, *options: str) -> str:
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
