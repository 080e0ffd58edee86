"""Speed against a naive baseline, both measured in one run: each benchmark prints a ratio."""
