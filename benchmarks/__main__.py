"""`python -m benchmarks` runs every benchmark, each in a process of its own so that none warms up another."""

import subprocess
import sys

BENCHMARKS = ("threshold_search", "scoring", "streaming", "generation", "finetuning")


def main() -> None:
    """Runs them all in turn."""
    for name in BENCHMARKS:
        print(f"\n== {name.replace('_', ' ')}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
