"""What a disk says when it takes nothing more, through whichever library."""

import errno
import os

from ddgs_hub.core.errors import causes

AGAIN = "free some space, and start the same command again: it goes on where it was"
ADVICE = {
    errno.ENOSPC: AGAIN,
    getattr(errno, "EDQUOT", errno.ENOSPC): AGAIN,  # Windows has no quota of that name
    errno.EROFS: "choose another --output",
}


def why_not_written(error: BaseException) -> str | None:
    """The sentence for an error that means a full or a read-only disk; None of any other."""
    for link in causes(error):
        code = _code(link)
        if code is not None:
            file = getattr(link, "filename", None)
            return f"cannot write{f' {file}' if file else ''}: {os.strerror(code)}; {ADVICE[code]}"
    return None


def is_full(error: BaseException) -> bool:
    """Whether an error means a full disk: what was done before is good, and the next try goes on."""
    return any(ADVICE.get(_code(link) or 0) == AGAIN for link in causes(error))


def _code(error: BaseException) -> int | None:
    """The system's number: libraries raise OSError, or their own (safetensors, torch) with the system's words in it."""
    number, text = getattr(error, "errno", None), str(error)
    return next((code for code in ADVICE if number == code or os.strerror(code) in text), None)
