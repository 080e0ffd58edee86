"""Golden runs of DM and IDC-1 (README beside them): draws as `Draws`, weights as networks, and the replay of IDC-1."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ddgs_hub.baselines import (
    CutMix,
    Draws,
    at_rest,
    clamped,
    decode,
    embedding_distance,
    gradient_distance,
    idc_gradient,
    idc_step,
    network_optimizer,
    training_step,
)
from ddgs_hub.evaluation.networks import ConvNet, ResNet
from ddgs_hub.recipe import IDCSettings

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


class Replay:
    """A golden run of IDC-1, on the images and weights that come out of it step by step; a mutant overrides a part."""

    def __init__(self, run: GoldenRun):
        self.run, self.config, self.labels = run, run.config, run.arrays["labels"]
        self.real = run.normalize(run.arrays["real_u8"].double() / 255)
        self.settings = IDCSettings(**{name: self.config[name] for name in ("lr", "momentum", "weight_decay")})
        self.learnt = at_rest(run.by_class(run.arrays["images_before"][0]))
        self.records = {name: [] for name in ("images_before", "images_after", "grads", "losses")}
        self.weights = {}

    def results(self) -> dict[str, torch.Tensor]:
        for iteration in self.run.facts["iterations"]:
            self.learnt = self.clamp(self.learnt)
            network = self.run.network(iteration["network"])
            optimizer = network_optimizer(network, self.settings)
            for training in iteration["early"]:
                self.train(network, optimizer, training)
            for inner in iteration["inner"]:
                for match in inner["match"]:
                    self.match(network, match)
                for training in inner["train"]:
                    self.train(network, optimizer, training)
        return {name: torch.stack(values) for name, values in self.records.items()}

    def match(self, network, facts):
        rows, before = torch.arange(self.config["ipc"]), self.learnt

        def distance(stored):
            return self.distance(network, stored, facts)

        loss, gradient = idc_gradient(before.images, facts["class"], rows, distance)
        lr, momentum = self.config["lr_img"], self.config["mom_img"]
        after, _ = idc_step(before, facts["class"], rows, distance, lr=lr, momentum=momentum)
        self.learnt = self.stepped(before, after, facts["class"])
        images = {"images_before": before.images, "images_after": self.learnt.images, "grads": gradient}
        for name, values in images.items():
            self.records[name].append(values.flatten(0, 1))
        self.records["losses"].append(loss)

    def distance(self, network, stored, facts):
        real, draws = self.real[facts["real_indices"]], draws_of(facts["augment"])
        synthetic = self.run.normalize(decode(stored, self.config["factor"]))
        if self.config["match"] == "feat":  # IDC's other way of matching, which is DM's on a trained network
            return embedding_distance(lambda x: network.features(x)[self.config["f_idx"]], real, synthetic, draws)
        return gradient_distance(network, real, synthetic, facts["class"], draws, self.config["metric"])

    def clamp(self, learnt):
        return clamped(learnt)

    def stepped(self, before, after, label):
        return after

    def train(self, network, optimizer, facts):
        for batch in facts["batches"]:
            images, labels = self.real[batch["indices"]], self.labels[batch["indices"]]
            cutmix = cutmix_of(batch["cutmix"])
            self.training_step(network, optimizer, images, labels, draws_of(batch["augment"]), cutmix)
        self.weights[facts["weights_after"]] = copy.deepcopy(network.state_dict())

    def training_step(self, *arguments):
        training_step(*arguments)


def _convnet_name(key: str) -> str:
    layer, kind = key.split(".")
    return f"classifier.{kind}" if layer == "fc" else f"layers.{layer[:4]}.{layer[4:]}.{kind}"
