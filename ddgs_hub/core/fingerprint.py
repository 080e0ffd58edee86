"""Fingerprints of everything that decides a result, so that a result of other inputs is never reused."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash
from datasets import Dataset

from ddgs_hub.core.decoding import encoded_bytes
from ddgs_hub.core.hashing import file_blocks
from ddgs_hub.core.rows import undecoded

if TYPE_CHECKING:
    from torch import Tensor, nn


def fingerprint(*parts: "nn.Module | Dataset | Tensor | bytes | Any") -> str:
    """XXH3 of all parts in their order, as 32 hexadecimal digits. It is as fast as memory, and weights are gigabytes.

    Args:
        parts: modules (by their weights), datasets (by their encoded images and labels), tensors, bytes, JSON values.
    """
    digest = xxhash.xxh3_128()
    for part in parts:
        if isinstance(part, bytes):
            digest.update(part)
        elif isinstance(part, Dataset):
            for number, row in enumerate(undecoded(part.select_columns(["image", "label"]))):
                digest.update(encoded_bytes(row["image"], number))
                digest.update(str(row["label"]).encode())
        elif (tensors := _tensors(part)) is not None:
            for tensor in tensors:
                digest.update(_bytes(tensor))
        else:
            digest.update(json.dumps(part).encode())
    return digest.hexdigest()


def fingerprint_folder(folder: str | Path) -> str:
    """XXH3 of the names and bytes of all files in a folder, as 32 hexadecimal digits; hidden files do not count."""
    digest, root = xxhash.xxh3_128(), Path(folder)
    paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    for path in sorted(path for path in paths if not any(part.startswith(".") for part in path.parts)):
        digest.update(json.dumps([path.as_posix(), (root / path).stat().st_size]).encode())
        for block in file_blocks(root / path):
            digest.update(block)
    return digest.hexdigest()


def _tensors(part: Any) -> "Iterator[Tensor] | None":
    """The weights of a module, or the tensor itself; None for anything else. PyTorch is not loaded for the question."""
    torch: Any = sys.modules.get("torch")
    if torch and isinstance(part, torch.nn.Module):
        return iter(part.state_dict().values())
    return iter([part]) if torch and isinstance(part, torch.Tensor) else None


def _bytes(tensor: "Tensor") -> Any:
    import torch

    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
