"""What is measured: each part is a command with a limit of time, in the sizes of a GPU or of a toy."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import call_of

TESTS = "tests"  # the name of the part that runs them
TEST_REPORT = "tests.xml"
RECIPE_SETS = (
    *("codec.training.block_out_channels=[8,8,8]", "codec.training.steps=20", "codec.training.batch_size=8"),
    *(
        "model.pretraining.hidden_size=32",
        "model.pretraining.depth=2",
        "model.pretraining.steps=40",
        "model.pretraining.batch_size=8",
    ),
)


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        models: of `benchmarks.xl.SIZES`.
        limit: seconds that one benchmark may take; a compiled one takes up to `compiled_limit`.
        compiled_limit: seconds.
        tests_limit: seconds that the tests may take.
        generation: arguments of its two ways: `images`; `batch_size` and `batches`; `steps` of both.
        finetuning: `batch_size` and `steps`.
        scoring: `plain` and `images`, numbers of them, and `batch_size`.
        evaluation: `width` of the network, `epochs` and `tests`.
        backend: of `torch.compile`, as accelerate names it.
        recipe: values of the recipe `imagenette64` that are others here.
        timed_steps: of the trainings that are timed before the length of the base's is chosen.
    """

    models: str
    limit: float
    compiled_limit: float
    tests_limit: float
    generation: Mapping[str, int]
    finetuning: Mapping[str, int]
    scoring: Mapping[str, int]
    evaluation: Mapping[str, int]
    backend: str = "INDUCTOR"
    recipe: tuple[str, ...] = ()
    timed_steps: int = 50


GPU = Sizes(
    models="xl",
    limit=120,
    compiled_limit=240,
    tests_limit=300,
    generation={"images": 4, "batch_size": 64, "batches": 2, "steps": 50},
    finetuning={"batch_size": 8, "steps": 20},
    scoring={"plain": 512, "images": 16384, "batch_size": 128},
    evaluation={"width": 128, "epochs": 20, "tests": 3925},
)
TOY = Sizes(
    models="toy",
    limit=60,
    compiled_limit=60,
    tests_limit=120,
    backend="AOT_EAGER",  # a C++ compiler takes longer than all else
    generation={"images": 1, "batch_size": 2, "batches": 1, "steps": 2},
    finetuning={"batch_size": 2, "steps": 2},
    scoring={"plain": 1, "images": 4, "batch_size": 2},
    evaluation={"width": 8, "epochs": 1, "tests": 4},
    recipe=RECIPE_SETS,
    timed_steps=3,
)


@dataclass(frozen=True)
class Part:
    """One process.

    Attributes:
        name: `BENCHMARK/WAY`, or `tests`.
        command: that is started.
        limit: seconds after which it is killed.
        environment: variables beside those of this process.
    """

    name: str
    command: list[str]
    limit: float
    environment: Mapping[str, str] = field(default_factory=dict)


def all_parts(sizes: Sizes, device: str, work: Path) -> list[Part]:
    """The tests, then the benchmarks."""
    report = f"--junitxml={work.resolve() / TEST_REPORT}"
    files = [str(path) for path in sorted(Path("tests").rglob("test_*.py")) if "mark.cuda" in path.read_text("utf-8")]
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider", report, *files]
    return [Part(TESTS, command, sizes.tests_limit), *_benchmarks(sizes, device)]


def _benchmarks(sizes: Sizes, device: str) -> list[Part]:
    """Each way of each benchmark: the plain one, and ours."""
    made, tuned, scored, trained = sizes.generation, sizes.finetuning, sizes.scoring, sizes.evaluation
    size = {"size": sizes.models}
    pool = {**size, "batch_size": made["batch_size"], "batches": made["batches"], "steps": made["steps"]}
    images = {"images": scored["images"], "batch_size": scored["batch_size"]}
    network = {"network": "convnet", **trained}
    calls: list[tuple[str, str, str, dict[str, Any]]] = [
        ("generation", "plain", "plain", {**size, "images": made["images"], "steps": made["steps"]}),
        ("generation", "eager", "pooled", pool),
        ("generation", "compiled", "pooled", pool),
        ("finetuning", "plain", "plain", {**size, **tuned, "encoded": False}),
        ("finetuning", "plain, encoded before", "plain", {**size, **tuned, "encoded": True}),
        ("finetuning", "eager", "ours", {**size, **tuned}),
        ("finetuning", "compiled", "ours", {**size, **tuned}),
        ("scoring", "plain", "plain", {"images": scored["plain"]}),
        ("scoring", "eager", "ours", images),  # scorers are never compiled
        ("evaluation", "plain", "plain", {**network, "no_grad": False}),
        ("evaluation", "plain, no_grad", "plain", {**network, "no_grad": True}),
        ("evaluation", "eager", "ours", {**network, "configured": False}),
        ("evaluation", "compiled", "ours", {**network, "configured": True}),
    ]
    return [
        Part(
            f"{benchmark}/{way}",
            call_of(f"benchmarks.{benchmark}", function, {"device": device, **arguments}),
            sizes.compiled_limit if way == "compiled" else sizes.limit,
            {"ACCELERATE_DYNAMO_BACKEND": sizes.backend if way == "compiled" else "NO"},
        )
        for benchmark, way, function, arguments in calls
    ]
