"""Builders of `datasets` for what is published: originals with their difficulties, and sets distilled from a pool.

Each builder works both ways:

    builder = ScoredBuilder(source="ILSVRC/imagenet-1k", subset="imagewoof", scorer="timm/resnet50.tv_in1k")
    stream = builder.as_streaming_dataset(split="train")    # rows as they are made; nothing is written
    builder.download_and_prepare()                          # all of them, in the cache of `datasets`
    rows = builder.as_dataset(split="train")

The cache is that of `datasets` (`HF_DATASETS_CACHE`, or below `HF_HOME`) unless `cache_dir` names another. There, the
folder of a configuration is named by a hash of everything that decides its rows: revisions count by commit, local files
by content. So a finished dataset is found again, and a moved branch or a changed file gets a new folder.
Preparation writes all rows or none; after a kill it starts anew.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

from datasets import ArrowBasedBuilder, BuilderConfig, Dataset, DatasetInfo, Features, SplitGenerator, Value
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import ROWS_PER_GROUP
from ddgs_hub.original import (
    SourceRows,
    check_every_class,
    get_subset,
    load_rows,
    open_source,
    original_rows,
    pin_source,
)
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling.datasets import distill

if TYPE_CHECKING:
    # datasets replaces what a builder's module has imported of pyarrow, os, pathlib … by what reads remote files.
    from pyarrow import Table


@dataclass(kw_only=True)
class PinnedConfig(BuilderConfig, ABC):
    """A configuration whose revisions can be resolved."""

    @abstractmethod
    def pin(self) -> None:
        """Replaces every revision by its commit, or by the fingerprint of local files."""

    def hash(self) -> str:
        """A hash of all that decides the rows, when it is pinned: these settings and the version of this package."""
        return Hasher.hash(json.dumps([version("ddgs-hub"), asdict(self)]))


@dataclass(kw_only=True)
class ScoredConfig(PinnedConfig):
    """Which original is scored, and by which classifier.

    Attributes:
        source: a Hub dataset id, a folder in Hub layout, images in `<split>/<class>/`, or `digits`.
        source_config: the configuration of a Hub dataset that has several.
        revision: of a Hub dataset; the builder's own configuration has the commit here, or the files' fingerprint.
        splits: names of splits of the source; the builder's splits have the same names.
        subset: a name of `subsets.SUBSETS`: its classes, in its order, become labels 0 … 9. None keeps all classes.
        scorer: a timm or transformers Hub id, a timm model name, or a local folder.
        scorer_revision: of a scorer on the Hub; resolved like `revision`.
        batch_size: images that are scored together, and come out of a stream together.
    """

    source: str
    source_config: str | None = None
    revision: str | None = None
    splits: tuple[str, ...] = ("train",)
    subset: str | None = None
    scorer: str
    scorer_revision: str | None = None
    batch_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subset is not None:
            get_subset(self.subset)
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}: give at least 1")

    def pin(self) -> None:
        """See the base class. The source comes first, so that missing access is reported before anything else."""
        source = pin_source(self.source, self.revision)
        self.source, self.revision = source.id, source.commit
        from ddgs_hub.difficulty import pin_scorer  # imported here: it brings torch

        scorer = pin_scorer(self.scorer, self.scorer_revision)
        self.scorer, self.scorer_revision = scorer.id, scorer.commit


@dataclass(kw_only=True)
class DistilledConfig(PinnedConfig):
    """Which pool is sampled, and how.

    Attributes:
        pool: id of a published dataset with the configurations `pool`, the scored pool, and `original`, the labels and
            difficulties of the original.
        revision: commit, tag or branch; the builder's own configuration has the commit here.
        sample: IPC, distribution, divergence, λ and n (Eq. 7–9).
        seed: of the draw.
    """

    pool: str
    revision: str | None = None
    sample: SampleSettings = field(default_factory=SampleSettings)
    seed: int = 0

    def pin(self) -> None:
        """See the base class."""
        pool = pin_source(self.pool, self.revision)
        self.pool, self.revision = pool.id, pool.commit


class PinnedBuilder(ArrowBasedBuilder):
    """What both builders share: a cache by the configuration's hash, and a user's mistakes in one sentence.

    The rows are made in one process, whatever `num_proc` is: `datasets` divides files, and these rows are one stream.

    Args:
        cache_dir: instead of the cache of `datasets`.
        **settings: the fields of the configuration.

    Raises:
        InputError: what the configuration names is not there, or may not be read.
    """

    DATASET_NAME: ClassVar[str]  # of the folder in the cache, and of the files in it

    def __init__(self, cache_dir: str | None = None, **settings: Any) -> None:
        config = self.BUILDER_CONFIG_CLASS(**settings)
        config.pin()
        # datasets would name the folder by the settings as given, and reuse whatever lies in it.
        super().__init__(
            cache_dir=cache_dir,
            dataset_name=self.DATASET_NAME,
            config_id=config.name,
            hash=config.hash(),
            **vars(config),
        )

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """As in `datasets`, but an InputError is raised as it is, not wrapped."""
        try:
            super().download_and_prepare(*args, **kwargs)
        except DatasetGenerationError as error:
            if isinstance(error.__cause__, InputError):
                raise error.__cause__ from None
            raise

    def _info(self) -> DatasetInfo:
        """`_split_generators` fills in the features: they are known only when the source is opened."""
        return DatasetInfo()


class ScoredBuilder(PinnedBuilder):
    """An original dataset with the difficulty of every image: 1 − p(true class) under a scorer (Eq. 6).

    Columns: `image` (the bytes of the source), `label` (ClassLabel), `wnid` (null where the source knows none),
    `source_index` (row of the source split), `difficulty` (float32, 0 … 1). The source is read as a stream, and a batch
    of it is in memory; rows outside the subset are dropped by their label. The difficulties of a stream and of prepared
    rows are the same, in float32 throughout; `difficulty.score`, which uses bfloat16 where it settles them, is within
    1e-3 of them.

    For hours of work take `ddgs-hub score`: it goes on after a kill, and decodes in several processes.
    """

    BUILDER_CONFIG_CLASS = ScoredConfig
    DATASET_NAME = "scored"

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        config = self.config
        generators = []
        for split in config.splits:
            source = open_source(config.source, split, config=config.source_config, revision=config.revision)
            features, _ = original_rows(source, self._subset)
            generators.append(SplitGenerator(name=split, gen_kwargs={"source": source}))
        self.info.features = Features({**features, "difficulty": Value("float32")})
        return generators

    def _generate_tables(self, source: SourceRows) -> Iterator[tuple[int, "Table"]]:
        from ddgs_hub.difficulty import BatchScorer, Scorer, score_tables  # imported here: it brings torch

        features, chunks = original_rows(source, self._subset)
        names, schema = features["label"].names, features.arrow_schema
        scorer = Scorer.from_pretrained(self.config.scorer, revision=self.config.scorer_revision)
        batch_scorer = BatchScorer(scorer, names, self._subset.wnids if self._subset else None)
        tables = (chunk.table.select(schema.names).cast(schema) for chunk in chunks)
        present: set[int] = set()
        for number, table in enumerate(score_tables(tables, batch_scorer, self.config.batch_size)):
            present.update(table.column("label").to_pylist())
            yield number, table
        if self._subset:
            check_every_class(present, names, source.where)

    @property
    def _subset(self) -> Any:
        return get_subset(self.config.subset) if self.config.subset else None


class DistilledBuilder(PinnedBuilder):
    """A distilled dataset, sampled from a published pool by difficulty (Eq. 7–9); nothing is generated or scored.

    Columns: those of the pool, with `difficulty_log` (Eq. 8) and `difficulty_bin` (0 … 9). The pool and the original's
    difficulties are downloaded into the cache of `datasets` and mapped into memory, for a stream as well: which images
    are drawn is known when all difficulties are.
    """

    BUILDER_CONFIG_CLASS = DistilledConfig
    DATASET_NAME = "distilled"

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        config = self.config
        pool, original = (
            load_rows(config.pool, config=name, revision=config.revision) for name in ("pool", "original")
        )
        rows = distill(pool, original, config.sample, seed=config.seed).rows
        self.info.features = rows.features
        return [SplitGenerator(name="train", gen_kwargs={"rows": rows})]

    def _generate_tables(self, rows: Dataset) -> Iterator[tuple[int, "Table"]]:
        plain = rows.with_format("arrow")
        for start in range(0, len(rows), ROWS_PER_GROUP):
            yield start, plain[start : start + ROWS_PER_GROUP]
