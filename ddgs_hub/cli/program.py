"""Runs the commands of a program: output works in every terminal, and a user's mistake is one line."""

import errno
import os
import sys
from typing import Any, NoReturn

import typer
from pydantic import ValidationError

from ddgs_hub.cli.verbosity import add_verbosity, saying
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.machine import why_not_written
from ddgs_hub.core.processes import claim_report, is_main, join_processes, leave_processes, lost_a_process
from ddgs_hub.core.text import one_line, quoted

INTERRUPTED = 130
UsageError: Any = typer.BadParameter.__mro__[1]  # click's, or that of the click that typer brings along


def run_commands(commands: Any, program: str) -> None:
    """Runs click's commands, and exits; a user's mistake is one line on stderr and exit code 2.

    Of several processes of a launch one says what is wrong, and all exit alike.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has λ, ± and …
    add_verbosity(commands)
    with saying():
        _run(commands, program)


def _run(commands: Any, program: str) -> NoReturn:
    try:
        join_processes()
        # Without click's own handling: its usage errors are several lines.
        arguments = sys.argv[1:] or ["--help"]
        code = commands.main(arguments, prog_name=program, standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # what typer makes of Ctrl-C inside a command
            raise KeyboardInterrupt
        sys.exit(code)
    except (typer.Abort, KeyboardInterrupt):
        if is_main():
            print(f"{program}: interrupted; start the same command again to go on", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        sys.exit(1)  # the reader, such as `head`, has closed the pipe
    except Exception as error:
        code, message = _explain(error)
        if message is None:
            raise
    speaks, code = claim_report(code)
    if speaks:
        print(f"{program}: {message}", file=sys.stderr, flush=True)
    leave_processes(unread=code == 2)
    sys.exit(code)


def _explain(error: Exception) -> tuple[int, str | None]:
    """Exit code and a message of one line; the message is None for a defect of ours or of a library."""
    if isinstance(error, InputError):
        return 2, str(error)
    if isinstance(error, UsageError):
        return 2, one_line(_with_value(error))
    if isinstance(error, RuntimeError) and lost_a_process(error):
        return 1, "another process of this launch has ended: start the same command again, it goes on where it was"
    if isinstance(error, UnicodeEncodeError):  # of a file name: stdout replaces characters, texts are UTF-8
        return 2, f"{quoted(error.object)} is no name in the encoding of the locale: rename it, or set PYTHONUTF8=1"
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return 2, f"{quoted(error.filename)} is no place ({os.strerror(error.errno)}): give another name"
    if isinstance(error, RuntimeError) and "Symlink loop" in str(error):  # of Python below 3.13
        return 2, f"{one_line(error, 200)}: give another name"
    return 2, why_not_written(error)


def _with_value(error: Any) -> str:
    """What is wrong with an argument, and its value, which pydantic's reasons lack that typer passes on."""
    message = error.format_message().replace(": Value error, ", ": ")
    if not isinstance(error.__cause__, ValidationError):
        return message
    value = quoted(str(error.__cause__.errors()[0]["input"]))
    return message if value in message else f"{message.removesuffix('.')}, got {value}"


def _stdout_is_closed() -> bool:
    """Whether the reader of stdout has gone, as behind `| head`; the rest of the output is then dropped."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at the end
        return True
    return False
