"""The Hub: cards, folders that hold exactly the files of a repository, publishing them, and their versions."""

from ddgs_hub.hub.access import check_push
from ddgs_hub.hub.cards import ClassSelection, DatasetCard, ModelCard, PublishedPool, ScorerCard, render_card
from ddgs_hub.hub.content import CONTENT, describe_rows, hash_pool, hash_pool_folder, hash_weights
from ddgs_hub.hub.export import PROVENANCE, export_dataset, hub_id, public_values, write_model_card
from ddgs_hub.hub.kinds import DISTILLED, DIT, KIND, SCORED, SCORER, Kind
from ddgs_hub.hub.models import license_of, write_dit, write_scorer
from ddgs_hub.hub.pool_files import add_pool
from ddgs_hub.hub.pools import OpenedPool, open_pool
from ddgs_hub.hub.publish import Publication, publish, publish_dataset
from ddgs_hub.hub.versions import ModelDiff, PublishedVersion, VersionDiff, diff_versions, list_versions, versions_table

__all__ = [
    "CONTENT",
    "DISTILLED",
    "DIT",
    "KIND",
    "PROVENANCE",
    "SCORED",
    "SCORER",
    "ClassSelection",
    "DatasetCard",
    "Kind",
    "ModelCard",
    "ModelDiff",
    "OpenedPool",
    "Publication",
    "PublishedPool",
    "PublishedVersion",
    "ScorerCard",
    "VersionDiff",
    "add_pool",
    "check_push",
    "describe_rows",
    "diff_versions",
    "export_dataset",
    "hash_pool",
    "hash_pool_folder",
    "hash_weights",
    "hub_id",
    "license_of",
    "list_versions",
    "open_pool",
    "public_values",
    "publish",
    "publish_dataset",
    "render_card",
    "versions_table",
    "write_dit",
    "write_model_card",
    "write_scorer",
]
