"""Golden runs of DM and IDC-1 (README beside them): their draws as `Draws`, their weights as networks."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ddgs_hub.baselines import CutMix, Draws
from ddgs_hub.evaluation.networks import ConvNet, ResNet

TIGHT = {"rtol": 1e-9, "atol": 1e-9}


@dataclass
class GoldenRun:
    facts: dict[str, Any]  # the JSON file
    arrays: dict[str, torch.Tensor]  # the NPZ file

    @property
    def config(self):
        return self.facts["config"]

    def network(self, prefix: str) -> nn.Module:
        """A network of the run, float64. Golden names count blocks within the layer: conv0, where ours is conv.0."""
        config, weights = self.config, self.weights(prefix)
        if config.get("network", "convnet") == "convnet":
            built: nn.Module = ConvNet(config["classes"], config["size"], 3, config["depth"], config["width"])
        else:
            built = ResNet(config["classes"], config["size"], 3, 1, config["width"], average_pooling=True)
        built.double()  # before the weights: float32 would round them
        built.load_state_dict(weights)
        return built

    def weights(self, prefix: str) -> dict[str, torch.Tensor]:
        named = {key[len(prefix) + 1 :]: value for key, value in self.arrays.items() if key.startswith(f"{prefix}.")}
        if self.config.get("network", "convnet") != "convnet":
            return named
        return {_convnet_name(key): value for key, value in named.items()}

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        mean, std = (self.arrays[name][:, None, None] for name in ("mean", "std"))
        return (images - mean) / std

    def by_class(self, images: torch.Tensor) -> torch.Tensor:
        return images.unflatten(0, (self.config["classes"], self.config["ipc"]))


def read_run(path: Path) -> GoldenRun:
    """The run of a JSON file and of the NPZ file beside it."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    with np.load(path.with_suffix(".npz")) as arrays:
        return GoldenRun(facts, {name: torch.from_numpy(arrays[name]) for name in arrays.files})


def draws_of(operations: list[dict[str, Any]] | None) -> Draws:
    """Operations of a golden file, in order, as `Draws`; a number is one row, a list one for each image."""
    fields = {}
    for operation in operations or []:
        name = operation["op"]
        if name in ("crop", "cutout"):
            ends = ("shift_rows", "shift_cols") if name == "crop" else ("centre_row", "centre_col")
            fields[name] = torch.stack([torch.tensor(operation[end]).reshape(-1) for end in ends], dim=1)
        elif name == "scale":
            fields[name] = torch.tensor(operation["u"], dtype=torch.float64).reshape(2, -1).T
        else:
            fields[name] = torch.tensor(operation["u"], dtype=torch.float64).reshape(-1)
    return Draws(**fields)


def cutmix_of(facts: dict[str, Any] | None) -> CutMix | None:
    if facts is None or "lam" not in facts:
        return None
    return CutMix(facts["lam"], torch.tensor(facts["permutation"]), tuple(facts["centre"]))


def _convnet_name(key: str) -> str:
    layer, kind = key.split(".")
    return f"classifier.{kind}" if layer == "fc" else f"layers.{layer[:4]}.{layer[4:]}.{kind}"
