"""DiffFit: fine-tuning of biases, the class table and new per-channel scales (Xie et al., ICCV 2023).

The scales (gammas) sit, as in Minimax Diffusion, in the first half of the blocks: on queries, keys and values, on the
attention's projection, and on each branch's gated output. All of them scale the output of a linear layer, so they fold
exactly into its weight and bias.
"""

import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor, nn

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
        output = super().forward(x)
        # Under autocast the scale has the type of the output: it is kept for the backward pass.
        return output * self.scale().to(output)

    def folded(self) -> nn.Linear:
        """A plain linear layer that computes the same."""
        linear = nn.Linear(self.in_features, self.out_features, device="meta")
        with torch.no_grad():
            linear.weight = nn.Parameter(self.weight * self.scale()[:, None], requires_grad=False)
            linear.bias = nn.Parameter(self.bias * self.scale(), requires_grad=False)
        return linear


def add_difffit(dit: DiTTransformer2DModel, num_blocks: int | None = None) -> DiTTransformer2DModel:
    """Adds DiffFit's gammas and leaves only gammas, biases and the class table trainable; in place.

    The trained parameters are listed here. A match of "norm" in their names would train all of adaLN, because diffusers
    names its layers so.

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
    """Name → parameter, for all parameters that DiffFit trains; tied ones occur once."""
    return {name: parameter for name, parameter in dit.named_parameters() if parameter.requires_grad}
