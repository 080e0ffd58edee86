"""From images to difficulties: in bfloat16 as far as that is exact enough, with the device kept at work."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddgs_hub.difficulty.scorer import Scorer

TOLERANCE = 1e-3  # how far a difficulty may be from float32's
SAFETY = 2  # how many times the largest deviation of the first batch is allowed for
MIN_SAMPLE = 32  # images that tell how far bfloat16 deviates
MAX_REPEATED = 0.5  # share of images above which bfloat16, then float32 again, takes longer than float32 alone
AHEAD = 2  # batches that a GPU is given before the host waits for the first of them


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """How far the true class is behind all others: m = log Σ_{k ≠ y} e^{z_k} − z_y.

    Eq. 6, D(x) = 1 − P(y_true | x), is σ(m), with all classes of the classifier in the softmax. Unlike 1 − p, it does
    not round a difficulty of 1e-12 to 0: Eq. 7 and 8 take logarithms of the smallest ones.

    Args:
        logits: z, float32, `(B, K)`.
        classes: y, the true class in the softmax, int64, `(B,)`.

    Returns:
        float32, `(B,)`.
    """
    index = classes[:, None]
    return logits.scatter(1, index, -torch.inf).logsumexp(1) - logits.gather(1, index).squeeze(1)


class Margins:
    """Margins under one model of a scorer: in bfloat16 where that settles the difficulty to 1e-3, else in float32.

    An error δ of the margin moves the difficulty by D(1 − D)·δ. bfloat16 keeps 8 bits of a weight, and δ comes out at
    0.02 … 0.07 (standard deviation; largest 0.25) for trained networks, so only images that are clearly easy or clearly
    hard are settled. The first batch is scored in both; twice its largest δ is allowed for from then on, and what that
    could move by more than 1e-3 is scored again in float32. If that is most of the first batch, all is float32.

    Args:
        scorer: the classifier.
        fold: which of its models.

    Attributes:
        error: the δ that is allowed for; infinite: all in float32, as it is until `calibrate` has been called.
    """

    def __init__(self, scorer: Scorer, fold: int) -> None:
        self.scorer = scorer
        self.fold = fold
        self.error = torch.inf

    def calibrate(self, images: Tensor, classes: Tensor) -> Tensor:
        """Sets `error` by a first batch, and returns its margins, in float32: `(B, 3, H, W)`, `(B,)` → `(B,)`."""
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

    def start(self, images: Tensor, classes: Tensor) -> "Flight":
        """Gives a batch to the device, and does not wait for it."""
        images, classes = self._to_device(images, classes)
        return Flight(self, images, classes, self._margin(images, classes, bfloat16=self.error < torch.inf))

    def _to_device(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        device = self.scorer.device
        return images.to(device, non_blocking=True), classes.to(device, non_blocking=True)

    def _margin(self, images: Tensor, classes: Tensor, *, bfloat16: bool = False) -> Tensor:
        return margin(self.scorer.logits(images, self.fold, bfloat16=bfloat16), classes)


class Flight:
    """A batch on its way through the device: `settle`, then `result`.

    Each waits for what the device was given *before*, so a device that was given another batch in between has work
    while the host looks at this one.

    Args:
        margins: what computes it.
        images: of the batch, on the device.
        classes: of the batch, on the device.
        rough: their margins, as far as the host knows still being computed.
    """

    def __init__(self, margins: Margins, images: Tensor, classes: Tensor, rough: Tensor) -> None:
        self.margins = margins
        self.inputs = images, classes
        self.rough = _Fetched(rough)
        self.again = torch.empty(0, dtype=torch.int64)
        self.exact: _Fetched | None = None
        self.settled = False

    def settle(self) -> None:
        """Waits for the margins, and has those that bfloat16 does not settle computed again in float32."""
        if self.margins.error < torch.inf:
            self.again = _doubtful(self.rough.get(), self.margins.error).nonzero().squeeze(1)
        if len(self.again):
            on_device = self.again.to(self.inputs[0].device, non_blocking=True)
            self.exact = _Fetched(self.margins.exact(*(tensor[on_device] for tensor in self.inputs)))
        self.settled = True
        del self.inputs  # memory of the device

    def result(self) -> Tensor:
        """The margins, on the host: float32, `(B,)`."""
        if not self.settled:
            self.settle()
        margins = self.rough.get()
        if self.exact is not None:
            margins[self.again] = self.exact.get()
        return margins


def difficulties(
    stream: Iterable[tuple[NDArray[np.int64], Tensor]],
    margins: Sequence[Margins],
    targets: NDArray[np.int64],
    folds: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Difficulties (Eq. 6) of batches, in their order; a GPU always has another batch to work on.

    Args:
        stream: row numbers, all of one fold, and their transformed images `(B, 3, H, W)`.
        margins: one for each fold.
        targets: the true class of every row in the scorer's softmax, `(N,)`.
        folds: the fold of every row, `(N,)`.

    Yields:
        Row numbers, and their difficulties, float32, `(B,)`. On a GPU two batches later than they were taken in.
    """
    ahead = AHEAD if is_asynchronous(margins[0].scorer.device) else 0
    flying: deque[tuple[NDArray[np.int64], Flight]] = deque()
    for batch, images in stream:
        flight = margins[folds[batch[0]]].start(images, torch.from_numpy(targets[batch]))
        if flying:
            flying[-1][1].settle()  # the device works on the batch that was just started
        flying.append((batch, flight))
        if len(flying) > ahead:
            yield _landed(*flying.popleft())
    while flying:
        yield _landed(*flying.popleft())


def is_asynchronous(device: torch.device) -> bool:
    """Whether the device computes while the host goes on."""
    return device.type == "cuda"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


class _Fetched:
    """A tensor on its way from the device to the host, behind what computes it and before what comes after."""

    def __init__(self, value: Tensor) -> None:
        self.value = value.to("cpu", non_blocking=value.is_cuda)
        self.arrival = torch.cuda.Event() if value.is_cuda else None
        if self.arrival is not None:
            self.arrival.record()

    def get(self) -> Tensor:
        if self.arrival is not None:
            self.arrival.synchronize()
        return self.value


def _landed(batch: NDArray[np.int64], flight: Flight) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return batch, flight.result().sigmoid().numpy()


def _doubtful(rough: Tensor, error: float) -> Tensor:
    difficulty = rough.sigmoid()
    return ~(difficulty * (1 - difficulty) * error <= TOLERANCE)  # so written, NaN is doubtful
