"""How much memory this process has taken."""

import sys


def peak_memory() -> int | None:
    """Bytes of memory at most so far; None where the system does not say it, as Windows."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
