"""The commands that publish on the Hub, and show what was published."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddgs_hub.cli.options import DryRunOption, JsonOption, PrivateOption, TokenOption, folder_here, show
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import run_on_main

if TYPE_CHECKING:
    from ddgs_hub.hub import Publication

RepositoryArgument = Annotated[str, typer.Argument(metavar="REPO", help="Dataset or model, OWNER/NAME[@VERSION].")]


def publish(
    folder: Annotated[
        Path,
        typer.Argument(callback=folder_here, metavar="RUN", help="A run folder, one in its hub/, its dit/ or scorer/."),
    ],
    repo: Annotated[str, typer.Option(help="Repository on the Hub, OWNER/NAME; created if it does not exist.")],
    pool: Annotated[
        bool,
        typer.Option("--with-pool", help="Also publish the run's scored pool, so that others can sample another IPC."),
    ] = False,
    ipc: Annotated[int | None, typer.Option(min=1, help="Which set of RUN, if it has sets of several IPCs.")] = None,
    version: Annotated[
        str | None, typer.Option("--tag", help="Version, such as v2.0.0; default: it follows from what changed.")
    ] = None,
    private: PrivateOption = False,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Publish only the adapter of a DiT, not the pipeline.")
    ] = False,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Propose it as a pull request.")] = False,
    collection: Annotated[
        str | None, typer.Option(help="Also put it into this collection, TITLE (made if needed) or OWNER/SLUG.")
    ] = None,
    space: Annotated[
        bool,
        typer.Option("--space", help="Also make a Space of the same name, where everybody can look at the pool."),
    ] = False,
    dry_run: DryRunOption = False,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish what a run has made on the Hub, as a version.

    The distilled dataset, the DiT or the scorer goes up in one commit, with its version as a tag. With --dry-run,
    files, version and card are shown.

    Example: ddgs-hub publish runs/imagewoof --repo org/imagewoof-ddgs-ipc10 --private
    """
    from ddgs_hub.hub import publish as publish_folder

    work = partial(
        publish_folder,
        folder,
        repo,
        pool=pool,
        ipc=ipc,
        version=version,
        private=private,
        adapter=adapter,
        create_pr=create_pr,
        dry_run=dry_run,
        collection=collection,
    )
    if space and create_pr:
        raise InputError("a proposal has no version that a page could show: leave --space or --create-pr away")
    steps = partial(_with_space, work, folder, repo, pool, ipc, private) if space else lambda: _said(work())
    show(run_on_main(steps), as_json)


def _said(made: "Publication") -> Made:
    return Made(made.text, made.to_dict())


def _with_space(
    work: "Callable[[], Publication]", folder: Path, repo: str, pool: bool, ipc: int | None, private: bool
) -> Made:
    """Publishes a dataset, and its page; whether there can be one is asked before."""
    from ddgs_hub.hub import check_space, publish_space

    check_space(folder, repo, pool=pool, ipc=ipc)
    made = work()
    page = publish_space(made, private=private)
    return _said(made).and_also(page.text, space=page.to_dict())


def versions(
    repo: RepositoryArgument,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions of a published dataset or model.

    Each with its date, its rows and their mean difficulty, and what changed.

    Example: ddgs-hub versions org/imagewoof-ddgs-ipc10
    """
    from ddgs_hub.hub import list_versions, versions_table

    listed = run_on_main(lambda: list_versions(repo))
    show(Made(versions_table(listed), {"versions": [version.to_dict() for version in listed]}), as_json)


def diff(
    repo: RepositoryArgument,
    a: Annotated[str, typer.Argument(help="A version, such as v1.0.0.")],
    b: Annotated[str | None, typer.Argument(help="The version to compare with; of REPO@A the only one given.")] = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions of a published dataset or model.

    Of a dataset rows (by image), difficulties and recipe are compared, of a model weights and recipe.

    Example: ddgs-hub diff org/imagewoof-ddgs-ipc10 v1.0.0 v1.1.0
    """
    from ddgs_hub.hub import diff_versions

    difference = run_on_main(lambda: diff_versions(repo, a, b))
    show(Made(difference.text, difference.to_dict()), as_json)
