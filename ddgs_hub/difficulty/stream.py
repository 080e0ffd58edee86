"""Scoring of rows as they come: tables gain the column `difficulty`, and no more than a batch of them is in memory."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ddgs_hub.difficulty.batch_scorer import BatchScorer
from ddgs_hub.difficulty.scores import COLUMN


def score_tables(tables: Iterable[pa.Table], scorer: BatchScorer, batch_size: int) -> Iterator[pa.Table]:
    """The same rows in the same order, in tables of `batch_size` rows, with `difficulty` (Eq. 6), float32.

    Args:
        tables: of one schema and any length, with the columns `image` (`{bytes, path}`), `label` and `source_index`.
        scorer: for the classes of the labels.
        batch_size: images that are scored together; the last table may have fewer. Batches go across the given tables,
            so the difficulties do not depend on how a source is cut into files.

    Raises:
        InputError: an image cannot be decoded (the message names its `source_index`), or has no difficulty.
    """
    for table in _batches(tables, batch_size):
        encoded = pc.fill_null(pc.struct_field(table.column("image"), "bytes"), b"").to_pylist()
        labels, rows = table.column("label").to_pylist(), table.column("source_index").to_pylist()
        yield table.append_column(COLUMN, pa.array(scorer(encoded, labels, rows)))


def _batches(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of `size` rows; the last may have fewer."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= size:
            joined = pa.concat_tables(waiting)
            whole = len(joined) - len(joined) % size
            yield from (joined[start : start + size] for start in range(0, whole, size))
            waiting = [joined[whole:]]
    rest = pa.concat_tables(waiting) if waiting else []
    if len(rest):
        yield rest
