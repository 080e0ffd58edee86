"""The Hub: cards, folders that hold exactly the files of a repository, publishing them, and their versions."""

from ddgs_hub.hub.cards import (
    ClassSelection,
    DistilledCard,
    DiTCard,
    PublishedPool,
    ScoredCard,
    ScorerCard,
    render_card,
)
from ddgs_hub.hub.folders.distilled import export_dataset, write_model_card
from ddgs_hub.hub.folders.hashes import describe_rows, hash_pool, hash_weights
from ddgs_hub.hub.folders.kinds import DISTILLED, DIT, SCORED, SCORER, Kind
from ddgs_hub.hub.folders.models import license_of, write_dit, write_scorer
from ddgs_hub.hub.folders.pool import add_pool
from ddgs_hub.hub.folders.scored import is_imagenet, why_withheld, write_scored
from ddgs_hub.hub.layout import CONTENT, KIND, PROVENANCE, hub_id, public_values
from ddgs_hub.hub.pools import OpenedPool, open_pool
from ddgs_hub.hub.publishing.access import check_push
from ddgs_hub.hub.publishing.publish import Publication, publish
from ddgs_hub.hub.publishing.versions import (
    ModelDiff,
    PublishedVersion,
    VersionDiff,
    diff_versions,
    list_versions,
    versions_table,
)

__all__ = [
    "CONTENT",
    "DISTILLED",
    "DIT",
    "KIND",
    "PROVENANCE",
    "SCORED",
    "SCORER",
    "ClassSelection",
    "DiTCard",
    "DistilledCard",
    "Kind",
    "ModelDiff",
    "OpenedPool",
    "Publication",
    "PublishedPool",
    "PublishedVersion",
    "ScoredCard",
    "ScorerCard",
    "VersionDiff",
    "add_pool",
    "check_push",
    "describe_rows",
    "diff_versions",
    "export_dataset",
    "hash_pool",
    "hash_weights",
    "hub_id",
    "is_imagenet",
    "license_of",
    "list_versions",
    "open_pool",
    "public_values",
    "publish",
    "render_card",
    "versions_table",
    "why_withheld",
    "write_dit",
    "write_model_card",
    "write_scored",
    "write_scorer",
]
