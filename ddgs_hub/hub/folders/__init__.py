"""Folders that hold exactly the files of a repository: the kinds, a writer for each, and hashes of what they hold.

Takes rows or models from a stage, with their provenance; writes cards and `provenance.json`. Knows nothing of the Hub.
"""

from ddgs_hub.hub.folders.distilled import export_dataset
from ddgs_hub.hub.folders.dit import write_dit
from ddgs_hub.hub.folders.hashes import describe_rows, hash_pool, hash_pool_rows, hash_rows, hash_scores, hash_weights
from ddgs_hub.hub.folders.kinds import DISTILLED, DIT, SCORED, SCORER, Kind
from ddgs_hub.hub.folders.pool import add_pool
from ddgs_hub.hub.folders.scored import write_scored
from ddgs_hub.hub.folders.scorer import write_scorer

__all__ = [
    "DISTILLED",
    "DIT",
    "SCORED",
    "SCORER",
    "Kind",
    "add_pool",
    "describe_rows",
    "export_dataset",
    "hash_pool",
    "hash_pool_rows",
    "hash_rows",
    "hash_scores",
    "hash_weights",
    "write_dit",
    "write_scored",
    "write_scorer",
]
