"""The rows of any source on this machine's disk, in parts: what is there after a kill is not fetched again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets

from ddgs_hub.hub_sources import Pinned
from ddgs_hub.rows import read_tables
from ddgs_hub.source_rows import Position
from ddgs_hub.sources import check_every_class, open_source, original_rows
from ddgs_hub.subsets import Subset, get_subset

PART_BYTES = 128 * 2**20  # of rows in a part: what a kill costs
STATE_FILE = "state.json"
Pieces = Iterator[tuple[pa.Table, Position | None]]  # rows, and where reading goes on behind them


def spool_rows(
    source: str,
    split: str,
    folder: Path,
    *,
    subset: str | None = None,
    config: str | None = None,
    revision: str | None = None,
) -> None:
    """Writes all rows of a split as Arrow files into `folder`, which `open_spool` maps: they need not fit into memory.

    Every column of the source is kept, and the bytes of every image. Of a subset the columns are those of
    `write_original`. A Hub dataset is read at the commit where the first call found it: a later call goes on behind the
    last whole part, and asks nobody where all is there. A local source is read anew, for it may have been changed.

    Args:
        source: a local folder in Hub layout, a Hub dataset id, which is streamed, or `digits`.
        split: of the source.
        folder: where to write; made when the source has been opened.
        subset: a name of `subsets.SUBSETS`: its classes alone, in its order.
        config: the configuration of a Hub dataset that has several.
        revision: the revision of a Hub dataset.

    Raises:
        InputError: the source, the split, a column or a class of the subset is missing.
        ConnectionLostError: the Hub no longer answers; another call goes on.
    """
    chosen = get_subset(subset) if subset else None
    wanted = [source, split, subset, config, revision]
    state = _read_state(folder)
    if state.get("wanted") != wanted or not state["pinned"]:
        state = {"wanted": wanted, "pinned": None, "parts": 0, "position": None, "whole": False}
    if not state["whole"]:
        _fetch(folder, state, chosen)
    if chosen:
        present = {label for path in _paths(folder) for label in Dataset.from_file(path).unique("label")}
        check_every_class(present, list(chosen.class_names), f"{source} ({split})")


def open_spool(folder: Path) -> tuple[Dataset, Pinned | None]:
    """The rows that `spool_rows` wrote, mapped from their files, and where on the Hub they came from."""
    pinned = _read_state(folder)["pinned"]
    rows = concatenate_datasets([Dataset.from_file(path) for path in _paths(folder)])
    return rows, Pinned(**pinned) if pinned else None


def _fetch(folder: Path, state: dict[str, Any], chosen: Subset | None) -> None:
    """Opens the source and writes what is not there yet."""
    source, split, _, config, revision = state["wanted"]
    local = Path(source).expanduser()
    if local.is_dir() and chosen is None:
        schema, tables = read_tables(local, split)
        features = Features.from_arrow_schema(schema)
        pieces: Pieces = ((table, None) for table in tables)
    else:
        at = state["pinned"]["commit"] if state["pinned"] else revision
        opened = open_source(source, split, config=config, revision=at)
        features, chunks = opened.features, opened.read(position=state["position"])
        if chosen:
            features, chunks = original_rows(opened, chosen, state["position"])
        pieces = ((chunk.table, chunk.position) for chunk in chunks)
        state["pinned"] = {"id": opened.pinned.id, "commit": opened.pinned.commit} if opened.pinned else None
    if not state["parts"]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    _write_state(folder, state)
    _write_parts(pieces, features, folder, state)


def _write_parts(pieces: Pieces, features: Features, folder: Path, state: dict[str, Any]) -> None:
    """Writes rows behind the parts that are there, each part whole or not at all; `state` keeps count."""
    schema, unfinished = features.arrow_schema, folder / "unfinished"
    while not state["whole"]:
        size, behind = 0, None
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for table, position in pieces:
                writer.write_table(table.select(schema.names).cast(schema))
                size += table.nbytes
                if size >= PART_BYTES and position is not None:
                    behind = position
                    break
        unfinished.rename(folder / f"{state['parts']:05d}.arrow")
        # A part that a kill leaves without this line is written once more: the state alone says what there is.
        state.update(parts=state["parts"] + 1, position=behind, whole=behind is None)
        _write_state(folder, state)


def _paths(folder: Path) -> list[str]:
    return [str(folder / f"{k:05d}.arrow") for k in range(_read_state(folder)["parts"])]


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / STATE_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write_state(folder: Path, state: dict[str, Any]) -> None:
    partial = folder / "unfinished.json"
    partial.write_text(json.dumps(state), encoding="utf-8")
    partial.replace(folder / STATE_FILE)
