"""Fingerprints of what decides a result, so that nothing made of something else is taken over."""

import json
from pathlib import Path
from typing import Any

import torch
import xxhash
from datasets import Dataset
from torch import Tensor, nn

from ddgs_hub.core.decoding import encoded_bytes
from ddgs_hub.core.hashing import file_blocks
from ddgs_hub.core.rows import undecoded


def fingerprint(*parts: nn.Module | Dataset | Tensor | bytes | Any) -> str:
    """XXH3 of all parts in their order, 32 hexadecimal digits: it keeps up with memory, and weights are gigabytes.

    Args:
        parts: modules (by their weights), datasets (by the encoded images and labels), tensors, bytes, JSON values.
    """
    digest = xxhash.xxh3_128()
    for part in parts:
        if isinstance(part, nn.Module):
            for tensor in part.state_dict().values():
                digest.update(_bytes(tensor))
        elif isinstance(part, Tensor):
            digest.update(_bytes(part))
        elif isinstance(part, bytes):
            digest.update(part)
        elif isinstance(part, Dataset):
            for number, row in enumerate(undecoded(part.select_columns(["image", "label"]))):
                digest.update(encoded_bytes(row["image"], number))
                digest.update(str(row["label"]).encode())
        else:
            digest.update(json.dumps(part).encode())
    return digest.hexdigest()


def fingerprint_folder(folder: str | Path) -> str:
    """XXH3 of the files in a folder, their names and their bytes, 32 hexadecimal digits; hidden files do not count."""
    digest, root = xxhash.xxh3_128(), Path(folder)
    paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    for path in sorted(path for path in paths if not any(part.startswith(".") for part in path.parts)):
        digest.update(json.dumps([path.as_posix(), (root / path).stat().st_size]).encode())
        for block in file_blocks(root / path):
            digest.update(block)
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
