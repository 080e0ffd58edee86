"""`OWNER/NAME@REVISION`: how every command and every recipe names a repository of the Hub at one state of it."""

import re

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.text import quoted

# An id, with the prefix that timm and we have for those of models, and what is behind it.
AT = re.compile(r"((?:hf-hub:)?\w[\w.-]{0,95}/\w[\w.-]{0,95})@(.{0,250})", re.ASCII)


def split_revision(spec: str) -> tuple[str, str | None]:
    """The id and the revision of `owner/name@revision`; without an `@` the revision is None, the newest commit.

    Raises:
        InputError: it is not of that form.
    """
    name, at, revision = spec.partition("@")
    if name.count("/") != 1 or name[0] in "/.~" or bool(at) != bool(revision):
        raise InputError(f"'{spec}' is neither a folder nor OWNER/NAME or OWNER/NAME@REVISION of a Hub dataset")
    return name, revision or None


def named_revision(name: str, revision: str | None = None) -> tuple[str, str | None]:
    """The id and the revision of what may be `owner/name@revision`; any other name stays as it is.

    A file or folder here that is called so is meant itself.

    Args:
        name: a Hub id, a folder, or the name of something that is shipped.
        revision: that is given apart from it.

    Raises:
        InputError: there is nothing behind the `@`, or another revision is given apart from it.
    """
    match = AT.fullmatch(name)
    if match is None or expanded(name).exists():
        return name, revision
    repository, named = match.groups()
    if not named:
        raise InputError(f"{quoted(name)} names no revision behind the @: give one, or leave out the @")
    if revision not in (None, named):
        raise InputError(f"{quoted(name)} names a revision, and {quoted(revision)} is given as well: give one of them")
    return repository, named
