"""The card of a cross-fitted scorer."""

from collections.abc import Sequence
from dataclasses import dataclass

from huggingface_hub import ModelCardData

from ddgs_hub.core.text import one_line
from ddgs_hub.hub.cards.card import RecipeModelCard


@dataclass(frozen=True, kw_only=True)
class ScorerCard(RecipeModelCard):
    """What the card of a cross-fitted scorer says; `recipe.score.training` is how it was trained.

    Attributes:
        classes: names, in the order of the logits.
        fold_accuracies: of each fold the share of its images, 0 … 1, that its model, which never saw them, classifies
            rightly.
        accuracy: the same of all images.
    """

    template = "scorer.md.jinja"

    classes: Sequence[str] = ()
    fold_accuracies: Sequence[float] = ()
    accuracy: float | None = None

    def metadata(self) -> ModelCardData:
        """The front matter."""
        return ModelCardData(
            license=one_line(self.recipe.hub.license),
            library_name="timm",
            pipeline_tag="image-classification",
            datasets=list(self.datasets) or None,
            tags=["dataset-distillation", "ddgs", "difficulty", "timm"],
        )
