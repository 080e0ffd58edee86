"""Names of repositories, and a repository at one commit."""

from dataclasses import dataclass

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ddgs_hub.core.errors import InputError


@dataclass(frozen=True)
class Pinned:
    """A dataset or a model at one state.

    Attributes:
        id: as the Hub spells it: `imagenet-1k` is ILSVRC/imagenet-1k.
        commit: 40 hexadecimal digits; of a local folder, where one is pinned, the fingerprint of its files.
        gated: whether readers must agree to terms; False where the Hub was not asked.
        license: what its card says; None where it says nothing, or the Hub was not asked.
    """

    id: str
    commit: str
    gated: bool = False
    license: str | None = None


def is_repo_id(name: str) -> bool:
    """Whether the Hub could have a repository of that name: `owner/name`, or a name without owner, such as `squad`."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def require_id(name: str, repo_type: str) -> None:
    """Raises an InputError if a name cannot be an id; the Hub is not asked."""
    if not is_repo_id(name):
        expected = f"neither a folder nor the id of a Hub {repo_type}, such as name/{repo_type}"
        raise InputError(f"'{name}' is {expected}")
