"""`python -m benchmarks.gpu`: see the package."""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu
from benchmarks.gpu import base
from benchmarks.gpu.parts import GPU, TEST_REPORT, TESTS, TOY, Part, Sizes, all_parts
from benchmarks.gpu.record import SHOWN, Record, last_object, read_report, run
from benchmarks.measure import best_device, call_of, exit_after
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import quoted

BASE_SHARE = 0.3  # of all time: no benchmark begins that could take it from the training
MARGIN = 15.0  # seconds at the end of a call, to write and to leave
SHORTEST = 30.0  # seconds: a training is not called for less


class Call:
    """One call: works until its time is over.

    Args:
        sizes: of everything.
        output: folder of the results.
        original: folder of the images; None: there are none, which at toy size is mended.
        minutes: of this call.
        total: minutes of all calls together, which the first call fixes.
    """

    def __init__(self, sizes: Sizes, output: Path, original: str | None, minutes: float, total: float) -> None:
        self.sizes, self.output, self.work = sizes, output, output / "work"
        self.original = original
        if original is not None and not Path(original).is_dir():  # said now, not when the time for benchmarks is gone
            raise InputError(f"--original {quoted(original)} is no folder: give one of ImageNette's images, or none")
        self.end = time.monotonic() + 60 * minutes - MARGIN
        device = best_device()
        name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        machine = {"device": device, "name": name, "torch": torch.__version__, "toy": sizes is TOY}
        self.record = Record.of(output) or Record(machine=machine, total_minutes=total)
        if self.record.machine != machine:
            raise InputError(f"{output} was begun on another machine or in another size: choose another --output")
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds of this call."""
        return self.end - time.monotonic()

    def work_off(self) -> bool:
        """Does what is not done yet; whether all is done."""
        for part in all_parts(self.sizes, self.record.machine["device"], self.work):
            kept = 60 * self.record.total_minutes * (1 - BASE_SHARE)
            if self._has(part) or self.record.spent + part.limit > kept:
                continue
            if part.limit > self.left:
                return False
            found = self._run(part.command, part.limit, part.environment)
            if part.name == TESTS and (self.work / TEST_REPORT).exists():
                found["result"] = read_report(self.work / TEST_REPORT)
            self.record.parts[part.name] = found | {"command": part.command[1:]}
            self.record.write(self.output)
            print(f"{part.name}: {found['state']}, {found['seconds']:.0f} s", flush=True)
        return self._base()

    def _has(self, part: Part) -> bool:
        """Whether this was done before, and with the same arguments."""
        found = self.record.parts.get(part.name)
        return found is not None and found.get("command") == part.command[1:]

    def _run(self, command: list[str], limit: float, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What is kept of a process: its result, or the end of what it wrote."""
        found = run(command, limit, environment or {})
        text = found.pop("output")
        if found["state"] != "done":
            found["output"] = text[-SHOWN:]
        elif command[2] == "benchmarks.measure":
            result = last_object(text)
            found |= {"state": "failed", "output": text[-SHOWN:]} if result is None else {"result": result}
        self.record.spent += found["seconds"]
        return found

    def _base(self) -> bool:
        """Plans the base at first, then trains it as long as there is time; whether it is done, or cannot be made."""
        kept = self.record.base
        if kept.get("state") == "done":
            return True
        if self.original is None and "plan" not in kept:
            kept["state"] = "left out, as there was no --original"
            self.record.write(self.output)
            return True
        if self.left < SHORTEST or ("plan" not in kept and not self._plan(kept)):
            return False
        return self.left >= SHORTEST and self._train(kept)

    def _plan(self, kept: dict[str, Any]) -> bool:
        """Fixes how long is trained; whether that went well."""
        asked: dict[str, Any] = {"original": self.original, "folder": str(self.work / "original")}
        asked |= {"seconds": 60 * self.record.total_minutes - self.record.spent}
        asked |= {"timed_steps": self.sizes.timed_steps, "values": list(self.sizes.recipe)}
        found = self._run(call_of("benchmarks.gpu.base", "plan", asked), self.left)
        kept.pop("output", None)
        kept.update({"plan": found["result"], "state": "planned"} if "result" in found else found)
        self.record.write(self.output)
        return "result" in found

    def _train(self, kept: dict[str, Any]) -> bool:
        """Trains as long as this call lasts; whether the base is done."""
        trained = self.work / "base"
        asked = {"folder": str(self.work / "original"), "base": str(trained), "values": kept["plan"]["values"]}
        found = self._run(call_of("benchmarks.gpu.base", "train", asked), self.left)
        kept.pop("output", None)
        kept["seconds"] = round(kept.get("seconds", 0.0) + found["seconds"], 1)
        kept.update({name: found[name] for name in ("output", "result") if name in found})
        kept["state"] = "goes on" if found["state"] == "too slow" else found["state"]
        if found["state"] == "done":
            shutil.copytree(trained, self.output / "base", dirs_exist_ok=True)
            kept["bytes"] = sum(path.stat().st_size for path in (self.output / "base").rglob("*.safetensors"))
            kept["fits"] = kept["bytes"] <= base.MOST_BYTES
        self.record.write(self.output)
        print(f"base: {kept['state']}", flush=True)
        return bool(found["state"] == "done")

    @property
    def failed(self) -> list[str]:
        """Names of what ended in another way than it should."""
        parts = [name for name, part in self.record.parts.items() if part["state"] != "done"]
        base_failed = self.record.base.get("state") == "failed" or not self.record.base.get("fits", True)
        return [*parts, *(["base"] if base_failed else [])]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=gpu.__doc__)
    parser.add_argument("--toy", action="store_true", help="tiny models and few images: whether it works at all")
    parser.add_argument(
        "--minutes", type=float, default=25.0, help="of this call; another one goes on behind it (%(default)g)"
    )
    parser.add_argument(
        "--total", type=float, default=25.0, help="minutes of all calls; the first one decides (%(default)g)"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"), help="folder of the results (%(default)s)")
    parser.add_argument("--original", help="folder of ImageNette's images, which the base is trained on")
    parser.add_argument("--pack", metavar="FOLDER", help="write ImageNette of FOLDER in small to --original, no more")
    options = parser.parse_args()
    if options.minutes <= 0 or options.total <= 0:
        parser.error(f"--minutes {options.minutes:g} and --total {options.total:g} must be above 0")
    if options.pack and not options.original:
        parser.error("--pack needs --original, the folder that it writes")
    return options


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended, too
    if options.pack:
        base.pack(options.pack, Path(options.original))
        return 0
    original = options.original
    if options.toy and original is None:
        original = str(options.output / "work" / "made-up")
        if not Path(original).exists():
            base.make_up(Path(original))
    call = Call(TOY if options.toy else GPU, options.output, original, options.minutes, options.total)
    finished = call.work_off()
    for name in call.failed:
        print(f"{name} failed, see {options.output / 'gpu.json'}", file=sys.stderr)
    if not finished:
        print("not finished: the same call goes on")
    return int(bool(call.failed))


if __name__ == "__main__":
    exit_after(main)
