"""Tiny real scorers, and real handwritten digits to train and to score."""

from collections.abc import Iterator

import pytest
from datasets import Dataset
from threads import one_thread

from ddgs_hub.difficulty import TrainedScorer, train_scorer
from ddgs_hub.original.digits import digits_split
from ddgs_hub.recipe import ScorerTraining

TINY = ScorerTraining(
    model="resnet10t",
    model_args={"channels": [8, 16, 32, 32], "stem_width": 8},
    image_size=16,
    folds=2,
    epochs=25,
    batch_size=25,
    learning_rate=1e-2,
    crop_scale=1.0,
)


@pytest.fixture(scope="session", autouse=True)
def in_one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hardware has bfloat16, difficulties are float32's to a thousandth only, and depend on the batches."""
    monkeypatch.setattr("ddgs_hub.difficulty.margins.has_bfloat16", lambda device: False)


@pytest.fixture(scope="session")
def tiny() -> ScorerTraining:
    """Two small models that learn `rows` by heart, without augmentation, in a few seconds."""
    return TINY


@pytest.fixture(scope="session")
def rows() -> Dataset:
    """200 real handwritten digits, 16 px."""
    return digits_split("train").select(range(200))


@pytest.fixture(scope="session")
def trained(rows: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedScorer:
    """A cross-fitted scorer of two models, trained on `rows`."""
    return train_scorer(rows, tmp_path_factory.mktemp("trained") / "scorer", TINY, seed=3)
