"""The command line that all `builder_scripts/` share; each script gives the settings of one dataset."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddgs_hub.cli.options import HELP_NAMES, IpcOption, RevisionOption, SeedOption, TokenOption, new_folder
from ddgs_hub.cli.program import run_commands
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.revisions import split_revision
from ddgs_hub.core.staging import locked_for_launch, staged_folder
from ddgs_hub.recipe import SampleSettings

if TYPE_CHECKING:
    from ddgs_hub.stages.builders import PinnedBuilder

FIRST_ROWS = 3  # what `--streaming` shows
FolderOption = Annotated[
    Path | None, typer.Option("--output", callback=new_folder, help="Folder to write in Hub layout, new or empty.")
]
StreamingOption = Annotated[
    bool, typer.Option("--streaming", help=f"Print the first {FIRST_ROWS} rows as they come; write nothing.")
]


def scored_dataset(description: str | None, *, source: str, revision: str | None, **settings: Any) -> None:
    """Runs the command line of a script that scores an original dataset.

    Args:
        description: for `--help`; the script's own docstring.
        source: of `ScoredConfig`.
        revision: of this source. A source that `--original` gives has its own.
        **settings: the other fields of `ScoredConfig`.
    """

    def build(
        output: FolderOption = None,
        streaming: StreamingOption = False,
        original: Annotated[
            str | None, typer.Option("--original", help="Hub id or folder of another copy of the original.")
        ] = None,
        at: RevisionOption = None,
        scorer: Annotated[str | None, typer.Option(help="Hub id or folder of another scorer.")] = None,
        split: Annotated[str, typer.Option(help="Which split to score.")] = "train",
        token: TokenOption = None,
    ) -> None:
        from ddgs_hub.stages import ScoredBuilder

        config = {**settings, "splits": (split,), "source": original or source}
        config["revision"] = at or (None if original else revision)
        if scorer:
            config.update(scorer=scorer, scorer_revision=None)
        _carry_out(ScoredBuilder, config, output, streaming)

    run_script(build, description)


def distilled_dataset(description: str | None, *, seed: int, **sampling: Any) -> None:
    """Runs the command line of a script that samples a distilled dataset from a published pool.

    Args:
        description: for `--help`; the script's own docstring.
        seed: of the draw.
        **sampling: the fields of `SampleSettings`, without `ipc`.
    """

    def build(
        pool: Annotated[
            str, typer.Option(metavar="OWNER/NAME[@REVISION]", help="Published dataset with the scored pool.")
        ],
        output: FolderOption = None,
        streaming: StreamingOption = False,
        ipc: IpcOption = SampleSettings().ipc,
        draw: SeedOption = None,
        token: TokenOption = None,
    ) -> None:
        from ddgs_hub.stages import DistilledBuilder

        name, revision = split_revision(pool)
        config = {
            "pool": name,
            "revision": revision,
            "sample": SampleSettings(ipc=ipc, **sampling),
            "seed": seed if draw is None else draw,
        }
        _carry_out(DistilledBuilder, config, output, streaming)

    run_script(build, description)


def run_script(command: Any, description: str | None) -> None:
    """Runs a function with typer's annotations as the command line of a script, and exits, see `run_commands`.

    Args:
        command: the function.
        description: for `--help`; the script's own docstring.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(context_settings=HELP_NAMES, help=description)(command)
    run_commands(typer.main.get_command(app), Path(sys.argv[0]).name)


def _carry_out(kind: "type[PinnedBuilder]", settings: dict[str, Any], output: Path | None, streaming: bool) -> None:
    """Prepares a dataset and writes it to `output`, or prints the first rows of its stream."""
    if streaming == (output is not None):
        raise InputError("give either --output FOLDER, or --streaming to see the first rows")
    if output:
        with locked_for_launch(output):
            print(_write(kind(**settings), output))
        return
    builder = kind(**settings)
    for split, rows in builder.as_streaming_dataset().items():
        for row in rows.remove_columns("image").take(FIRST_ROWS):
            print(split, {**row, "label": rows.features["label"].int2str(row["label"])})


def _write(builder: "PinnedBuilder", output: Path) -> str:
    import numpy as np

    from ddgs_hub.core.rows import write_rows

    builder.download_and_prepare()
    [(split, rows)] = builder.as_dataset().items()
    with staged_folder(output) as folder:
        write_rows(rows, folder, split)
    return f"{len(rows):,} images, mean difficulty {np.mean(rows['difficulty']):.3f}, in {output}"
