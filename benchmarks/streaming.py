"""Scoring a source of the Hub while it is fetched, against fetching it whole first: `python -m benchmarks.streaming`.

The Hub is that of the tests, on this machine. Each of its answers is held back as long as makes fetching take about as
long as scoring: that is where working at both at once gains most, and at best it takes half the time. Parts of the
spool are small here, as the source is; both ways have the same.
"""

import io
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import timm
from timm.models import save_for_hf

from benchmarks.measure import best_device, in_subprocess
from benchmarks.scoring import SUBSET, photographs

MODULE = "benchmarks.streaming"
SOURCE, FILE = "acme/photographs", "data/train-00000-of-00001.parquet"
IMAGES = {"cpu": 192, "cuda": 8192}
GROUP = {"cpu": 8, "cuda": 256}  # rows of a row group: what one request fetches
PART_GROUPS = 4  # row groups in a part of the spool


def whole_first(device: str, folder: str, part_bytes: int) -> dict[str, Any]:
    """All rows are fetched, then they are scored: as one writes it from the libraries."""
    from ddgs_hub.difficulty import Scorer, score
    from ddgs_hub.original import spool

    spool.PART_BYTES = part_bytes
    scorer = Scorer.from_pretrained(f"{folder}/scorer", device=device)
    rows = spool.Spool(SOURCE, "train", Path(folder, "rows"), subset=SUBSET.name)
    start = time.perf_counter()
    rows.open()
    rows.fetch()
    fetched = time.perf_counter() - start
    scored = score(rows.rows(), scorer, batch_size=GROUP[device])
    return {"seconds": time.perf_counter() - start, "fetching": fetched, "difficulty": scored["difficulty"][:]}


def ours(device: str, folder: str, part_bytes: int) -> dict[str, Any]:
    """`ddgs-hub score`, without writing what comes of it."""
    from ddgs_hub.difficulty import Scorer
    from ddgs_hub.original import spool
    from ddgs_hub.stages.score import score_while_it_comes
    from ddgs_hub.stages.score_request import ScoreRequest

    spool.PART_BYTES = part_bytes
    scorer = Scorer.from_pretrained(f"{folder}/scorer", device=device)
    rows = spool.Spool(SOURCE, "train", Path(folder, "rows"), subset=SUBSET.name)
    request = ScoreRequest(source=SOURCE, subset=SUBSET.name, scorer=f"{folder}/scorer", batch_size=GROUP[device])
    start = time.perf_counter()
    rows.open()
    difficulty = score_while_it_comes(rows, scorer, request, Path(folder, "scores")).difficulty
    return {"seconds": time.perf_counter() - start, "difficulty": difficulty.tolist()}


def parquet(rows: Any, group: int) -> bytes:
    """The rows as a Parquet file."""
    buffer, table = io.BytesIO(), rows.with_format("arrow")[:]
    pq.write_table(table.cast(rows.features.arrow_schema), buffer, row_group_size=group)
    return buffer.getvalue()


def main() -> None:
    """Prints what each way takes, each in a process of its own, and how they stand to each other."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from hub_server import HubServer

    device = best_device()
    file = parquet(photographs(IMAGES[device]), GROUP[device])
    part_bytes = len(file) * GROUP[device] * PART_GROUPS // IMAGES[device]
    with TemporaryDirectory() as place, HubServer(Path(place, "hub")) as hub:
        hub.add_repository("dataset", SOURCE, {FILE: file})
        model = timm.create_model("resnet18.tv_in1k")
        save_for_hf(model, f"{place}/scorer", safe_serialization=True)
        os.environ.update(hub.environment(Path(place, "home")))

        def run(way: str, number: int) -> dict[str, Any]:
            folder = Path(place, str(number))
            folder.mkdir()
            (folder / "scorer").symlink_to(Path(place, "scorer"))
            return in_subprocess(MODULE, way, device=device, folder=str(folder), part_bytes=part_bytes)

        near = run("whole_first", 0)
        requests = [request for request in hub.requests if request.path.startswith("/lfs/")]
        scoring = near["seconds"] - near["fetching"]
        delay = scoring / len(requests)
        hub.fail("GET /lfs/", times=None, delay=delay)
        whole, mine = run("whole_first", 1), run("ours", 2)
    print(
        f"ResNet-18, {IMAGES[device]:,} JPEGs on a Hub that answers {len(requests)} requests after {delay:.2f} s each"
    )
    print(f"  fetched whole, then scored: {whole['seconds']:6.1f} s, of which fetching {whole['fetching']:.1f} s")
    print(f"  scored while it is fetched: {mine['seconds']:6.1f} s  {mine['peak_memory']:.2f} GiB")
    apart = max(abs(a - b) for a, b in zip(whole["difficulty"], mine["difficulty"], strict=True))
    print(f"  ratio {whole['seconds'] / mine['seconds']:.2f}×, difficulties at most {apart:.1e} apart")


if __name__ == "__main__":
    main()
