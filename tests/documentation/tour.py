"""A tour of the documentation: what its readers do, command after command, in one folder, with the Hub of the tests.

python tests/documentation/tour.py              # prints commands and outputs: docs/hub.md shows this
python tests/documentation/tour.py --quick      # with few steps: what the test does
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_server import HubServer
from markdown_blocks import ROOT, SHELLS, Block, blocks

TOKEN = "hf_" + "Ada0" * 8
# What the commands that take a recipe are given in addition: few steps, and an evaluation that says nothing.
QUICK = [
    *("finetune.epochs=0.2", "pool.size=3", "pool.num_steps=3", "score.training.epochs=2"),
    *("evaluate.epochs=2", "evaluate.evaluations=1", "evaluate.repeats=1", "evaluate.width=8"),
    *("score.training.folds=2", "dm.steps=3", "idc.outer_iterations=1", "idc.early=0", "idc.inner_loop=2"),
]
FROM_SCRATCH = [
    *("codec.training.steps=20", "codec.training.batch_size=16", "sample.ipc=3"),
    *("model.pretraining.steps=20", "model.pretraining.batch_size=16"),
]
SETTABLE = ("run", "train-scorer", "pretrain", "finetune", "generate", "evaluate")


@dataclass
class Tour:
    """Carries out blocks of the documentation.

    Attributes:
        hub: where everything is published.
        folder: the working directory.
        quick: whether commands are given `QUICK`.
        said: commands, or the places of programs, and what they printed, in order.
    """

    hub: HubServer
    folder: Path
    quick: bool
    said: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def shell(self) -> Iterator[None]:
        """Starts the process that carries out commands; it shares one cache of the Hub among them."""
        home = self.folder.parent / "home"
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        env = {**self.hub.environment(home, TOKEN), "PYTHONPATH": paths}
        command = [sys.executable, str(Path(__file__).with_name("shell.py"))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=self.folder, env=env, **pipes) as self._process:
            try:
                yield
            finally:
                self._process.stdin.close()

    def take(self, block: Block) -> None:
        """Writes, runs or passes over a block."""
        if block.file:
            (self.folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.needs:
            return
        elif block.language == "python":
            self.carry_out(["-c", block.text], str(block))
        elif block.language in SHELLS:
            for words in block.commands:
                # The README repeats what the pages say.
                if block.page != "README.md" or " ".join(words) not in dict(self.said):
                    self.type(words)

    def type(self, words: list[str]) -> str:
        """Carries out a command line."""
        program, *rest = words
        if program == "ddgs-hub":
            return self.carry_out(["-m", "ddgs_hub", *rest, *self._settings(rest)], " ".join(words))
        assert program == "accelerate"
        from command_lines import launched

        # The launcher would start one more Python, which does the same (tests/test_examples.py starts it).
        launch = launched(rest)
        return self.carry_out([str(ROOT / launch.training_script), *launch.training_script_args], " ".join(words))

    def _settings(self, words: list[str]) -> list[str]:
        name, *rest = words
        if not self.quick or not (name in SETTABLE or (name == "baseline" and rest[0] in ("dm", "idc-1"))):
            return []
        values = [*QUICK, *(FROM_SCRATCH if name == "pretrain" or "photos.yaml" in rest else [])]
        return [part for value in values for part in ("--set", value)]

    def carry_out(self, argv: list[str], name: str) -> str:
        """What `python *argv` prints.

        Raises:
            RuntimeError: it fails; the message is what it says.
        """
        out, err = (self.folder.parent / kind for kind in ("out", "err"))
        self._process.stdin.write(json.dumps({"argv": argv, "out": str(out), "err": str(err)}) + "\n")
        self._process.stdin.flush()
        code = self._process.stdout.readline().strip()
        printed = out.read_text(encoding="utf-8").replace(self.hub.url, "https://huggingface.co")
        if code != "0":
            raise RuntimeError(f"{name} ended with {code}:\n{printed}{err.read_text(encoding='utf-8')}")
        self.said.append((name, printed))
        return printed


def prepare_folder(folder: Path) -> None:
    """The images that the pages speak of: `photos` of two classes, and `pictures` of another generator."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (digits.images * 15.9).clip(0, 255).astype(np.uint8)

    def save(places: dict[str, slice], names: Callable[[int], str], labels: range, side: int) -> None:
        for place, rows in places.items():
            for label in labels:
                (at := folder / place / names(label)).mkdir(parents=True)
                for row in np.flatnonzero(digits.target == label)[rows]:
                    Image.fromarray(pixels[row]).resize((side, side)).convert("RGB").save(at / f"{row}.png")

    save({"photos/train": slice(40), "photos/validation": slice(40, 60)}, {0: "cat", 1: "dog"}.get, range(2), 40)
    save({"pictures/train": slice(60, 80)}, str, range(10), 16)


@contextmanager
def begun(hub: HubServer, folder: Path, quick: bool) -> Iterator[Tour]:
    """A tour that can begin."""
    folder.mkdir()
    prepare_folder(folder)
    hub.add_user("ada", TOKEN)
    tour = Tour(hub, folder, quick)
    with tour.shell():
        yield tour


def main() -> None:
    """Prints the tour."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps")
    quick = parser.parse_args().quick
    with (
        tempfile.TemporaryDirectory() as name,
        HubServer(Path(name) / "hub") as hub,
        begun(hub, Path(name) / "work", quick) as tour,
    ):
        for block in blocks():
            before = len(tour.said)
            tour.take(block)
            for command, output in tour.said[before:]:
                print(f"$ {command}\n{output}")


if __name__ == "__main__":
    main()
