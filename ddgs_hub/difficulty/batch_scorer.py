"""Scoring of encoded images as they are made, without rows: what generation scores its pool with."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.difficulty.margins import Margins
from ddgs_hub.difficulty.scorer import Scorer, fold_of, image_digest


class BatchScorer:
    """Encoded images and their labels → difficulties, as `score` gives them to rows of the same bytes.

    Always in float32, whatever the batches: what a batch is given does not depend on those before it, so a run that
    was killed and went on ends with the same bytes. That costs little beside making an image. Precision on a GPU is
    what torch's settings make of float32 (TF32 in convolutions, unless one turns it off): they hold for all threads,
    so turning them here would change the images that another thread is making.

    May be called from any thread.

    Args:
        scorer: the classifier, or a cross-fitted one.
        names: the dataset's class names, in label order.
        wnids: the dataset's wnids, in label order, where it has them.

    Raises:
        InputError: the scorer does not know a class.
    """

    def __init__(self, scorer: Scorer, names: Sequence[str], wnids: Sequence[str | None] | None = None) -> None:
        self.scorer = scorer
        self.targets = scorer.class_indices(names, wnids)

    def __call__(
        self, encoded: Sequence[bytes], labels: Sequence[int], rows: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Difficulties (Eq. 6), 0 … 1, of a batch: float32, `(len(encoded),)`.

        Args:
            encoded: the bytes of each image as they are stored: a cross-fitted scorer finds its fold by them.
            labels: of each image, 0 … classes − 1.
            rows: their numbers for messages; None: those in the batch.

        Raises:
            InputError: an image cannot be decoded, or the scorer returns no number for it.
        """
        targets = torch.from_numpy(self.targets[np.asarray(labels, dtype=np.int64)])
        rows = range(len(encoded)) if rows is None else rows
        decoded = (decode_image({"bytes": b}, row) for row, b in zip(rows, encoded, strict=True))
        images = torch.stack([self.scorer.transform(image) for image in decoded])
        folds = torch.tensor([fold_of(image_digest(image), self.scorer.folds) for image in encoded])
        difficulty = torch.empty(len(images))
        for fold in folds.unique().tolist():
            chosen = (folds == fold).nonzero().squeeze(1)
            difficulty[chosen] = Margins(self.scorer, fold).exact(images[chosen], targets[chosen]).sigmoid().cpu()
        broken = difficulty.isnan().nonzero()
        if len(broken):
            raise InputError(
                f"the scorer {self.scorer.name} returns no number for the image of row {rows[int(broken[0])]}: "
                "its weights are broken"
            )
        return difficulty.numpy()
