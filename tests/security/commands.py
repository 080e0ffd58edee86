"""Many commands in one process that talks to a Hub on this machine, and what each of them came to."""

import json
from pathlib import Path
from typing import NamedTuple

from hub_server import HubServer

RUN = """
import contextlib, io, json, sys, time, traceback
import datasets
import ddgs_hub
from ddgs_hub.cli import main as cli
from ddgs_hub.core.errors import InputError
from ddgs_hub.stages.explore.gallery import Gallery
from ddgs_hub.stages.explore.opened import open_explored
from ddgs_hub.stages.explore.sampled import Sampler
from ddgs_hub.stages.explore.words import gallery as shown

time.sleep = lambda seconds: None
datasets.disable_progress_bars()
done, (calls, results) = [], sys.argv[1:]
for arguments in json.load(open(calls)):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if arguments[0] == "load":
                print(ddgs_hub.load(arguments[1]).rows.column_names)
            elif arguments[0] == "explore":
                opened = open_explored(arguments[1])
                classes = Sampler(opened.scores).classes(range(len(opened.scores.names)), opened.sample, 0)
                gallery = Gallery(opened)
                for kind in gallery.kinds:
                    print(shown(gallery.page(kind, classes, opened.sample, 1), kind))
            else:
                sys.argv = ["ddgs-hub", *arguments]
                cli.main()
        except SystemExit as exit:
            code = exit.code or 0
        except InputError as error:
            code = 2
            print(f"ddgs-hub: {error}", file=sys.stderr)
        except BaseException:
            code = 1
            traceback.print_exc(file=err)
    done.append([code, out.getvalue(), err.getvalue()])
json.dump(done, open(results, "w"))
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


def run_all(hub: HubServer, folder: Path, calls: dict[str, list[str]], token: str) -> dict[str, Done]:
    """Carries out commands in a folder, with a token; `load` is `ddgs_hub.load`, `explore` what its page shows."""
    (folder / "calls.json").write_text(json.dumps(list(calls.values())))
    paths = [str(folder / name) for name in ("calls.json", "done.json")]
    ended = hub.run(RUN, *paths, token=token, cwd=folder, timeout=540)
    assert ended.returncode == 0, ended.stderr
    results = json.loads((folder / "done.json").read_text())
    return {name: Done(*result) for name, result in zip(calls, results, strict=True)}
