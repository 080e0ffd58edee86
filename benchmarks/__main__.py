"""`python -m benchmarks` runs all benchmarks, each in a process of its own so that none warms up another.

They measure speed; `versions` counts bytes, `stable_draws` images that two samplings share, and `guides` looks at what
guides make.

`benchmarks.paper_cost`, which computes what a study costs, is not among them: it takes a GPU.
"""

import argparse
import subprocess
import sys

BENCHMARKS = (
    *("threshold_search", "scoring", "streaming", "generation", "finetuning", "evaluation", "matching"),
    *("versions", "stable_draws", "guides"),
)


def main() -> None:
    """Runs the benchmarks that are named, else all, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; none: all")
    names = parser.parse_args().names
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name}: choose of {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        print(f"\n== {name.replace('_', ' ')}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
