"""The page `report.html` of a run folder: one file, which needs neither a network nor a server.

`facts` reads what the page says, `pictures` makes what it shows, `page` puts both into the template `report.html.jinja`
with the style `report.css`. The page has no script, and forbids all that is not inside of it by its
Content-Security-Policy. Every word that somebody else may have written is escaped by the template.
"""

from typing import TYPE_CHECKING

from ddgs_hub.core.lazy import lazy_names

if TYPE_CHECKING:
    from ddgs_hub.stages.report.page import is_current, make_report

__all__ = ["is_current", "make_report"]

__getattr__, __dir__ = lazy_names(__name__, {"page": ("is_current", "make_report")}, __all__)
