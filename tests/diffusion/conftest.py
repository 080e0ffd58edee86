"""The tiny original-format DiT of the golden vectors, and a tiny one of our own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiTTransformer2DModel
from threads import one_thread
from tiny_dit import tiny_autoencoder, tiny_dit

from benchmarks.published import PlainDiT
from ddgs_hub.diffusion import Codec, load_dit
from ddgs_hub.diffusion.bases import base_path


@pytest.fixture
def golden_minimax(golden: Callable[[str], Path]) -> dict[str, Any]:
    """Arrays and log of golden/minimax: `arrays`, `state_dict` (float64) and `log` (of the float64 run)."""
    arrays = np.load(golden("minimax.npz"))
    state_dict = {k[3:]: torch.from_numpy(arrays[k]).double() for k in arrays.files if k.startswith("sd/")}
    log = json.loads(golden("minimax.json").read_text())["runs"]["A64"]["log"]
    return {"arrays": arrays, "state_dict": state_dict, "log": log}


@pytest.fixture(scope="module")
def in_one_thread() -> Iterator[None]:
    """The numbers of torch depend on how many threads there are."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def digits() -> tuple[DiTTransformer2DModel, Codec]:
    """The DiT of the shipped digits' base, frozen, and its autoencoder."""
    return load_dit(base_path("digits")).requires_grad_(False), Codec.from_pretrained(base_path("digits"))


@pytest.fixture(name="tiny_dit")
def three_classes() -> DiTTransformer2DModel:
    """The tiny DiT, of three classes."""
    return tiny_dit(3)


@pytest.fixture
def plain_dit() -> Callable[..., PlainDiT]:
    """`plain_dit(depth=1, …)` is a DiT in the original format, float64, random and nowhere zero, with outputs of O(1).

    By default three classes, 4 × 4 × 4 latents, two blocks of width 16.
    """

    def make(**config: int) -> PlainDiT:
        shape = {"hidden_size": 16, "depth": 2, "num_heads": 2, "num_classes": 3, "input_size": 4}
        generator = torch.Generator().manual_seed(0)
        model = PlainDiT(**{**shape, **config}).double()
        for name, parameter in model.named_parameters():
            if name == "pos_embed":
                continue
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            is_matrix = parameter.ndim > 1
            parameter.data = noise / parameter[0].numel() ** 0.5 if is_matrix else ("gamma" in name) + 0.2 * noise
        return model.eval()

    return make


@pytest.fixture
def tiny_codec() -> Codec:
    """A random AutoencoderKL: 8 px images, 4 × 4 × 4 latents."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Codec(tiny_autoencoder(scaling_factor=0.5))
