"""What difficulty-guided sampling is compared with: coresets of real images, and images learnt by matching.

Coresets take features and labels as arrays and give row numbers, with NumPy only. DM and IDC-1 move synthetic images
so that networks see in them what they see in real ones: `dm` and `idc` are the mathematics of a step, which takes
networks, batches and random draws as arguments; `dm_learning` and `idc_learning` draw them and go from step to step.
This room does not know where features, networks and images come from, reads no images and writes no datasets.

The names below are imported when first used, so that coresets do not load torch.
"""

from typing import TYPE_CHECKING

from ddgs_hub.core.lazy import lazy_names

if TYPE_CHECKING:
    from ddgs_hub.baselines.coreset import herding, k_center, random_selection
    from ddgs_hub.baselines.dm import dm_gradient, dm_step, embedding_distance
    from ddgs_hub.baselines.dm_learning import learn_dm
    from ddgs_hub.baselines.idc import (
        CutMix,
        decode,
        draw_cutmix,
        gradient_distance,
        idc_gradient,
        idc_step,
        network_optimizer,
        training_step,
    )
    from ddgs_hub.baselines.idc_learning import learn_idc
    from ddgs_hub.baselines.learnt import LearntImages, at_rest, clamped
    from ddgs_hub.baselines.real_images import RealImages
    from ddgs_hub.baselines.siamese import Draws, augment, draw_chain, draw_one

_MODULES = {
    "coreset": ("herding", "k_center", "random_selection"),
    "dm": ("dm_gradient", "dm_step", "embedding_distance"),
    "idc": (
        "CutMix",
        "decode",
        "draw_cutmix",
        "gradient_distance",
        "idc_gradient",
        "idc_step",
        "network_optimizer",
        "training_step",
    ),
    "dm_learning": ("learn_dm",),
    "idc_learning": ("learn_idc",),
    "real_images": ("RealImages",),
    "learnt": ("LearntImages", "at_rest", "clamped"),
    "siamese": ("Draws", "augment", "draw_chain", "draw_one"),
}

__all__ = [
    "CutMix",
    "Draws",
    "LearntImages",
    "RealImages",
    "at_rest",
    "augment",
    "clamped",
    "decode",
    "dm_gradient",
    "dm_step",
    "draw_chain",
    "draw_cutmix",
    "draw_one",
    "embedding_distance",
    "gradient_distance",
    "herding",
    "idc_gradient",
    "idc_step",
    "k_center",
    "learn_dm",
    "learn_idc",
    "network_optimizer",
    "random_selection",
    "training_step",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
