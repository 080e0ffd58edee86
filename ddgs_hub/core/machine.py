"""The state of this machine: a full or read-only disk, and the peak memory of this process."""

import errno
import os
import sys

from ddgs_hub.core.errors import causes

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
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _error_number(error: BaseException) -> int | None:
    """The system's number: libraries raise OSError, or errors of their own (safetensors, torch) with its words."""
    number, text = getattr(error, "errno", None), str(error)
    return next((code for code in ADVICE if number == code or os.strerror(code) in text), None)
