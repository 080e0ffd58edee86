"""Which images the gallery shows, from easy to hard, and what stands under each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ddgs_hub.recipe import SampleSettings
from ddgs_hub.stages.explore.images import Thumbnails
from ddgs_hub.stages.explore.opened import Opened
from ddgs_hub.stages.explore.sampled import NO_BIN, SampledClass, why_left_out

SELECTED, LEFT_OUT, POOL, ORIGINAL = "selected", "left out", "pool", "original"
PER_PAGE = 48


@dataclass(frozen=True, kw_only=True)
class Tile:
    """An image of the gallery.

    Attributes:
        row: its number in the pool, or in the original.
        difficulty: 0 … 1.
        bin: 0 … 9; None: it has none.
        seed: it was generated with; None: unknown, or an original image.
        of_class: name of its class; None: it is that of the whole page.
        selected: whether it was; None where that is no question.
        why_left: why it was not; empty where it was.
        address: of the picture; None: it cannot be decoded.
    """

    row: int
    difficulty: float
    bin: int | None = None
    seed: int | None = None
    of_class: str | None = None
    selected: bool | None = None
    why_left: str = ""
    address: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of the gallery.

    Attributes:
        tiles: its images, easy to hard.
        number: of the page, from 1 on.
        pages: how many there are, 1 or more.
        total: images on all of them.
    """

    tiles: list[Tile]
    number: int
    pages: int
    total: int


class Gallery:
    """The images of a pool and, where they are at hand, of its original."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.pool = Thumbnails(opened.rows.folder, opened.rows.files)
        self.original = Thumbnails(opened.images) if opened.images else None

    @property
    def kinds(self) -> list[str]:
        """What it can show."""
        return [SELECTED, LEFT_OUT, POOL, *([ORIGINAL] if self.original else [])]

    def page(self, kind: str, classes: Sequence[SampledClass], sample: SampleSettings, number: int) -> Page:
        """A page of one kind of images, from the easiest to the hardest; images of other pages are not read.

        Args:
            kind: one of `kinds`.
            classes: whose images; of several, the name stands under each image.
            sample: what they were sampled with.
            number: of the page; past the last one, it is the last one.

        Raises:
            InputError: the images cannot be read.
        """
        of_original = kind == ORIGINAL
        places = [np.arange(len(one.original)) if of_original else _places(one, kind) for one in classes]
        values = [
            (one.original if of_original else one.difficulty)[at] for one, at in zip(classes, places, strict=True)
        ]
        # Equal difficulties stay in the order of classes and rows.
        order = np.argsort(np.concatenate(values), kind="stable")
        pages = max(1, -(-len(order) // PER_PAGE))
        number = min(max(number, 1), pages)
        whose = np.concatenate([np.full(len(at), k) for k, at in enumerate(places)])
        where, shown = np.concatenate(places), order[(number - 1) * PER_PAGE : number * PER_PAGE]
        make = self._original_tile if of_original else partial(self._pool_tile, sample=sample)
        tiles = [make(classes[whose[index]], int(where[index]), named=len(classes) > 1) for index in shown]
        source = self.original if of_original else self.pool
        assert source is not None
        addresses = source.of([tile.row for tile in tiles])
        tiles = [replace(tile, address=address) for tile, address in zip(tiles, addresses, strict=True)]
        return Page(tiles, number, pages, len(order))

    def _pool_tile(self, one: SampledClass, place: int, *, sample: SampleSettings, named: bool) -> Tile:
        row, number, seeds = int(one.rows[place]), int(one.bins[place]), self.opened.seeds
        selected = bool(one.selected[place])
        return Tile(
            row=row,
            difficulty=float(one.difficulty[place]),
            bin=None if number == NO_BIN else number,
            seed=None if seeds is None or seeds[row] < 0 else int(seeds[row]),
            of_class=self.opened.scores.names[one.label] if named else None,
            selected=selected,
            why_left="" if selected else why_left_out(number, one, sample),
        )

    def _original_tile(self, one: SampledClass, place: int, *, named: bool) -> Tile:
        return Tile(
            row=int(self._original_rows(one.label)[place]),
            difficulty=float(one.original[place]),
            of_class=self.opened.scores.names[one.label] if named else None,
        )

    def _original_rows(self, label: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.opened.scores.original_labels == label)


def _places(one: SampledClass, kind: str) -> NDArray[np.int64]:
    """Which images of a class are shown, as places in its rows."""
    shown = {SELECTED: one.selected, LEFT_OUT: ~one.selected, POOL: np.ones(len(one.rows), bool)}
    return np.flatnonzero(shown[kind])
