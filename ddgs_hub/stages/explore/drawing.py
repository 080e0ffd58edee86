"""Histograms of difficulties as SVG inside the page: sharp at any width, in the page's colours, light or dark.

Drawn by hand because a figure of matplotlib takes as long as sampling does a hundred times, and knows one background.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from ddgs_hub.core.histogram import BINS, difficulty_histogram
from ddgs_hub.stages.explore.sampled import SampledClass

WIDTH, HEIGHT = 320, 118  # units of a panel
LEFT, TOP, RIGHT, BOTTOM = 34, 22, 6, 18
INNER, DEPTH = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
STAGES = ("original", "pool", "selection")


def histograms(classes: Sequence[SampledClass]) -> str:
    """Original, pool and selection: difficulties on the left, on the right after the transformation (Eq. 8).

    Of one class, the left side shows where the bins of Eq. 8 lie. On the right the selection stands before what the
    distribution wanted of each bin.
    """
    raw = (
        np.concatenate([one.original for one in classes]),
        np.concatenate([one.candidates for one in classes]),
        np.concatenate([one.difficulty[one.selected] for one in classes]),
    )
    transformed = [sum(counts) for counts in zip(*(one.transformed() for one in classes), strict=True)]
    wanted = np.asarray(sum(one.selection.counts for one in classes))
    single = classes[0] if len(classes) == 1 else None
    edges = {} if single is None else {k: single.edges(of_original=k == 0) for k in range(3)}
    means = [float(values.mean(dtype=float)) for values in raw]
    left = [
        panel(name, difficulty_histogram(raw[k]), mean=means[k], edges=edges.get(k), logarithmic=True)
        for k, name in enumerate(STAGES)
    ]
    right = [
        panel(name, np.asarray(counts), wanted=wanted if k == 2 else None)
        for k, (name, counts) in enumerate(zip(STAGES, transformed, strict=True))
    ]
    notes = ("difficulty", "transformed difficulty (Eq. 8)")
    note = "; dashed: where the bins of Eq. 8 begin" if single else ""
    columns = (
        f"<section><h3>{notes[0]}<small>counts logarithmic; triangle: mean{note}</small></h3>{''.join(left)}</section>",
        f"<section><h3>{notes[1]}<small>outline: wanted of each bin</small></h3>{''.join(right)}</section>",
    )
    return f"<div class='histograms'>{''.join(columns)}</div>"


def panel(
    name: str,
    counts: NDArray[np.int64],
    *,
    mean: float | None = None,
    edges: NDArray[np.float64] | None = None,
    wanted: NDArray[np.int64] | None = None,
    logarithmic: bool = False,
) -> str:
    """One histogram as SVG.

    Args:
        name: what is counted.
        counts: images in the ten bins of 0 … 1.
        mean: of the difficulties, marked by a triangle.
        edges: of other bins, drawn as dashed lines.
        wanted: counts that are drawn as outlines over the bars.
        logarithmic: whether the height of a bar is ln(1 + count): one image still shows beside thousands.
    """
    highest = max(int(counts.max()), int(wanted.max()) if wanted is not None else 0, 1)
    step = INNER / BINS

    def bars(values: NDArray[np.int64], kind: str) -> str:
        drawn = []
        for k, count in enumerate(values.tolist()):
            share = np.log1p(count) / np.log1p(highest) if logarithmic else count / highest
            height = DEPTH * share
            title = f"{k / BINS:.1f} – {(k + 1) / BINS:.1f}: {count:,} {'wanted' if kind == 'wanted' else 'images'}"
            box = f"x='{LEFT + k * step + 1:.1f}' y='{TOP + DEPTH - height:.1f}' width='{step - 2:.1f}'"
            drawn.append(f"<rect class='{kind}' {box} height='{height:.1f}'><title>{title}</title></rect>")
        return "".join(drawn)

    total = int(counts.sum())
    about = f"{total:,} images" + (f" · mean {mean:.3f}" if mean is not None else "")
    parts = [
        f"<text class='title' x='{LEFT}' y='13'>{escape(name)}</text>",
        f"<text class='about' x='{WIDTH - RIGHT}' y='13' text-anchor='end'>{about}</text>",
        f"<text x='{LEFT - 4}' y='{TOP + 8}' text-anchor='end'>{highest:,}</text>",
        f"<text x='{LEFT - 4}' y='{TOP + DEPTH}' text-anchor='end'>0</text>",
        bars(counts, f"bar {name}"),
    ]
    if wanted is not None:
        parts.append(bars(wanted, "wanted"))
    for edge in [] if edges is None else edges.tolist():
        at = LEFT + INNER * edge
        parts.append(f"<line class='edge' x1='{at:.1f}' x2='{at:.1f}' y1='{TOP}' y2='{TOP + DEPTH}'/>")
    if mean is not None:
        at, low = LEFT + INNER * mean, TOP + DEPTH
        parts.append(f"<path class='mean' d='M{at:.1f} {low - 1} l-4 7 h8 z'/>")
    parts.append(f"<line class='axis' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{TOP + DEPTH}' y2='{TOP + DEPTH}'/>")
    parts += [
        f"<text x='{LEFT + INNER * tick:.1f}' y='{HEIGHT - 4}' text-anchor='middle'>{tick:g}</text>"
        for tick in (0, 0.5, 1)
    ]
    label = f"{escape(name)}: {about}; from easy to hard {', '.join(map(str, counts.tolist()))}"
    return f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{label}'>{''.join(parts)}</svg>"
