"""Publishing: a folder becomes the next version of a repository on the Hub, and versions are listed and compared.

Takes a folder and `owner/name`, gives a `Publication`. Of how the folder was made it knows only what
`provenance.json` says.
"""

from ddgs_hub.hub.publishing.access import check_push
from ddgs_hub.hub.publishing.differences import ModelDiff, VersionDiff, diff_versions
from ddgs_hub.hub.publishing.publication import Publication, SpacePage
from ddgs_hub.hub.publishing.publish import publish
from ddgs_hub.hub.publishing.remote import Version
from ddgs_hub.hub.publishing.space import check_space, publish_space
from ddgs_hub.hub.publishing.versions import PublishedVersion, list_versions, versions_table

__all__ = [
    "ModelDiff",
    "Publication",
    "PublishedVersion",
    "SpacePage",
    "Version",
    "VersionDiff",
    "check_push",
    "check_space",
    "diff_versions",
    "list_versions",
    "publish",
    "publish_space",
    "versions_table",
]
