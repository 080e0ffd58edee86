"""ddgs-hub: difficulty-guided generative dataset distillation for the Hugging Face ecosystem.

Importing the package imports none of its heavy dependencies: each stage imports what it needs.
"""

__version__ = "0.1.0"
