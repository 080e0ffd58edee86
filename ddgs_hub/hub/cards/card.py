"""What the cards of all kinds have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from huggingface_hub import CardData

from ddgs_hub.original import SUBSETS
from ddgs_hub.recipe import Recipe

OWNER = "OWNER"  # stands for the account until the card is published


@dataclass(frozen=True, kw_only=True)
class Card(ABC):
    """What every card says.

    Attributes:
        template: its file in `model_cards/`.
        command: the command line that makes the same again; empty: the card names none.
        versions: library → version.
    """

    template: ClassVar[str]

    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def repo_id(self) -> str:
        """The id of the repository, with a placeholder for the account."""
        return f"{OWNER}/{self.repository}"

    @property
    @abstractmethod
    def repository(self) -> str:
        """The name of the repository, without the account."""

    @abstractmethod
    def metadata(self) -> CardData:
        """The front matter."""

    def template_values(self) -> dict[str, Any]:
        """Values for the template beside the card."""
        return {}


@dataclass(frozen=True, kw_only=True)
class RecipeCard(Card):
    """What the card of a recipe's result says.

    Attributes:
        recipe: what made it.
    """

    recipe: Recipe

    def template_values(self) -> dict[str, Any]:
        """The recipe and its subset, which the parts of several templates show."""
        subset = self.recipe.data.subset
        return {"recipe": self.recipe, "subset": SUBSETS[subset] if subset else None}


@dataclass(frozen=True, kw_only=True)
class RecipeModelCard(RecipeCard):
    """What the card of a recipe's model says.

    Attributes:
        name: of the repository.
        datasets: Hub ids of the original images.
    """

    name: str
    datasets: Sequence[str] = ()

    @property
    def repository(self) -> str:
        """The name of the repository."""
        return self.name
