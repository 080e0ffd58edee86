"""A shell for the tour: it has loaded what the commands load, and forks for each; a script that `tour` starts.

An order is a line of JSON: `{"argv": […], "out": …, "err": …}`, as for `python *argv`; the answer is its exit code.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from fork_server import carry_out

PRELOADED = (
    *("ddgs_hub.cli.main", "ddgs_hub.stages.run", "ddgs_hub.stages.study.reproduce", "ddgs_hub.hub.loading"),
    *("datasets", "diffusers.pipelines.dit.pipeline_dit", "timm", "accelerate", "matplotlib.pyplot"),
)


def exit_code(argv: list[str]) -> int:
    """With what code the program ends; what it did not catch is shown as Python does."""
    sys.path.insert(0, os.getcwd())
    try:
        carry_out(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def begin(argv: list[str], out: str, err: str) -> None:
    """What the child does; it ends without taking apart all that is loaded."""
    for path, fd in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
    code = exit_code(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            begin(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    os._exit(0)  # at once: to take apart all that is loaded takes longer than a command


if __name__ == "__main__":
    main()
