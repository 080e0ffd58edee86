"""The card of a fine-tuned DiT."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from huggingface_hub import ModelCardData

from ddgs_hub.core.text import one_line
from ddgs_hub.hub.cards.card import RecipeModelCard


@dataclass(frozen=True, kw_only=True)
class DiTCard(RecipeModelCard):
    """What the card of a fine-tuned DiT says.

    Attributes:
        license: of the base, which the fine-tuned model inherits.
        license_name: where `license` is "other".
        license_link: where `license` is "other".
        base_model: Hub id of the base; None where it is local or was trained from scratch. See `layout.hub_id`.
        class_ids: class name → class index of the DiT.
        steps: optimiser steps that were made.
        pipeline: the folder is a `DiTPipeline`.
        adapter: the folder holds an adapter.
    """

    template = "dit.md.jinja"

    license: str = "other"
    license_name: str | None = None
    license_link: str | None = None
    base_model: str | None = None
    class_ids: Mapping[str, int] = field(default_factory=dict)
    steps: int | None = None
    pipeline: bool = True
    adapter: bool = False

    def metadata(self) -> ModelCardData:
        """The front matter."""
        metadata = ModelCardData(
            license=one_line(self.license),
            license_name=self.license_name and one_line(self.license_name),
            license_link=self.license_link and one_line(self.license_link),
            # diffusers would load an adapter alone as a LoRA, which it is not.
            library_name="diffusers" if self.pipeline else "ddgs-hub",
            pipeline_tag="unconditional-image-generation",  # of the Hub's tasks the one for class-conditional models
            base_model=self.base_model,
            datasets=list(self.datasets) or None,
            tags=["dataset-distillation", "ddgs", "dit", "class-conditional"],
        )
        if self.base_model:
            metadata["base_model_relation"] = "finetune" if self.pipeline else "adapter"
        return metadata
