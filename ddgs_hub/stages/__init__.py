"""One module for each arrow of Figure 1: it reads folders or repositories, writes one folder, and says what it made.

| module | from | to |
|---|---|---|
| `starting` | a source and this machine | a recipe that fits both |
| `original` | a source | original images |
| `base`, `scorer` | original images | a DiT from scratch, a cross-fitted scorer |
| `finetune` | original images and a DiT | the fine-tuned DiT |
| `pool` | a DiT | generated images |
| `score` | images and a scorer | the same with their difficulties |
| `sample` | a scored pool and original | the distilled set |
| `matching` | original images | images learnt by DM or IDC-1 |
| `compare` | distilled and other sets (`evaluated_sets`) | real images that are selected, accuracies |
| `robust` | distilled sets and their original | label-robust and augmentation-robust scores |
| `figures` | a scored original, pool and distilled set, found by `figure_rows` | pictures |
| `explore` | a scored pool and original | a page on which both are looked at and sampled anew |
| `report` | a finished run | its page, `report.html` |
| `repository`, `sampled_repository`, `scored_repository` | what a run, `sample` or `score` made | what is published |
| `run` | a recipe | all of these, in their order; `pool_stages` has it up to the scored pool |
| `study` | the cells of a table of the paper | sets, networks, the table |

`builders` offers `score` and `sample` as builders of `datasets`. What stages share: `run_folder` (names of files),
`commands` (the command line that makes a result again), `provenance` (what made it), `run_recipe` (the recipe that a
folder belongs to) and `score_request`.

A stage writes its folder whole or not at all, with its own provenance. It does not know in which order stages run, and
does not print: it returns a `Made`, a text for people with the same as values. Only `run` and `study` know the order,
and print.
"""

from typing import TYPE_CHECKING

from ddgs_hub.core.lazy import lazy_names

if TYPE_CHECKING:
    from ddgs_hub.stages.base import make_base
    from ddgs_hub.stages.builders import DistilledBuilder, DistilledConfig, ScoredBuilder, ScoredConfig
    from ddgs_hub.stages.commands import matching_command, training_command
    from ddgs_hub.stages.compare import evaluate_sources, make_baseline
    from ddgs_hub.stages.figure_rows import FigureRows, figures_folder, find_rows
    from ddgs_hub.stages.figures import make_figures
    from ddgs_hub.stages.finetune import finetune_and_publish, make_dit
    from ddgs_hub.stages.matching import make_matching
    from ddgs_hub.stages.original import make_original
    from ddgs_hub.stages.pool import make_pool
    from ddgs_hub.stages.robust import evaluate_robust
    from ddgs_hub.stages.run import Run
    from ddgs_hub.stages.run_folder import RunFolder
    from ddgs_hub.stages.sample import make_distilled, sample_sets
    from ddgs_hub.stages.score import score_and_publish, score_source
    from ddgs_hub.stages.score_request import ScoreRequest
    from ddgs_hub.stages.scorer import make_scorer
    from ddgs_hub.stages.starting.recipe_file import write_recipe
    from ddgs_hub.stages.study.reproduce import reproduce

_MODULES = {
    "base": ("make_base",),
    "builders": (
        "DistilledBuilder",
        "DistilledConfig",
        "ScoredBuilder",
        "ScoredConfig",
    ),
    "commands": ("matching_command", "training_command"),
    "compare": (
        "evaluate_sources",
        "make_baseline",
    ),
    "figure_rows": ("FigureRows", "figures_folder", "find_rows"),
    "figures": ("make_figures",),
    "finetune": (
        "finetune_and_publish",
        "make_dit",
    ),
    "run_folder": ("RunFolder",),
    "matching": ("make_matching",),
    "original": ("make_original",),
    "pool": ("make_pool",),
    "robust": ("evaluate_robust",),
    "run": ("Run",),
    "sample": ("make_distilled", "sample_sets"),
    "score": (
        "score_and_publish",
        "score_source",
    ),
    "score_request": ("ScoreRequest",),
    "scorer": ("make_scorer",),
    "starting.recipe_file": ("write_recipe",),
    "study.reproduce": ("reproduce",),
}

__all__ = [
    "DistilledBuilder",
    "DistilledConfig",
    "FigureRows",
    "Run",
    "RunFolder",
    "ScoreRequest",
    "ScoredBuilder",
    "ScoredConfig",
    "evaluate_robust",
    "evaluate_sources",
    "figures_folder",
    "find_rows",
    "finetune_and_publish",
    "make_base",
    "make_baseline",
    "make_distilled",
    "make_dit",
    "make_figures",
    "make_matching",
    "make_original",
    "make_pool",
    "make_scorer",
    "matching_command",
    "reproduce",
    "sample_sets",
    "score_and_publish",
    "score_source",
    "training_command",
    "write_recipe",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
