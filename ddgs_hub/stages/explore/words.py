"""The page's text as HTML: numbers, the table of bins, images with what stands under them; others' words escaped."""

from collections.abc import Sequence
from html import escape

import numpy as np

from ddgs_hub.core.text import one_line
from ddgs_hub.stages.explore.gallery import ORIGINAL, PER_PAGE, POOL, Page, Tile
from ddgs_hub.stages.explore.sampled import SampledClass, bin_facts

NAME_CHARACTERS = 80  # most of a class's name under an image


def text(words: object, most: int = 2_000) -> str:
    """Words that a stranger may have written, as text of HTML."""
    return escape(one_line(words, most))


def refusal(sentence: str) -> str:
    """A sentence that says what is wrong."""
    return f'<p class="refusal" role="alert">{text(sentence)}</p>'


def done(lines: str) -> str:
    """What was saved or published, a line a paragraph."""
    return "".join(f'<p class="done" role="status">{text(line)}</p>' for line in lines.splitlines() if line)


def numbers(classes: Sequence[SampledClass]) -> str:
    """The selection in numbers: images, mean difficulty, what other bins filled, and the thresholds of Eq. 9."""
    chosen = np.concatenate([one.difficulty[one.selected] for one in classes])
    pool = np.concatenate([one.candidates for one in classes])
    original = np.concatenate([one.original for one in classes])
    filled = sum(int(one.selection.shortfall.sum()) for one in classes)
    each = f"{classes[0].selected.sum():,} a class" if len(classes) > 1 else f"of {len(pool):,} in the pool"
    cards = [
        ("images", f"{len(chosen):,}", each),
        (
            "mean difficulty",
            f"{chosen.mean(dtype=float):.3f}",
            f"pool {pool.mean(dtype=float):.3f} · original {original.mean(dtype=float):.3f}",
        ),
        ("filled from other bins", f"{filled:,}", "where a bin has fewer images than are wanted"),
        _objective(classes),
    ]
    shown = (f"<div><dt>{name}</dt><dd>{value}</dd><dd class='note'>{note}</dd></div>" for name, value, note in cards)
    return f"<dl class='numbers'>{''.join(shown)}</dl>"


def _objective(classes: Sequence[SampledClass]) -> tuple[str, str, str]:
    """The divergence of Eq. 9: of one class with its ranks, of several the mean."""
    found = [one.selection.thresholds for one in classes]
    smoothed = sum(ranks.smoothed for ranks in found)
    value = f"{np.mean([ranks.objective for ranks in found]):.3f} bits"
    if len(found) > 1:
        note = f"smoothed with ε in {smoothed} of {len(found)} classes" if smoothed else "of no class smoothed"
        return "divergence of Eq. 9, mean", value, note
    note = f"ranks b* = {found[0].bottom}, t* = {found[0].top}"
    return "divergence of Eq. 9", value, f"{note}; smoothed with ε" if smoothed else note


def bins_table(classes: Sequence[SampledClass]) -> str:
    """For each bin of Eq. 8 what the pool has, what was wanted and taken, and why the rest was left out."""
    edges = classes[0].edges() if len(classes) == 1 else None
    rows = []
    for number, facts in enumerate(bin_facts(classes)):
        between = "" if edges is None else f"<td>{_between(number, edges)}</td>"
        counts = "".join(f"<td>{count:,}</td>" for count in (facts.available, facts.wanted, facts.taken, facts.left))
        rows.append(f"<tr><th scope='row'>{number}</th>{between}{counts}<td class='why'>{facts.why}</td></tr>")
    beyond = sum(int((one.bins < 0).sum()) for one in classes)
    if beyond:
        blank = "<td></td>" * (3 if edges is None else 4)
        words = "not among the first n × IPC images of its class"
        rows.append(f"<tr><th scope='row'>–</th>{blank}<td>{beyond:,}</td><td class='why'>{words}</td></tr>")
    difficulty = "" if edges is None else "<th scope='col'>difficulty</th>"
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("in the pool", "wanted", "taken", "left out", "why"))
    return (
        f"<div class='wide'><table class='bins'><thead><tr><th scope='col'>bin</th>{difficulty}{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _between(number: int, edges: np.ndarray) -> str:
    """The difficulties of a bin: the first and the last one take in what lies beyond floor and ceiling."""
    last = len(edges) - 2
    if number in (0, last):
        return f"below {edges[1]:.3g}" if number == 0 else f"from {edges[last]:.3g}"
    return f"{edges[number]:.3g} – {edges[number + 1]:.3g}"


def gallery(page: Page, kind: str) -> str:
    """A page of images, easy to hard, with difficulty, bin and seed under each."""
    if not page.tiles:
        return "<p class='empty'>No image: every image of the pool was selected.</p>"
    first = (page.number - 1) * PER_PAGE + 1
    span = f"{first:,} – {first + len(page.tiles) - 1:,} of {page.total:,}" if page.pages > 1 else f"{page.total:,}"
    under = "difficulty" if kind == ORIGINAL else "difficulty, bin and seed"
    heading = f"<p class='span'>{span} {kind}, from easy to hard; under each image its {under}</p>"
    marked = " marked" if kind == POOL else ""
    return f"{heading}<ol class='tiles{marked}'>{''.join(map(_tile, page.tiles))}</ol>"


def _tile(tile: Tile) -> str:
    name = f"<span class='name'>{text(tile.of_class, NAME_CHARACTERS)}</span>" if tile.of_class is not None else ""
    what = f"difficulty {tile.difficulty:.3f}" + (f", class {text(tile.of_class)}" if tile.of_class else "")
    if tile.address is None:
        picture = f"<span class='broken' role='img' aria-label='{what}'>cannot be decoded</span>"
    else:
        picture = f"<img src='{tile.address}' alt='{what}'>"
    facts = [f"<b>{tile.difficulty:.3f}</b>"]
    if tile.bin is not None:
        facts.append(f"bin {tile.bin}")
    lines = f"<span class='facts'>{' · '.join(facts)}</span>"
    if tile.seed is not None:
        lines += f"<span class='seed' title='seed'>{tile.seed}</span>"
    if tile.why_left:
        lines += f"<span class='why'>{tile.why_left}</span>"
    chosen = " class='chosen'" if tile.selected else ""
    return f"<li{chosen}>{picture}{name}{lines}</li>"
