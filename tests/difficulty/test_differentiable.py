import copy

import numpy as np
import pytest
import torch

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, undecoded
from ddgs_hub.difficulty import BatchScorer, DifferentiableMargins, Scorer, ScorerClasses

NAMES = [str(k) for k in range(10)]


@pytest.fixture(scope="module")
def scorer(timm_folder):
    return Scorer.from_pretrained(timm_folder)


def as_tensor(images):
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def test_margins_are_nearly_those_that_score_computes(scorer, digits_folder):
    rows = read_rows(digits_folder).select(range(24))
    labels = rows["label"][:]
    scored = BatchScorer(scorer, NAMES)([image["bytes"] for image in undecoded(rows)["image"]], labels)
    margins = DifferentiableMargins(scorer, NAMES)(as_tensor(rows["image"]), labels)
    np.testing.assert_allclose(margins.sigmoid().numpy(), scored, atol=0.005)
    assert scored.std() > 0.1


def test_the_gradient_is_the_slope(scorer):
    margins = DifferentiableMargins(scorer, NAMES)
    images = torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(margins(images, [3, 1, 4]).sum(), images)
    length = gradient.flatten(1).norm(dim=1)
    uphill = gradient / length[:, None, None, None]
    ahead, behind = (margins(images.detach() + sign * 1e-2 * uphill, [3, 1, 4]) for sign in (1, -1))
    torch.testing.assert_close((ahead - behind) / 2e-2, length, rtol=0.03, atol=0)


def test_of_several_models_it_is_the_mean(scorer):
    other = copy.deepcopy(scorer.models[0])
    other.get_classifier().weight.data *= -1

    def of(*models):
        how = {"name": "it", "normalization": scorer.normalization}
        return DifferentiableMargins(Scorer(models, scorer.transform, scorer.classes, **how), NAMES)

    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(1)) * 2 - 1
    both, first, second = of(scorer.models[0], other), of(scorer.models[0]), of(other)
    one, two = first(images, [0, 9]), second(images, [0, 9])
    assert (one - two).abs().min() > 0.01
    torch.testing.assert_close(both(images, [0, 9]), (one + two) / 2)
    assert len({both.identity, first.identity, second.identity}) == 3


def test_a_scorer_whose_preprocessing_takes_no_gradient_is_refused():
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 10))
    other = Scorer([model], lambda image: torch.zeros(3, 8, 8), ScorerClasses(10, NAMES), name="it")
    with pytest.raises(InputError, match="the scorer it has a preprocessing of transformers"):
        DifferentiableMargins(other, NAMES)
