"""Scoring of encoded images without a dataset: for images that are generated or streamed."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.difficulty.margins import Margins
from ddgs_hub.difficulty.scorer import Scorer, fold_of, image_digest


class BatchScorer:
    """Encoded images and their labels → difficulties, as `score` computes them for rows of the same bytes.

    Always in float32: so the difficulties of a batch do not depend on the batches before it, and a run that was killed
    ends with the same bytes as an unbroken one. Compared with generating an image this costs little. On a GPU float32
    has the precision of torch's settings (TF32 in convolutions by default). Those are global, so changing them here
    would change the images that another thread generates.

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
            encoded: the bytes of each image as they are stored. They decide the fold of a cross-fitted scorer.
            labels: of each image, 0 … classes − 1.
            rows: row numbers for messages; None: the positions in the batch.

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
            of_fold = (folds == fold).nonzero().squeeze(1)
            difficulty[of_fold] = Margins(self.scorer, fold).exact(images[of_fold], targets[of_fold]).sigmoid().cpu()
        broken = difficulty.isnan().nonzero()
        if len(broken):
            raise InputError(
                f"the scorer {self.scorer.name} returns no number for the image of row {rows[int(broken[0])]}: "
                "its weights are broken"
            )
        return difficulty.numpy()
