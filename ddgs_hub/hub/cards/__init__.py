"""Cards: each README.md says what is published, how it was made, and how it is loaded.

A card is a dataclass. `render_card` turns it into the text of a README.md, with a template of `model_cards/`.
`merge_cards` keeps what people wrote into the card on the Hub. Only templates are read here, and nothing is written.
"""

from ddgs_hub.hub.cards.card import OWNER, Card
from ddgs_hub.hub.cards.distilled import DistilledCard, PublishedPool
from ddgs_hub.hub.cards.dit import DiTCard
from ddgs_hub.hub.cards.merging import merge_cards
from ddgs_hub.hub.cards.pool import ConfigFiles, pool_section, render_pool_section, with_pool, with_pool_section
from ddgs_hub.hub.cards.rendering import HAND_WRITTEN, render_card, with_repository
from ddgs_hub.hub.cards.results import EvaluatedOn, add_results, model_index, read_card
from ddgs_hub.hub.cards.sampled import SampledCard
from ddgs_hub.hub.cards.scored import ScoredCard
from ddgs_hub.hub.cards.scorer import ScorerCard
from ddgs_hub.hub.cards.selected import ClassSelection

__all__ = [
    "HAND_WRITTEN",
    "OWNER",
    "Card",
    "ClassSelection",
    "ConfigFiles",
    "DiTCard",
    "DistilledCard",
    "EvaluatedOn",
    "PublishedPool",
    "SampledCard",
    "ScoredCard",
    "ScorerCard",
    "add_results",
    "merge_cards",
    "model_index",
    "pool_section",
    "read_card",
    "render_card",
    "render_pool_section",
    "with_pool",
    "with_pool_section",
    "with_repository",
]
