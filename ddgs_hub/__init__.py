"""ddgs-hub: difficulty-guided generative dataset distillation for the Hugging Face ecosystem.

Importing the package imports none of its heavy dependencies: each stage imports what it needs.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ddgs-hub")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
