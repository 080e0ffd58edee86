"""`python -m benchmarks` runs every benchmark, each in a process of its own so that none warms up another."""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Runs them all in turn."""
    for path in sorted(set(Path(__file__).parent.glob("[!_]*.py")) - {Path(__file__).with_name("measure.py")}):
        print(f"\n== {path.stem.replace('_', ' ')}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{path.stem}"], check=True)


if __name__ == "__main__":
    main()
