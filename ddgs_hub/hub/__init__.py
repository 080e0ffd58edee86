"""The Hub: cards, folders that hold exactly the files of a repository, publishing them, and their versions."""

from ddgs_hub.hub.access import check_push
from ddgs_hub.hub.cards import ClassSelection, DatasetCard, ModelCard, render_card
from ddgs_hub.hub.content import CONTENT, describe_rows, hash_pool, hash_weights
from ddgs_hub.hub.export import export_dataset, hub_id, write_model_card
from ddgs_hub.hub.kinds import DISTILLED, DIT, KIND, SCORED, SCORER, Kind
from ddgs_hub.hub.publish import Publication, publish, publish_dataset
from ddgs_hub.hub.scored import is_imagenet, why_withheld, write_scored
from ddgs_hub.hub.scored_card import ScoredCard, render_scored_card
from ddgs_hub.hub.versions import PublishedVersion, VersionDiff, diff_versions, list_versions, versions_table

__all__ = [
    "CONTENT",
    "DISTILLED",
    "DIT",
    "KIND",
    "SCORED",
    "SCORER",
    "ClassSelection",
    "DatasetCard",
    "Kind",
    "ModelCard",
    "Publication",
    "PublishedVersion",
    "ScoredCard",
    "VersionDiff",
    "check_push",
    "describe_rows",
    "diff_versions",
    "export_dataset",
    "hash_pool",
    "hash_weights",
    "hub_id",
    "is_imagenet",
    "list_versions",
    "publish",
    "publish_dataset",
    "render_card",
    "render_scored_card",
    "versions_table",
    "why_withheld",
    "write_model_card",
    "write_scored",
]
