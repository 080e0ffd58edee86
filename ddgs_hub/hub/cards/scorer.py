"""The card of a cross-fitted scorer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ddgs_hub.core.text import one_line
from ddgs_hub.hub.cards.card import RecipeModelCard
from ddgs_hub.hub.layout import public_name


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
        """The front matter; the accuracy stands in it as `model-index`, which the Hub shows beside a model's card."""
        return ModelCardData(
            license=one_line(self.recipe.hub.license),
            library_name="timm",
            pipeline_tag="image-classification",
            datasets=list(self.datasets) or None,
            tags=["dataset-distillation", "ddgs", "difficulty", "timm"],
            **self._results(),
        )

    def _results(self) -> dict[str, Any]:
        if self.accuracy is None:
            return {}
        data = self.recipe.data
        result = EvalResult(
            task_type="image-classification",
            dataset_type=one_line(self.datasets[0] if self.datasets else public_name(data.original)),
            dataset_name=one_line(self.recipe.hub.pretty_name),
            dataset_config=data.config and one_line(data.config),
            dataset_split=one_line(data.train_split),
            metric_type="accuracy",
            metric_name="Top-1 accuracy (%), each image by the model that has not seen it",
            metric_value=round(100 * self.accuracy, 2),
            metric_args={"folds": len(self.fold_accuracies)},
        )
        return {"model_name": one_line(self.name), "eval_results": [result]}
