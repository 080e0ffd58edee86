"""A scorer of one's own, for data that no public classifier knows: k timm models, cross-fitted.

A classifier that has memorised an image finds it easy, whatever it looks like, so no image may be scored by a model
that was trained on it. The fold of an image is a hash of its encoded bytes (`fold_of`); model k is trained on the
images of all other folds; every image, of the original or of a pool, is scored by the model of its own fold. So both
kinds get the same kind of score with one forward pass each, and nothing depends on the order of the rows.
"""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from accelerate import Accelerator
from datasets import Dataset
from numpy.typing import NDArray
from timm.data import create_transform, resolve_model_data_config
from timm.models import save_for_hf
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ddgs_hub.difficulty.scorer import FOLDS_FILE, fold_of
from ddgs_hub.recipe import ScorerTraining
