import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import class_names, undecoded
from ddgs_hub.difficulty import BatchScorer, Scorer
from ddgs_hub.difficulty.stream import score_tables


@pytest.fixture
def batch_scorer(rows: Dataset, timm_folder) -> BatchScorer:
    return BatchScorer(Scorer.from_pretrained(timm_folder), class_names(rows))


def tables(rows: Dataset, *lengths: int) -> list[pa.Table]:
    table, ends = undecoded(rows).with_format("arrow")[:], np.cumsum(lengths)
    return [table[end - length : end] for length, end in zip(lengths, ends, strict=True)]


def test_tables_of_any_length_become_batches(batch_scorer, rows):
    scored = list(score_tables(tables(rows, 1, 3, 16, 1, 9, 2), batch_scorer, 8))
    assert [len(table) for table in scored] == [8, 8, 8, 8]
    assert [len(table) for table in score_tables(tables(rows, 3, 14), batch_scorer, 8)] == [8, 8, 1]
    assert list(score_tables([], batch_scorer, 8)) == []
    joined, (given,) = pa.concat_tables(scored), tables(rows, 32)
    assert joined.drop_columns("difficulty").equals(given)
    assert joined.schema.field("difficulty").type == pa.float32()
    batch = scored[1]
    encoded = [cell["bytes"] for cell in batch["image"].to_pylist()]
    np.testing.assert_array_equal(batch["difficulty"], batch_scorer(encoded, batch["label"].to_pylist()))


def test_an_image_that_is_none_is_named_by_its_source_row(batch_scorer, rows):
    (given,) = tables(rows, 12)
    cells = given["image"].to_pylist()
    for missing in (None, {"bytes": None, "path": "gone.png"}, {"bytes": b"no image", "path": None}):
        broken = [*cells[:10], missing, cells[11]]
        table = given.set_column(0, "image", pa.array(broken, given.schema.field("image").type))
        with pytest.raises(InputError, match=f"the image of row {given['source_index'][10]} cannot be decoded"):
            list(score_tables([table], batch_scorer, 8))
