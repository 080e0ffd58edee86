"""The state of this machine: a full or read-only disk, and what a piece of work costs in time and memory."""

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ddgs_hub.core.errors import causes

GIB = 2**30
AGAIN = "free some space, and start the same command again: it goes on where it was"
ADVICE = {
    errno.ENOSPC: AGAIN,
    getattr(errno, "EDQUOT", errno.ENOSPC): AGAIN,  # Windows has no error of that name
    errno.EROFS: "choose another --output",
}


def why_not_written(error: BaseException) -> str | None:
    """One sentence for an error that means a full or read-only disk; None for any other error."""
    for cause in causes(error):
        code = _error_number(cause)
        if code is not None:
            file = getattr(cause, "filename", None)
            return f"cannot write{f' {file}' if file else ''}: {os.strerror(code)}; {ADVICE[code]}"
    return None


def is_full(error: BaseException) -> bool:
    """Whether an error means a full disk: what was finished before it is kept, and the next try goes on from there."""
    return any(ADVICE.get(_error_number(cause) or 0) == AGAIN for cause in causes(error))


def peak_memory() -> int | None:
    """The most memory that this process has had, in bytes; None if the system does not tell, as on Windows."""
    try:
        import resource
    except ImportError:
        return None
    if sys.platform == "linux":  # where `getrusage` begins with the peak of the process that started this one
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
                if line.startswith("VmHWM:"):
                    return 1024 * int(line.split()[1])  # of kB
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def in_gib(size: int) -> str:
    """A size in bytes, for people."""
    return f"{size / GIB:.2f} GiB"


class Measured:
    """Measures the work in its block; the values are there when that ends.

    Attributes:
        seconds: that passed.
        peak_memory: the most main memory, in bytes, that this process held at a time, files that are mapped into it
            included, its child processes not. Only Linux can begin anew with each block: elsewhere it is the most
            since the process began. None where the system does not tell, as on Windows.
        peak_gpu_memory: the most that PyTorch's tensors held on the GPU of this process, in bytes; None: no GPU was
            used.
    """

    seconds = 0.0
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None

    def __enter__(self) -> "Measured":
        with suppress(OSError):  # no Linux, or it may not be written
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = round(time.perf_counter() - self._began, 1)
        self.peak_memory = peak_memory()
        if (cuda := _cuda()) is not None:
            self.peak_gpu_memory = cuda.max_memory_allocated()


def _cuda() -> Any:
    """`torch.cuda` where it is in use; else None, and nothing is loaded for that."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _error_number(error: BaseException) -> int | None:
    """The system's number: libraries raise OSError, or errors of their own (safetensors, torch) with its words."""
    number, text = getattr(error, "errno", None), str(error)
    return next((code for code in ADVICE if number == code or os.strerror(code) in text), None)
