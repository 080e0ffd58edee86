"""Scorers: image classifiers whose confidence measures how difficult an image is (Eq. 6)."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import numpy as np
import timm
import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HTTPError
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import Field
from pydantic.dataclasses import dataclass as schema
from torch import Tensor, nn

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.file_names import ANY_FOLD, CONFIG_FILE, FOLDS_FILE, WEIGHTS_INDEX, fold_folder
from ddgs_hub.core.files import expanded
from ddgs_hub.core.fingerprint import fingerprint_folder
from ddgs_hub.core.hub_client import Pinned, make_client, patiently, why_no_model
from ddgs_hub.core.processes import get_state
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.schema import FOREIGN, read_json
from ddgs_hub.core.text import one_line
from ddgs_hub.core.tokens import given_token
from ddgs_hub.difficulty.classifiers import NOT_NORMALIZED, Normalization, Transform, load_classifier
from ddgs_hub.difficulty.scorer_classes import ScorerClasses

_OF_A_MODEL = (CONFIG_FILE, "*processor_config.json", "model*.safetensors", WEIGHTS_INDEX)
FILES = [FOLDS_FILE, *_OF_A_MODEL, *(f"{ANY_FOLD}/{pattern}" for pattern in _OF_A_MODEL)]
MOST_FOLDS = 100


@schema(config=FOREIGN)
class _Folds:
    """What is read of `folds.json`."""

    folds: Annotated[int, Field(ge=1, le=MOST_FOLDS)]


def pin_scorer(name_or_path: str, revision: str | None = None) -> Pinned:
    """The commit that a revision of a scorer is at, or the fingerprint of a local folder; no weights are downloaded.

    Raises:
        InputError: there is no such model, or the Hub cannot be reached; with HF_HUB_OFFLINE: it is not in the cache.
    """
    name_or_path, revision = named_revision(name_or_path, revision)
    folder = expanded(name_or_path)
    if folder.is_dir():
        return Pinned(name_or_path, fingerprint_folder(folder))
    repo_id = scorer_repository(name_or_path)
    if constants.HF_HUB_OFFLINE:
        return Pinned(repo_id, _fetch(repo_id, revision)[0].name)
    try:
        info = patiently(lambda: make_client().model_info(repo_id, revision=revision))
    except (HTTPError, OSError, ValueError) as error:
        raise _unavailable(repo_id, revision, error) from error
    return Pinned(info.id, str(info.sha))


class Scorer:
    """An image classifier with its own preprocessing, or the k of them that cross-fitting trained.

    With k models, the bytes of an image decide which model scores it (`fold_of`). Model k was trained without the
    images of fold k, so no image is scored by a model that was trained on it.

    Args:
        models: one, or one per fold; images `(B, 3, H, W)` → logits `(B, num_classes)`.
        transform: an RGB image → `(3, H, W)`: uint8, normalized later on the device, or float32 as the models want it.
        classes: of the logits, in their order.
        name: Hub id or folder, as messages and cards name it.
        normalization: mean and standard deviation of each channel, for a transform to uint8.
        revision: the commit that was loaded from the Hub.
        device: where the models run; None: the accelerator of this process, or the CPU.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        transform: Transform,
        classes: ScorerClasses,
        *,
        name: str,
        normalization: Normalization = NOT_NORMALIZED,
        revision: str | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.device = torch.device(device) if device is not None else get_state().device
        self.models = [model.eval().requires_grad_(False).to(self.device) for model in models]
        for model in self.models:
            model.to(memory_format=torch.channels_last)
        self.transform = transform
        self.classes = classes
        self.normalization = normalization
        # Copied to the device once: a copy for each batch would wait for all work that the device has.
        self._mean, self._std = (torch.tensor(v, device=self.device)[:, None, None] for v in normalization)
        self.name = name
        self.revision = revision

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, revision: str | None = None, device: torch.device | str | None = None
    ) -> "Scorer":
        """Loads a scorer from safetensors weights and the config beside them.

        Args:
            name_or_path: a Hub id or `owner/name@revision` of a timm or a transformers image classifier
                (`timm/resnet50.tv_in1k`, `microsoft/resnet-50`), a timm model name with weights (`resnet50.tv_in1k`),
                or a local folder of either layout or written by `train_scorer`.
            revision: commit, tag or branch of a Hub id.
            device: see the class.

        Raises:
            InputError: there is no such model, the Hub cannot be reached, or its files are not a working
                classifier that chooses one of several classes.
        """
        folder, name, commit = _fetch(str(name_or_path), revision)
        if (folder / FOLDS_FILE).is_file():
            count = read_json(folder / FOLDS_FILE, _Folds, f"{FOLDS_FILE} of the scorer {name}").folds
            loaded = [load_classifier(folder / fold_folder(k), f"{name}/{fold_folder(k)}") for k in range(count)]
        else:
            loaded = [load_classifier(folder, name)]
        first, models = loaded[0], [one.model for one in loaded]
        if any(one.classes.aliases != first.classes.aliases for one in loaded):
            raise InputError(f"the models of the scorer {name} do not have the same classes: train them together")
        scorer = cls(
            models,
            first.transform,
            first.classes,
            name=name,
            normalization=first.normalization,
            revision=commit,
            device=device,
        )
        scorer._try()
        return scorer

    @property
    def folds(self) -> int:
        """Number of models; 1 where the scorer is not cross-fitted."""
        return len(self.models)

    def class_indices(self, names: Sequence[str], wnids: Sequence[str | None] | None = None) -> NDArray[np.int64]:
        """Index in the softmax of each class of a dataset, `(len(names),)`; see `ScorerClasses.indices`.

        Raises:
            InputError: the classes do not fit.
        """
        return self.classes.indices(names, wnids, scorer=self.name)

    def prepare(self, images: Tensor) -> Tensor:
        """Transformed images as the models want them, on their device: float32, `(B, 3, H, W)`, channels last.

        uint8 images are a quarter of the data to move. They are normalized here, with the same bits as by torchvision.
        """
        images = images.to(self.device, non_blocking=True)
        if images.dtype == torch.uint8:
            images = images.float().div_(255).sub_(self._mean).div_(self._std)
        return images.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def logits(self, images: Tensor, fold: int = 0, *, bfloat16: bool = False) -> Tensor:
        """Logits of transformed images by the model of one fold: `(B, 3, H, W)` → float32 `(B, num_classes)`."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bfloat16):
            return self.models[fold](self.prepare(images)).float()

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """The input of the first model's linear classifier: `(B, 3, H, W)` → float32 `(B, D)`.

        Always of the same model: features of different models cannot be compared.

        Raises:
            InputError: the model does not end in a linear classifier.
        """
        features: list[Tensor] = []
        hook = self._head().register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
        try:
            self.models[0](self.prepare(images))
        finally:
            hook.remove()
        return features[0].flatten(1).float()

    @torch.inference_mode()
    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Softmax over the first model's classes, `(N, num_classes)`, from what `features` gave, `(N, D)`.

        Raises:
            InputError: the model does not end in a linear classifier.
        """
        logits: Tensor = self._head()(torch.from_numpy(features).to(self.device))
        return logits.softmax(1).cpu().numpy()

    def _head(self) -> nn.Linear:
        """The first model's linear classifier."""
        linear = [module for module in self.models[0].modules() if isinstance(module, nn.Linear)]
        heads = [module for module in linear if module.out_features == self.classes.num_classes]
        if not heads:
            raise InputError(f"the scorer {self.name} does not end in a linear classifier: take another for features")
        return heads[-1]

    def _try(self) -> None:
        """Classifies one image with each model: a loaded model may be broken, or of another size than the images."""
        image = PILImage.linear_gradient("L").convert("RGB")
        for fold in range(self.folds):
            try:
                logits = self.logits(self.transform(image)[None], fold)
            except Exception as error:  # a foreign model can raise anything
                reason = one_line(error, 300)
                raise InputError(f"the scorer {self.name} cannot classify images ({reason}): take another") from error
            if logits.shape != (1, self.classes.num_classes):
                wanted = f"logits of shape {list(logits.shape)}, for {self.classes.num_classes} classes"
                raise InputError(f"the scorer {self.name} gives {wanted}: take another")
            if not logits.isfinite().all():
                raise InputError(f"the scorer {self.name} gives logits that are no numbers: its weights are broken")


def image_digest(encoded: bytes) -> bytes:
    """SHA-256 of an image's encoded bytes."""
    return sha256(encoded).digest()


def fold_of(digest: bytes, folds: int) -> int:
    """The fold, 0 … folds − 1, of an image by the digest of its encoded bytes.

    It depends neither on the row nor on the dataset. So duplicates of an image share a fold, and no table has to say
    which model was trained on which image.
    """
    return int.from_bytes(digest[:8], "big") % folds


def _fetch(name: str, revision: str | None) -> tuple[Path, str, str | None]:
    """The folder of a model's files, its name, and its commit on the Hub; None for a local folder."""
    name, revision = named_revision(name, revision)
    folder = expanded(name)
    if folder.is_dir():
        return folder, name, None
    repo_id = scorer_repository(name)
    try:
        path = Path(snapshot_download(repo_id, revision=revision, allow_patterns=FILES, token=given_token()))
    except (OSError, ValueError) as error:  # the Hub's own errors derive from these
        raise _unavailable(repo_id, revision, error) from error
    return path, repo_id, path.name


def scorer_repository(name: str) -> str:
    """The Hub id of a scorer that is not a folder: an id, one behind `hf-hub:`, or that of a timm model name.

    Raises:
        InputError: it is a path, or timm has no weights for it.
    """
    if name.startswith((".", "/", "~")):
        raise InputError(f"the scorer {name} is not a folder: give a folder, a Hub id or a timm model name")
    repo_id = name.removeprefix("hf-hub:")
    if "/" not in repo_id and timm.is_model(repo_id):
        # timm keeps the weights of its model names on the Hub; so they are loaded, and pinned, like any other.
        if not timm.is_model_pretrained(repo_id):
            raise InputError(f"timm has no weights for '{name}': give a name with a tag, such as resnet50.tv_in1k")
        return timm.get_pretrained_cfg(repo_id).hf_hub_id or repo_id
    return repo_id


def _unavailable(repo_id: str, revision: str | None, error: Exception) -> InputError:
    return InputError(f"cannot get the scorer {repo_id}: {why_no_model(repo_id, revision, error)}")
