"""What is published: cards, folders that hold exactly the files of a repository, and how they get to the Hub and back.

Takes what the stages made, gives repositories with versions, and opens those of others: pools (`open_pool`), rows for a
trainer (`loading.load`, not imported here: it needs PyTorch). Knows nothing of how rows and models are made.
"""

from typing import TYPE_CHECKING

from ddgs_hub.core.lazy import lazy_names
from ddgs_hub.hub.cards import (
    ClassSelection,
    DistilledCard,
    DiTCard,
    EvaluatedOn,
    PublishedPool,
    SampledCard,
    ScoredCard,
    ScorerCard,
    add_results,
    model_index,
    read_card,
    render_card,
)
from ddgs_hub.hub.folders import (
    DISTILLED,
    DIT,
    SCORED,
    SCORER,
    Kind,
    add_pool,
    describe_rows,
    export_dataset,
    hash_pool,
    hash_pool_rows,
    hash_rows,
    hash_scores,
    hash_weights,
    write_dit,
    write_scored,
    write_scorer,
)
from ddgs_hub.hub.layout import CONTENT, KIND, PROVENANCE, hub_id, public_values
from ddgs_hub.hub.pools import OpenedPool, open_pool
from ddgs_hub.hub.provenance import Described, Provenance, read_provenance
from ddgs_hub.hub.publishing import (
    ModelDiff,
    Publication,
    PublishedVersion,
    SpacePage,
    VersionDiff,
    check_push,
    check_space,
    diff_versions,
    list_versions,
    publish,
    publish_space,
    versions_table,
)
from ddgs_hub.hub.recipes import is_published, load_published_recipe
from ddgs_hub.hub.terms import is_imagenet, license_of, why_withheld

if TYPE_CHECKING:
    from ddgs_hub.hub.loading import LoadedDataset, load

__all__ = [
    "CONTENT",
    "DISTILLED",
    "DIT",
    "KIND",
    "PROVENANCE",
    "SCORED",
    "SCORER",
    "ClassSelection",
    "Described",
    "DiTCard",
    "DistilledCard",
    "EvaluatedOn",
    "Kind",
    "LoadedDataset",
    "ModelDiff",
    "OpenedPool",
    "Provenance",
    "Publication",
    "PublishedPool",
    "PublishedVersion",
    "SampledCard",
    "ScoredCard",
    "ScorerCard",
    "SpacePage",
    "VersionDiff",
    "add_pool",
    "add_results",
    "check_push",
    "check_space",
    "describe_rows",
    "diff_versions",
    "export_dataset",
    "hash_pool",
    "hash_pool_rows",
    "hash_rows",
    "hash_scores",
    "hash_weights",
    "hub_id",
    "is_imagenet",
    "is_published",
    "license_of",
    "list_versions",
    "load",
    "load_published_recipe",
    "model_index",
    "open_pool",
    "public_values",
    "publish",
    "publish_space",
    "read_card",
    "read_provenance",
    "render_card",
    "versions_table",
    "why_withheld",
    "write_dit",
    "write_scored",
    "write_scorer",
]

# What loads PyTorch is imported when it is used.
__getattr__, __dir__ = lazy_names(__name__, {"loading": ("LoadedDataset", "load")}, __all__)
