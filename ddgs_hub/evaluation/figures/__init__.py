"""The paper's figures: 2 (difficulty distributions), 3 (images with their difficulty), 4 (sampling distributions).

A module a figure, each from arrays and images to a `matplotlib.figure.Figure` of its own: nothing here touches pyplot's
global state or needs a display. `scored` is the figure of a scored dataset and `improvements` that of a study, which
the paper does not have. All are as wide as a column (8.5 cm), have text of 7 pt or more at that size, and can be told
apart without colours.
"""

from ddgs_hub.evaluation.figures.difficulty import ClassDifficulties, Difficulties, difficulty_figure
from ddgs_hub.evaluation.figures.distributions import distributions_figure
from ddgs_hub.evaluation.figures.drawing import save_figure
from ddgs_hub.evaluation.figures.improvements import improvements_figure
from ddgs_hub.evaluation.figures.scored import scored_figure
from ddgs_hub.evaluation.figures.sheet import ScoredImages, SheetRow, image_sheet, spread_indices

__all__ = [
    "ClassDifficulties",
    "Difficulties",
    "ScoredImages",
    "SheetRow",
    "difficulty_figure",
    "distributions_figure",
    "image_sheet",
    "improvements_figure",
    "save_figure",
    "scored_figure",
    "spread_indices",
]
