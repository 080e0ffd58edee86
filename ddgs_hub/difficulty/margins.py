"""From images to margins, which difficulties are the sigmoid of: in bfloat16 where that is exact enough."""

import torch
from torch import Tensor

from ddgs_hub.difficulty.scorer import Scorer

TOLERANCE = 1e-3  # the largest error of a difficulty that bfloat16 may cause
SAFETY = 2  # the error that is allowed for, as a multiple of the largest error in the first batch
MIN_SAMPLE = 32  # images that are needed to judge the error of bfloat16
MAX_REPEATED = 0.5  # share of images above which bfloat16, then float32 again, takes longer than float32 alone


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """The margin m = log Σ_{k ≠ y} e^{z_k} − z_y: how far the true class is behind all others.

    Eq. 6, D(x) = 1 − P(y_true | x), is σ(m), with all classes of the classifier in the softmax. Computed as 1 − p, a
    difficulty of 1e-12 would be rounded to 0, and Eq. 7 and 8 take logarithms of difficulties.

    Args:
        logits: z, float32, `(B, K)`.
        classes: y, the true class in the softmax, int64, `(B,)`.

    Returns:
        float32, `(B,)`.
    """
    index = classes[:, None]
    return logits.scatter(1, index, -torch.inf).logsumexp(1) - logits.gather(1, index).squeeze(1)


class Margins:
    """Margins under one model of a scorer: in bfloat16 where that gives the difficulty to 1e-3, else in float32.

    An error δ of the margin changes the difficulty by D(1 − D)·δ. bfloat16 keeps 8 bits of a weight; for trained
    networks δ was measured as 0.02 … 0.07 (standard deviation; at most 0.25). So bfloat16 is enough for images that are
    clearly easy or clearly hard. The first batch is computed in both types; from then on twice its largest δ is allowed
    for, and every image whose difficulty that could change by more than 1e-3 is computed again in float32. If that is
    most of the first batch, everything is computed in float32.

    Args:
        scorer: the classifier.
        fold: which of its models.

    Attributes:
        error: the δ that is allowed for. Infinite, as it is until `calibrate` was called: all in float32.
    """

    def __init__(self, scorer: Scorer, fold: int) -> None:
        self.scorer = scorer
        self.fold = fold
        self.error = torch.inf

    def calibrate(self, images: Tensor, classes: Tensor) -> Tensor:
        """Sets `error` by a first batch, and returns its margins in float32, on the CPU: (B, 3, H, W), (B,) → (B,)."""
        images, classes = self._to_device(images, classes)
        exact = self.exact(images, classes)
        if len(images) >= MIN_SAMPLE and has_bfloat16(self.scorer.device):
            rough = self._margin(images, classes, bfloat16=True)
            error = SAFETY * (rough - exact).abs().max().item()
            if _doubtful(rough, error).float().mean() <= MAX_REPEATED:
                self.error = error
        return exact.cpu()

    def exact(self, images: Tensor, classes: Tensor) -> Tensor:
        """Margins in float32, on the scorer's device: `(B, 3, H, W)`, `(B,)` → `(B,)`."""
        return self._margin(*self._to_device(images, classes))

    def settled(self, images: Tensor, classes: Tensor) -> Tensor:
        """Margins in bfloat16, those that `error` leaves in doubt in float32, on the CPU: (B, 3, H, W), (B,) → (B,)."""
        if self.error == torch.inf:
            return self.exact(images, classes).cpu()
        images, classes = self._to_device(images, classes)
        margins = self._margin(images, classes, bfloat16=True)
        doubtful = _doubtful(margins, self.error)
        if doubtful.any():
            margins[doubtful] = self.exact(images[doubtful], classes[doubtful])
        return margins.cpu()

    def _to_device(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        device = self.scorer.device
        return images.to(device, non_blocking=True), classes.to(device, non_blocking=True)

    def _margin(self, images: Tensor, classes: Tensor, *, bfloat16: bool = False) -> Tensor:
        return margin(self.scorer.logits(images, self.fold, bfloat16=bfloat16), classes)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def _doubtful(rough: Tensor, error: float) -> Tensor:
    """Which margins, `(B,)`, an error could change so much that the difficulty changes by more than `TOLERANCE`."""
    difficulty = rough.sigmoid()
    return ~(difficulty * (1 - difficulty) * error <= TOLERANCE)  # written so that NaN is doubtful
