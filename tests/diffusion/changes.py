"""A model as DiffFit could have left it, and what it computes."""

from collections.abc import Sequence

import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor

from ddgs_hub.diffusion.difffit import CLASS_TABLE, trained_parameters


def perturb(dit: DiTTransformer2DModel, class_rows: Sequence[int]) -> None:
    """Changes every trained tensor, of the class table some rows only."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in trained_parameters(dit).items():
            change = 0.1 * torch.randn(parameter.shape, generator=generator)
            if name == CLASS_TABLE:
                parameter[class_rows] += change[class_rows]
            else:
                parameter += change


def output(dit: DiTTransformer2DModel, *, labels: tuple[int, int] = (0, 2)) -> Tensor:
    """The output of diffusers' own forward pass on two fixed latents."""
    channels, size = dit.config.in_channels, dit.config.sample_size
    z = torch.linspace(-1, 1, 2 * channels * size * size).view(2, channels, size, size)
    with torch.inference_mode():
        return dit(z, torch.tensor([7, 900]), torch.tensor(labels), return_dict=False)[0]
