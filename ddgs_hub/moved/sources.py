"""Where sources were opened before the rooms of the package were built; that is in `ddgs_hub.original`."""

from ddgs_hub.original import find_dataset, open_source, pin_source, write_original

__all__ = ["find_dataset", "open_source", "pin_source", "write_original"]
