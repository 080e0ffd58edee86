"""Who may do what: users, their tokens, private and gated repositories, and the Hub's ways to say no."""

from dataclasses import dataclass, field

from hub_server.messages import HubError
from hub_server.repositories import Repository


@dataclass(frozen=True)
class User:
    name: str
    token: str
    role: str  # of the token: "write", "read", or "fineGrained", which is to read, too
    orgs: tuple[str, ...] = ()

    def belongs_to(self, namespace: str) -> bool:
        return namespace == self.name or namespace in self.orgs


@dataclass
class Accounts:
    users: dict[str, User] = field(default_factory=dict)  # by token

    def who(self, token: str | None) -> User | None:
        """The user of a token; None without one. A wrong token is an error even where none is needed."""
        if token is None:
            return None
        if token not in self.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.users[token]


def anonymous_refused(*, repository: bool) -> HubError:
    """A request that needs a token.

    The Hub answers this way for repositories that do not exist, too. The client takes a 401 of a repository's URL for
    RepositoryNotFoundError, but knows such a URL only by "https://"; on our http the header has to say it.
    """
    return HubError(401, "Invalid username or password.", "RepoNotFound" if repository else None)


def may_see(repository: Repository | None, user: User | None) -> Repository:
    """The repository, if it exists for this user. A stranger cannot tell a private one from none."""
    namespace = repository.id.split("/")[0] if repository else ""
    if repository and (not repository.settings["private"] or (user and user.belongs_to(namespace))):
        return repository
    raise HubError(404, "Repository not found", "RepoNotFound") if user else anonymous_refused(repository=True)


def may_download(repository: Repository, user: User | None, url: str) -> None:
    """Lets through those whom the gate of a repository lets through."""
    settings, name = repository.settings, f"{repository.kind} {repository.id}"
    if not settings["gated"] or (
        user and (user.belongs_to(repository.id.split("/")[0]) or user.name in settings["granted"])
    ):
        return
    if user is None:
        message = f"Access to {name} is restricted. You must have access to it and be authenticated to access it."
        raise HubError(401, f"{message} Please log in.", "GatedRepo")
    message = f"Access to {name} is restricted and you are not in the authorized list. Visit {url} to ask for access."
    raise HubError(403, message, "GatedRepo")


def may_write(repository: Repository, user: User | None, *, pull_request: bool = False) -> User:
    """The user, if the token may write there. Anybody's write token may open a pull request on what it can see."""
    if user is None:
        raise anonymous_refused(repository=True)
    if user.role != "write":
        raise HubError(403, "Authorization error.")
    if not pull_request and not user.belongs_to(repository.id.split("/")[0]):
        raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
    return user


def may_create(namespace: str | None, kind: str, user: User | None) -> str:
    """The namespace for a new repository (the user's own by default), if the token may create one there."""
    if user is None:
        raise anonymous_refused(repository=False)
    namespace = namespace or user.name
    if user.role != "write" or not user.belongs_to(namespace):
        raise HubError(403, f"You don't have the rights to create a {kind} under this namespace")
    return namespace
