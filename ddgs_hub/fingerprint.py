"""Fingerprints of what decides a result, so that nothing made of something else is taken over."""

import json
from typing import Any

import torch
import xxhash
from datasets import Dataset
from torch import Tensor, nn

from ddgs_hub.rows import undecoded


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
            for row in undecoded(part.select_columns(["image", "label"])):
                digest.update(row["image"]["bytes"])
                digest.update(str(row["label"]).encode())
        else:
            digest.update(json.dumps(part).encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
