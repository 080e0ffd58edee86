"""A tour of the Hub: what its users do, command after command, each in a process of its own with an empty cache.

    python tests/hub/tour.py              # prints it: the README shows this
    python tests/hub/tour.py --quick      # with few steps: what the test does

The Hub is the one of the tests, on the loopback address.
"""

import argparse
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_server import HubServer

ROOT = Path(__file__).parents[2]
TOKEN = "hf_" + "Ada0" * 8
DATASET, DIT, SCORER = "ada/digits-ddgs-ipc10", "ada/digits-ddgs-dit", "ada/digits-scorer"
QUICK = [
    *("finetune.epochs=0.2", "pool.num_steps=6", "score.training.epochs=3"),
    *("evaluate.epochs=4", "evaluate.evaluations=2", "evaluate.repeats=1"),
]
LOAD = f"""
from datasets import load_dataset
from diffusers import DiTPipeline
import timm

rows = load_dataset("{DATASET}", split="train", revision="v1.0.0")
stream = load_dataset("{DATASET}", split="train", revision="v1.0.0", streaming=True)
print(len(rows), "rows;", next(iter(stream))["image"].size, "px;", rows.column_names)
assert [row["pool_index"] for row in stream] == rows["pool_index"]
pipeline = DiTPipeline.from_pretrained("{DIT}", revision="v1.0.0")
print(pipeline(pipeline.get_label_ids(["7"]), guidance_scale=2.0, num_inference_steps=4).images[0].size, "px")
scorer = timm.create_model("hf-hub:{SCORER}@v1.0.0", pretrained=True)
print(scorer.num_classes, "classes")
"""


@dataclass
class Tour:
    """Carries out commands against a Hub; each has an empty cache.

    Attributes:
        hub: where everything is published.
        folder: the working directory.
        quick: few steps, and an evaluation that says nothing.
        said: commands and what they printed, in order.
    """

    hub: HubServer
    folder: Path
    quick: bool
    said: list[tuple[str, str]] = field(default_factory=list)

    def ddgs(self, command: str) -> str:
        """Runs `ddgs-hub COMMAND`."""
        return self._run(["-m", "ddgs_hub", *shlex.split(command)], f"ddgs-hub {command}")

    def python(self, source: str, name: str) -> str:
        """Runs a program."""
        return self._run(["-c", source], name)

    def make(self, folder: str, seed: int) -> None:
        """Runs the digits' recipe."""
        changes = " ".join(f"--set {change}" for change in QUICK) if self.quick else ""
        self.ddgs(f"run digits --seed {seed} --output {folder} {changes}".strip())

    def _run(self, argv: list[str], name: str) -> str:
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        done = self.hub.run(argv, token=TOKEN, env={"PYTHONPATH": paths}, cwd=self.folder, timeout=900)
        if done.returncode:
            raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        printed = done.stdout.replace(self.hub.url, "https://huggingface.co")
        self.said.append((name, printed))
        return printed


def take(tour: Tour) -> None:
    """The whole way: made, published, loaded, published again in three versions, compared, and sampled anew."""
    tour.hub.add_user("ada", TOKEN)
    tour.make("runs/digits", 0)
    tour.ddgs(f"publish runs/digits --repo {DATASET} --with-pool")
    tour.ddgs(f"publish runs/digits/dit --repo {DIT}")
    tour.ddgs(f"publish runs/digits/scorer --repo {SCORER}")
    tour.python(LOAD, "load")
    tour.ddgs(f"publish runs/digits --repo {DATASET} --with-pool")
    tour.ddgs(f"sample --pool {DATASET}@v1.0.0 --ipc 10 --seed 1 --output other-seed")
    tour.ddgs(f"publish other-seed --repo {DATASET}")
    tour.make("runs/other-pool", 1)
    tour.ddgs(f"publish runs/other-pool --repo {DATASET} --with-pool")
    tour.ddgs(f"versions {DATASET}")
    tour.ddgs(f"diff {DATASET} v1.0.0 v1.1.0")
    tour.ddgs(f"diff {DATASET} v1.1.0 v2.0.0 --json")
    tour.ddgs(f"sample --pool {DATASET}@v1.0.0 --ipc 20 --output ipc20")


def main() -> None:
    """Prints the tour."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        (folder := Path(name) / "work").mkdir()
        with HubServer(Path(name) / "hub") as hub:
            tour = Tour(hub, folder, quick)
            try:
                take(tour)
            finally:
                for command, output in tour.said:
                    if not command.endswith("--json"):  # hundreds of lines
                        print(f"$ {command}\n{output}")


if __name__ == "__main__":
    main()
