"""The Hub's client with its token, and the addresses of pages."""

from huggingface_hub import HfApi, constants, get_token

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.tokens import given_token

LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
ODD_TOKEN = "the token has blanks or characters that no token has: copy it again"


def make_client(api: HfApi | None = None, token: str | None = None, *, odd_token: str = ODD_TOKEN) -> HfApi:
    """The client to use: `api`, or one with `token`, or with that of the command, the environment or the login.

    Args:
        api: a client that the caller has.
        token: instead of that of the command, see `using_token`.
        odd_token: the message for a token that cannot be valid.

    Raises:
        InputError: the token has characters that no token has. An HTTP client would show it in its error.
    """
    api = api or HfApi(token=token or given_token())
    sent = used_token(api)
    if sent is not None and not (sent.isascii() and sent.isprintable() and " " not in sent):
        raise InputError(odd_token)
    return api


def used_token(api: HfApi) -> str | None:
    """The token that a client sends; None where it sends none."""
    if api.token is False:
        return None
    return api.token if isinstance(api.token, str) else get_token()


def page_of(repo_id: str, repo_type: str, endpoint: str | None = None) -> str:
    """The address of a repository's page; without an endpoint, on the default Hub."""
    return f"{endpoint or constants.ENDPOINT}/{constants.REPO_TYPES_URL_PREFIXES.get(repo_type, '')}{repo_id}"
