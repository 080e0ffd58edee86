"""Checks that a token may write to a repository, before hours are spent on its content."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import is_repo_id, make_client, may_not_write, persist, used_token


def check_push(
    repo_id: str,
    repo_type: str = "dataset",
    *,
    private: bool = False,
    token: str | None = None,
    api: HfApi | None = None,
) -> None:
    """Refuses a repository that cannot be published to; changes nothing on the Hub.

    What only the attempt can show, such as the quota of an organisation, passes.

    Args:
        repo_id: `owner/name`; the repository need not exist.
        repo_type: "dataset" or "model".
        private: whether it must be private.
        token: instead of that of the environment or the login.
        api: a client to use instead of a new one.

    Raises:
        InputError: the name is not valid, there is no token, it may not write there, the repository is public and must
            be private, or the Hub does not answer.
    """
    check_name(repo_id)
    api = make_client(api, token)
    require_token(api)

    def ask() -> bool:
        _check_role(api.whoami(), repo_id)
        try:
            repository = api.repo_info(repo_id, repo_type=repo_type)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return True
        check_privacy(repo_id, wanted=private, private=bool(repository.private))
        api.auth_check(repo_id, repo_type=repo_type, write=True)
        return True

    persist(repo_id, ask, repo_type=repo_type)


def check_name(repo_id: str) -> None:
    """Raises an InputError where a name is not `owner/name`."""
    if not is_repo_id(repo_id):
        raise InputError(f"'{repo_id}' is no name of a repository: give OWNER/NAME")
    if "/" not in repo_id:
        raise InputError(f"'{repo_id}' does not say whose repository it is: give OWNER/NAME")


def require_token(api: HfApi) -> None:
    """Raises an InputError where a client sends no token."""
    if used_token(api) is None:
        raise InputError("there is no token to publish with: log in with `hf auth login`, or set HF_TOKEN")


def check_privacy(repo_id: str, *, wanted: bool, private: bool) -> None:
    """Raises an InputError where a repository is public and a private one is wanted."""
    if wanted and not private:
        raise InputError(f"{repo_id} is there and public: make it private in its settings first")


def _check_role(who: Mapping[str, Any], repo_id: str) -> None:
    """Refuses a token that may write nowhere, or whose user does not belong to the owner; unclear cases pass."""
    access = (who.get("auth") or {}).get("accessToken") or {}
    reads_only = access.get("role") == "read"
    scopes = (access.get("fineGrained") or {}).get("scoped")
    if access.get("role") == "fineGrained" and scopes is not None:
        # A permission may be given for a group of repositories that is not named here: any right to write is enough.
        permissions = [name for scope in scopes for name in scope.get("permissions") or ()]
        reads_only = not any(name.startswith("repo") and "write" in name for name in permissions)
    owners = [who.get("name"), *(organisation.get("name") for organisation in who.get("orgs") or ())]
    if reads_only or repo_id.split("/")[0].lower() not in {str(owner).lower() for owner in owners}:
        raise InputError(may_not_write(repo_id))
