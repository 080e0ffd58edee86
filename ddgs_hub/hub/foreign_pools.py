"""Pools that ddgs-hub did not generate: scored images whose generator nobody recorded, in the columns of a pool."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Features

from ddgs_hub.core.columns import COLUMNS
from ddgs_hub.core.soft_labels import CLASSES, SOFT_LABEL_COLUMNS, map_classes

# What sampling, and everybody who loads the rows, finds in any pool; what a foreign one does not have is null.
OF_A_POOL = ("image", "label", "wnid", "pool_index", "seed", "difficulty", *SOFT_LABEL_COLUMNS)
IF_THERE = ("image", "difficulty", *SOFT_LABEL_COLUMNS)  # never null: a pool has them, or has no such column


def is_foreign(schema: pa.Schema) -> bool:
    """Whether rows are of a pool that ddgs-hub did not generate: its own number the images of each class."""
    return "pool_index" not in schema.names


class PoolColumns:
    """Brings the rows of a foreign pool into the columns of `OF_A_POOL`.

    `pool_index` counts the images of each class in the order of the rows. Other columns of ours are left out:
    `source_index` says which row of the pool an image is, and `pool_index` which of its class.

    Args:
        names: of the classes.
        wanted: the same in the order of the original: folders are sorted by their names, and an original may have an
            order of its own. Where they are not the same, they stay as they are, and sampling refuses them.
    """

    def __init__(self, names: Sequence[str], wanted: Sequence[str]) -> None:
        same = sorted(names) == sorted(wanted)
        self._names = list(wanted if same else names)
        self._places = np.array([self._names.index(name) for name in names], dtype=np.int64)

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The columns of rows that have those of `schema`."""
        kept = [name for name in OF_A_POOL if name in schema.names or name not in IF_THERE]
        features = {name: COLUMNS[name] for name in kept}
        return Features({**features, "label": ClassLabel(names=self._names)}).arrow_schema

    def of(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The rows, table by table, from the first on."""
        following, first = np.zeros(len(self._names), dtype=np.int64), 0
        for table in tables:
            schema, labels = self.schema(table.schema), self._places[table.column("label").to_numpy()]
            index = np.empty(len(labels), dtype=np.int64)
            for label in np.unique(labels):
                of_class = np.flatnonzero(labels == label)
                index[of_class] = following[label] + np.arange(len(of_class))
                following[label] += len(of_class)
            made = {"label": pa.array(labels), "pool_index": pa.array(index)}
            if CLASSES in table.column_names:
                made[CLASSES] = map_classes(table.column(CLASSES), self._places, "the pool", first=first)
            first += len(table)
            columns = {name: table.column(name) for name in schema.names if name in table.column_names} | made
            missing = {field.name: pa.nulls(len(table), field.type) for field in schema if field.name not in columns}
            yield pa.table({**columns, **missing}).select(schema.names).cast(schema)
