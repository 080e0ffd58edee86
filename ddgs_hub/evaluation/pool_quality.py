"""How good generated images are beside real ones: precision and recall in a feature space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import pairwise_distances

from ddgs_hub.core.errors import InputError

NEIGHBOURS = 3  # k of the published measure


@dataclass(frozen=True)
class PrecisionRecall:
    """What share of one kind of images lies among the other's.

    Attributes:
        precision: of the generated images, those that lie among the real ones, 0 … 1: how real they look.
        recall: of the real images, those that lie among the generated ones, 0 … 1: how much of their variety there is.
    """

    precision: float
    recall: float


def precision_recall(real: ArrayLike, generated: ArrayLike, neighbours: int = NEIGHBOURS) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al., NeurIPS 2019, arXiv 1904.06991, Eq. 1–2).

    An image lies among others if, for one of these, it is no farther away than that one's k-th nearest neighbour among
    its own kind. Both depend on how many images there are: compare pools with the same numbers.

    Args:
        real: features of real images, `(N, D)`, finite, N > `neighbours`.
        generated: features of generated images, `(M, D)`, finite, M > `neighbours`.
        neighbours: k ≥ 1.

    Raises:
        InputError: the features are not such numbers, or there are too few images.
    """
    points = [_checked(features, neighbours, what) for features, what in ((real, "real"), (generated, "generated"))]
    if points[0].shape[1] != points[1].shape[1]:
        shapes = " and ".join(str(one.shape[1]) for one in points)
        raise InputError(f"the features have {shapes} columns: compute both with one classifier")
    reach = [_reach(one, neighbours) for one in points]
    distances = pairwise_distances(*points)
    return PrecisionRecall(
        precision=float((distances <= reach[0][:, None]).any(axis=0).mean()),
        recall=float((distances <= reach[1][None, :]).any(axis=1).mean()),
    )


def _checked(features: ArrayLike, neighbours: int, what: str) -> NDArray[np.float64]:
    points = np.asarray(features, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise InputError(f"the {what} features have shape {points.shape} or are not finite: compute them again")
    if len(points) <= neighbours:
        raise InputError(f"there are {len(points)} {what} images, too few for {neighbours} neighbours: give more")
    return points


def _reach(points: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """How far the k-th nearest neighbour of each point is, `(N,)`; the nearest is the point itself."""
    return np.partition(pairwise_distances(points), neighbours, axis=1)[:, neighbours]
