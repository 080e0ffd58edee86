import numpy as np
import pytest
import torch

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import class_names, undecoded
from ddgs_hub.difficulty import BatchScorer, Scorer, score
from ddgs_hub.difficulty.scorer import fold_of, image_digest


@pytest.mark.usefixtures("without_bfloat16")
@pytest.mark.parametrize("kind", ["one model", "cross-fitted"])
def test_a_batch_is_scored_as_rows_are(kind, rows, timm_folder, request):
    folder = timm_folder if kind == "one model" else request.getfixturevalue("trained").folder
    scorer = Scorer.from_pretrained(folder)
    encoded = [cell["bytes"] for cell in undecoded(rows)["image"]]
    assert len({fold_of(image_digest(image), scorer.folds) for image in encoded[:20]}) == scorer.folds
    batch_scorer = BatchScorer(scorer, class_names(rows))
    difficulty = [batch_scorer(encoded[k : k + 20], rows[k : k + 20]["label"]) for k in range(0, 200, 20)]
    assert difficulty[0].dtype == np.float32
    np.testing.assert_allclose(np.concatenate(difficulty), score(rows, scorer)["difficulty"], atol=1e-5)


def test_what_cannot_be_scored_is_refused(rows, timm_folder):
    scorer = Scorer.from_pretrained(timm_folder)
    encoded = [cell["bytes"] for cell in undecoded(rows)["image"]][:3]
    with pytest.raises(InputError, match="class 'cat' is none of the 10 classes"):
        BatchScorer(scorer, ["cat"])
    batch_scorer = BatchScorer(scorer, class_names(rows))
    with pytest.raises(InputError, match="the image of row 1 cannot be decoded"):
        batch_scorer([encoded[0], b"no image"], [0, 1])
    scorer.models[0].get_classifier().bias.fill_(torch.nan)
    with pytest.raises(InputError, match="returns no number for the image of row 7:"):
        batch_scorer(encoded, [0, 1, 2], rows=[7, 8, 9])
