"""How much a command says beside its result: `--quiet` and `--verbose`, logging, and the bars of libraries.

Results go to stdout, all else to stderr. A library configures no logging, so this is done here, for the program alone.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import typer

OURS = logging.getLogger("ddgs_hub")
LIBRARIES = ("accelerate", "timm")  # these have no output of their own; the others read a variable
VARIABLES = ("HF_HUB_VERBOSITY", "DATASETS_VERBOSITY", "TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY")
PLAIN, DETAILED = "%(asctime)s %(levelname)s %(message)s", "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what stderr is at the moment, above bars that stand there."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        bars = sys.modules.get("tqdm")
        if bars is None:
            super().emit(record)
            return
        with bars.tqdm.external_write_mode(file=sys.stderr):
            super().emit(record)


@contextmanager
def saying(verbosity: int = 0) -> Iterator[None]:
    """Says what belongs to a verbosity while the block runs.

    Args:
        verbosity: −1: warnings alone, and no bars. 0: bars on a terminal, lines where there is none. 1: also what helps
            to find a mistake, of libraries, too.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    levels = {-1: logging.WARNING, 0: logging.WARNING if terminal else logging.INFO, 1: logging.DEBUG}
    handler = _Stderr()
    handler.setFormatter(logging.Formatter(DETAILED if verbosity > 0 else PLAIN, "%Y-%m-%d %H:%M:%S"))
    with ExitStack() as stack:
        _listen(stack, OURS, levels[verbosity], handler)
        if verbosity > 0:
            for name in LIBRARIES:
                _listen(stack, logging.getLogger(name), logging.INFO, handler)
            for name in VARIABLES:
                os.environ.setdefault(name, "info")
        if verbosity < 0 or not terminal:
            _without_bars(stack)
        yield


def _listen(stack: ExitStack, logger: logging.Logger, level: int, handler: logging.Handler) -> None:
    stack.callback(logger.setLevel, logger.level)
    stack.callback(setattr, logger, "handlers", logger.handlers)
    logger.setLevel(level)
    logger.handlers = [handler]


def _without_bars(stack: ExitStack) -> None:
    """No bars, neither ours nor those of libraries: into a file, each would be a line of thousands of signs."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    from ddgs_hub.core import progress

    stack.enter_context(progress.bars(False))
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
        disable_progress_bars()  # transformers follows it
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # it is not loaded yet


def _choose(verbosity: int) -> Callable[[typer.Context, bool], None]:
    def choose(context: typer.Context, chosen: bool) -> None:
        if chosen:
            context.with_resource(saying(verbosity))

    return choose


def _options(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", callback=_choose(-1), expose_value=False, help="Say nothing but warnings and the result."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", callback=_choose(1), expose_value=False, help="Say all, libraries included."),
    ] = False,
) -> None:
    """Takes the options that all commands have."""


def add_verbosity(command: Any) -> None:
    """Adds `--quiet` and `--verbose` to a command of click, and to each below it: before its name or behind it."""
    app = typer.Typer(add_completion=False)
    app.command()(_options)
    options: Any = typer.main.get_command(app)
    for each in (command, *getattr(command, "commands", {}).values()):
        each.params += options.params
