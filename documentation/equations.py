"""Equations: TeX of a page as SVG, drawn by matplotlib when the site is built, so that a browser needs no script."""

import re
from html import escape, unescape

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

SIZE = 10  # units of an em in the drawing
FONT = FontProperties(family="serif", math_fontfamily="cm")
COMMANDS = {int(Path.MOVETO): "M", int(Path.LINETO): "L", int(Path.CURVE3): "Q", int(Path.CURVE4): "C"}
# What `pymdownx.arithmatex` leaves, with `generic: true`.
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def draw_equations(html: str) -> str:
    """A page with all its equations drawn.

    Args:
        html: of the page, with equations as arithmatex marks them.

    Raises:
        ValueError: an equation that matplotlib cannot parse; it says where in it.
    """
    html = INLINE.sub(lambda found: svg(unescape(found[1])), html)
    return BLOCK.sub(lambda found: f'<div class="equation">{svg(unescape(found[1]))}</div>', html)


def svg(tex: str) -> str:
    r"""An equation as an inline SVG in the colour and at the size of the text around it.

    Args:
        tex: without dollars; `\tag{…}` at its end is its number.
    """
    tex = " ".join(tex.split())
    body, _, number = tex.partition(r"\tag{")
    path = TextPath((0, 0), f"${body.strip()}$", size=SIZE, prop=FONT)
    box = path.get_extents()
    left, width, height = box.x0 - 0.5, box.width + 1, box.height + 1
    lines = " ".join(_segment(int(code), points) for points, code in path.iter_segments())
    drawn = (
        f'<svg class="tex" role="img" aria-label="{escape(body.strip())}" viewBox="{left:.2f} {-box.y1 - 0.5:.2f} '
        f'{width:.2f} {height:.2f}" style="width:{width / SIZE:.3f}em;height:{height / SIZE:.3f}em;'
        f'vertical-align:{(box.y0 - 0.5) / SIZE:.3f}em"><path transform="scale(1,-1)" d="{lines}"/></svg>'
    )
    return f'{drawn}<span class="number">({number.rstrip("}")})</span>' if number else drawn


def _segment(code: int, points: NDArray[np.float64]) -> str:
    if code == Path.CLOSEPOLY:
        return "Z"
    return COMMANDS[code] + " ".join(f"{number:.2f}" for number in points)
