"""How difficult an image is: 1 − p(true class) under a classifier (Eq. 6), public or trained here.

Takes rows (`image`, `label`) and a scorer and gives the column `difficulty`, and soft labels where they are asked for.
This room does not know where rows come from or how difficulties are used, and writes no cards. Of the Hub it knows
only how to fetch a scorer.
"""

from ddgs_hub.difficulty.batch_scorer import BatchScorer
from ddgs_hub.difficulty.differentiable import DifferentiableMargins
from ddgs_hub.difficulty.features import extract_features
from ddgs_hub.difficulty.known_classes import read_scorer_classes
from ddgs_hub.difficulty.scorer import Scorer, pin_scorer, scorer_repository
from ddgs_hub.difficulty.scorer_classes import ScorerClasses, class_wnids
from ddgs_hub.difficulty.scorer_training import TrainedScorer, new_model, num_steps, train_scorer
from ddgs_hub.difficulty.scores import Scores, joined_scores, with_scores
from ddgs_hub.difficulty.scoring import Scoring, score
from ddgs_hub.difficulty.stream import score_tables

__all__ = [
    "BatchScorer",
    "DifferentiableMargins",
    "Scorer",
    "ScorerClasses",
    "Scores",
    "Scoring",
    "TrainedScorer",
    "class_wnids",
    "extract_features",
    "joined_scores",
    "new_model",
    "num_steps",
    "pin_scorer",
    "read_scorer_classes",
    "score",
    "score_tables",
    "scorer_repository",
    "train_scorer",
    "with_scores",
]
