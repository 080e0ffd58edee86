"""What the benchmarks measure with: a device's matrix rate, operations, peak memory, and a process for each way.

`python -m benchmarks.measure MODULE FUNCTION ARGUMENTS` is what `in_subprocess` starts.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch.utils.flop_counter import FlopCounterMode

from ddgs_hub.core.errors import InputError

SIDES = {"cuda": 8192, "cpu": 2048}  # of the square matrices: large enough that nothing but the product takes time
REPEATS = 5
KIB_PER_GIB = 2**20


def best_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def synchronize(device: torch.device | str) -> None:
    """Waits until the device has done what it was given; call it before reading a clock."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device | str, dtype: torch.dtype) -> float:
    """FLOP/s of the device at its best: the product of two large square matrices, the fastest of a few.

    A multiplication and an addition are two operations, as `flops` counts them. float32 is what torch makes of it by
    default: no TF32.
    """
    side = SIDES[torch.device(device).type]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(REPEATS + 1):  # the first warms up
        synchronize(device)
        start = time.perf_counter()
        left @ right
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds[1:])


def flops(call: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products, convolutions and attention in a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def peak_memory(device: torch.device | str) -> float:
    """GiB at most since this process began: on a GPU what torch allocated, else what was resident in memory.

    Of this process alone: what its decoding workers hold is not in it.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: ru_maxrss would begin with what the parent held
        [peak] = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peak) / KIB_PER_GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # macOS: bytes


def in_subprocess(module: str, function: str, **arguments: Any) -> dict[str, Any]:
    """Calls `module.function(**arguments)` in a process of its own: neither way warms up or burdens the other.

    Args:
        module: by its full name, such as `benchmarks.scoring`.
        function: returns a dict that JSON can say.
        arguments: that JSON can say. `device` tells which memory is meant; default `cpu`.

    Returns:
        The dict, with `peak_memory` (GiB) added.

    Raises:
        subprocess.CalledProcessError: the call failed; what it wrote to stderr stands there already.
    """
    done = subprocess.run(call_of(module, function, arguments), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def call_of(module: str, function: str, arguments: Mapping[str, Any]) -> list[str]:
    """The command of such a process: it ends its output with a line of JSON."""
    return [sys.executable, "-m", "benchmarks.measure", module, function, json.dumps(arguments)]


def exit_after(work: Callable[[], int | None]) -> NoReturn:
    """Ends the process with what a benchmark returns; a user's mistake is one sentence on stderr, and 2."""
    try:
        sys.exit(work())
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def main() -> None:
    """The other end of `in_subprocess`: prints the result as one line, after whatever the call printed."""
    module, function, text = sys.argv[1:]
    arguments = json.loads(text)
    result = getattr(import_module(module), function)(**arguments)
    print(json.dumps({**result, "peak_memory": peak_memory(arguments.get("device", "cpu"))}))


if __name__ == "__main__":
    main()
