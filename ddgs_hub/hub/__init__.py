"""The Hub: cards of what is published, and folders that hold exactly the files of a Hub repository."""

from ddgs_hub.hub.cards import ClassSelection, DatasetCard, ModelCard, render_card
from ddgs_hub.hub.export import export_dataset, hub_id, write_model_card

__all__ = [
    "ClassSelection",
    "DatasetCard",
    "ModelCard",
    "export_dataset",
    "hub_id",
    "render_card",
    "write_model_card",
]
