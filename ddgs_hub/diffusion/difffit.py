"""DiffFit: fine-tuning of biases, the class table and new per-channel scales (Xie et al., ICCV 2023).

The scales (gammas) sit, as in Minimax Diffusion, in the first half of the blocks: on queries, keys and values, on the
attention's projection, and on each branch's gated output. All of them scale the output of a linear layer, so they fold
exactly into its weight and bias.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DiTTransformer2DModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ddgs_hub.errors import InputError

CLASS_TABLE = "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight"


class ScaledLinear(nn.Linear):
    """A linear layer whose output is multiplied by learned per-channel gammas, initialised to 1.

    Args:
        linear: the layer whose weight and bias are taken over (shared, not copied).
        gammas: names of the parameters, each of shape `(out_features,)`.
    """

    def __init__(self, linear: nn.Linear, *gammas: str) -> None:
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.gammas = gammas
        for name in gammas:
            self.register_parameter(name, nn.Parameter(torch.ones_like(linear.bias)))

    def scale(self) -> Tensor:
        """The product of all gammas, shape `(out_features,)`."""
        product: Tensor = self.get_parameter(self.gammas[0])
        for name in self.gammas[1:]:
            product = product * self.get_parameter(name)
        return product

    def forward(self, x: Tensor) -> Tensor:
        """`gamma * (x W^T + b)`, shape `(…, out_features)`."""
        return super().forward(x) * self.scale()

    def folded(self) -> nn.Linear:
        """A plain linear layer that computes the same."""
        linear = nn.Linear(self.in_features, self.out_features, device="meta")
        with torch.no_grad():
            linear.weight = nn.Parameter(self.weight * self.scale()[:, None], requires_grad=False)
            linear.bias = nn.Parameter(self.bias * self.scale(), requires_grad=False)
        return linear


def add_difffit(dit: DiTTransformer2DModel, num_blocks: int | None = None) -> DiTTransformer2DModel:
    """Adds DiffFit's gammas and leaves only gammas, biases and the class table trainable; in place.

    What is trained is listed, not matched by "norm": in diffusers' naming that would unfreeze the whole of adaLN.

    Args:
        dit: a model with tied condition embedders.
        num_blocks: blocks that get gammas, from the first; None: half of them (14 of DiT-XL/2's 28).
    """
    num_blocks = len(dit.transformer_blocks) // 2 if num_blocks is None else num_blocks
    for block in dit.transformer_blocks[:num_blocks]:
        attention = block.attn1
        attention.to_q = ScaledLinear(attention.to_q, "gamma")
        attention.to_k = ScaledLinear(attention.to_k, "gamma")
        attention.to_v = ScaledLinear(attention.to_v, "gamma")
        attention.to_out[0] = ScaledLinear(attention.to_out[0], "gamma", "branch_gamma")
        block.ff.net[2] = ScaledLinear(block.ff.net[2], "branch_gamma")
    for name, parameter in dit.named_parameters():
        parameter.requires_grad_(name.endswith(("bias", "gamma")) or name == CLASS_TABLE)
    return dit


def fold_difffit(dit: DiTTransformer2DModel) -> DiTTransformer2DModel:
    """Folds all gammas into weights and biases; in place. The outputs stay the same up to rounding."""
    for name, module in list(dit.named_modules()):
        if isinstance(module, ScaledLinear):
            dit.set_submodule(name, module.folded())
    return dit


def trained_parameters(dit: DiTTransformer2DModel) -> dict[str, nn.Parameter]:
    """Name → parameter of all that DiffFit trains, tied ones once."""
    return {name: parameter for name, parameter in dit.named_parameters() if parameter.requires_grad}


def save_adapter(
    dit: DiTTransformer2DModel,
    path: str | Path,
    *,
    class_ids: Sequence[int] | None = None,
    base_model: str = "",
    base_revision: str = "",
) -> None:
    """Saves the trained tensors only, as safetensors.

    Args:
        dit: a model after `add_difffit`.
        path: the file to write.
        class_ids: the classes that were trained: of the class table only their rows and the null class's are kept,
            since no other row gets a gradient. None keeps all rows.
        base_model: Hub id or folder of the base, for the file's metadata.
        base_revision: its commit.
    """
    tensors = {name: parameter.detach() for name, parameter in trained_parameters(dit).items()}
    table = tensors.pop(CLASS_TABLE)
    rows = range(len(table)) if class_ids is None else sorted({*class_ids, len(table) - 1})
    tensors["class_rows"] = torch.tensor(list(rows), device=table.device)
    tensors["class_table"] = table[tensors["class_rows"]]
    num_blocks = sum(isinstance(block.ff.net[2], ScaledLinear) for block in dit.transformer_blocks)
    metadata = {
        "format": "pt",
        "ddgs_hub": json.dumps({"base_model": base_model, "base_revision": base_revision, "gamma_blocks": num_blocks}),
    }
    save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, path, metadata=metadata)


def load_adapter(dit: DiTTransformer2DModel, path: str | Path) -> DiTTransformer2DModel:
    """Puts the tensors of `save_adapter` onto the base that they were trained from; in place.

    Raises:
        InputError: the file is no such adapter, or belongs to a model of another shape.
    """
    config, tensors = _read_adapter(path)
    if not any(isinstance(module, ScaledLinear) for module in dit.modules()):
        add_difffit(dit, num_blocks=config["gamma_blocks"])
    rows, table = tensors.pop("class_rows"), tensors.pop("class_table")
    parameters = dict(dit.named_parameters())
    with torch.no_grad():
        for name, tensor in {**tensors, CLASS_TABLE: table}.items():
            target = parameters.get(name)
            if target is None or target.shape[1:] != tensor.shape[1:]:
                base = config["base_model"]
                raise InputError(f"adapter {path} does not fit this DiT at '{name}': load its base {base} first")
            if name == CLASS_TABLE:
                target[rows] = tensor.to(target)
            else:
                target.copy_(tensor)
    return dit


def _read_adapter(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})["ddgs_hub"])
            return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path} is not an adapter that ddgs-hub wrote") from error
