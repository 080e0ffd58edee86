import math
from dataclasses import fields

import pytest
import torch
from golden_matching import TIGHT, draws_of, read_run

from ddgs_hub.baselines import Draws, augment, draw_chain, draw_one
from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe import OPERATIONS

NAMES = [field.name for field in fields(Draws)]


def done(draws: Draws) -> set[str]:
    return {name for name in NAMES if getattr(draws, name) is not None}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, height: int = 13, width: int = 18) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=seeded(5), dtype=torch.float64)


def test_views_and_gradients_are_the_golden_ones(golden):
    run = read_run(golden("matching/augment.json"))
    assert len(run.facts["cases"]) > 90
    for case in run.facts["cases"]:
        images = run.arrays["input"].clone().requires_grad_()
        views = augment(images, draws_of(case.get("ops", [case])))
        (views * run.arrays["weight"]).sum().backward()
        torch.testing.assert_close(views.detach(), run.arrays[f"{case['key']}.output"], **TIGHT, msg=case["key"])
        if "op" in case:  # of whole chains there is no golden gradient
            torch.testing.assert_close(images.grad, run.arrays[f"{case['key']}.grad"], **TIGHT, msg=case["key"])


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_each_operation_is_its_derivative(name):
    draws = draw_chain(("flip", "color", "crop", "cutout"), 2, 5, 6, seeded(3))
    for kind in ("scale", "rotate"):
        draws = Draws(**vars(draws) | {kind: getattr(draw_chain((kind,), 2, 5, 6, seeded(3)), kind)})
    alone = Draws(**{name: getattr(draws, name)})
    assert torch.autograd.gradcheck(lambda x: augment(x, alone), pictures(2, 5, 6).requires_grad_())


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_draw_is_shared_by_batches_of_any_size(name):
    draws, images = draw_one((name,), 13, 18, seeded(1)), pictures(7)
    assert all(len(getattr(draws, field)) == 1 for field in done(draws))
    views = augment(images, draws)
    torch.testing.assert_close(augment(images[4:6], draws), views[4:6])
    rows = Draws(**{field: getattr(draws, field).repeat_interleave(7, dim=0) for field in done(draws)})
    torch.testing.assert_close(augment(images, rows), views)


def test_each_image_has_its_own_parameters_where_each_has_a_draw():
    draws, images = draw_chain(OPERATIONS, 6, 13, 18, seeded(2)), pictures(6)
    views = augment(images, draws)
    for k in range(6):
        own = Draws(**{field: getattr(draws, field)[k : k + 1] for field in done(draws)})
        torch.testing.assert_close(augment(images[k : k + 1], own), views[k : k + 1])


def test_nothing_is_done_without_draws():
    images = pictures(2)
    assert torch.equal(augment(images, draw_one((), 13, 18, seeded())), images)
    assert torch.equal(augment(images, draw_chain((), 2, 13, 18, seeded())), images)


def test_dsa_draws_one_operation_and_each_in_time():
    colour = {"brightness", "saturation", "contrast"}
    generator = seeded()
    seen = [frozenset(done(draw_one(OPERATIONS, 16, 16, generator))) for _ in range(120)]
    assert set(seen) == {frozenset({name}) for name in NAMES if name not in colour} | {frozenset(colour)}
    assert min(seen.count(operation) for operation in set(seen)) >= 10


def test_idc_draws_a_chain_with_one_geometric_operation():
    generator = seeded()
    seen = [done(draw_chain(OPERATIONS, 4, 16, 16, generator)) for _ in range(60)]
    always = {"flip", "brightness", "saturation", "contrast", "cutout"}
    assert {frozenset(names - always) for names in seen} == {frozenset({name}) for name in ("crop", "scale", "rotate")}
    assert all(always < names for names in seen)
    assert done(draw_chain(("color", "crop"), 4, 16, 16, generator)) == always - {"flip", "cutout"} | {"crop"}


@pytest.mark.parametrize(
    ("height", "width", "shifts", "centres"), [(16, 13, (2, 2), (17, 13)), (224, 32, (28, 4), (225, 33))]
)
def test_draws_reach_every_end_of_their_range(height, width, shifts, centres):
    draws = draw_chain(("flip", "color", "crop", "cutout"), 20_000, height, width, seeded())
    for axis in (0, 1):
        assert draws.crop[:, axis].aminmax() == (-shifts[axis], shifts[axis])
        assert draws.cutout[:, axis].aminmax() == (0, centres[axis] - 1)
    for name in ("flip", "brightness", "saturation", "contrast"):
        u = getattr(draws, name)
        assert u.min() >= 0
        assert u.max() < 1
        assert u.mean().item() == pytest.approx(0.5, abs=0.02)


def test_draws_are_independent():
    draws = draw_chain(("flip", "color", "scale"), 20_000, 16, 16, seeded())
    u = torch.stack([draws.flip, draws.brightness, draws.saturation, draws.contrast, *draws.scale.unbind(1)])
    assert (torch.corrcoef(u) - torch.eye(6, dtype=torch.float64)).abs().max() < 0.03


def test_equal_seeds_give_equal_draws():
    first, second = (draw_chain(OPERATIONS, 3, 16, 16, seeded(9)) for _ in range(2))
    assert done(first) == done(second)
    assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in done(first))


def test_an_unknown_operation_is_refused():
    for draw in (lambda strategy: draw_one(strategy, 16, 16, seeded()), lambda s: draw_chain(s, 1, 16, 16, seeded())):
        with pytest.raises(InputError, match="'blur' is no operation of siamese augmentation: choose from color, crop"):
            draw(("color", "blur"))


def test_crop_by_hand():
    image = torch.arange(6.0).reshape(1, 1, 2, 3).expand(1, 3, 2, 3)
    view = augment(image, Draws(crop=torch.tensor([[1, -1]])))
    assert view[0, 2].tolist() == [[0, 3, 4], [0, 0, 0]]


@pytest.mark.parametrize(
    ("centre", "rows", "columns"),
    [((0, 0), (0, 1), (0, 1)), ((3, 5), (2, 4), (3, 6)), ((6, 8), (5, 5), (6, 7)), ((5, 1), (4, 5), (0, 2))],
)
def test_a_hole_is_brought_into_the_image(centre, rows, columns):
    # 6 × 8 px: a hole of 3 × 4 begins 1 row and 2 columns before its centre; below the image it takes the last row.
    view = augment(torch.ones(1, 3, 6, 8), Draws(cutout=torch.tensor([centre])))
    expected = torch.ones(6, 8)
    expected[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 0
    assert torch.equal(view, expected.expand(1, 3, 6, 8))


@pytest.mark.parametrize(("centre", "row"), [(-9, 0), (40, 5)])
def test_a_hole_far_outside_takes_the_border(centre, row):
    view = augment(torch.ones(1, 3, 6, 8), Draws(cutout=torch.tensor([[centre, 4]])))
    assert (view[0, 0] == 0).any(1).nonzero().tolist() == [[row]]


def test_a_scale_of_one_changes_nothing_and_a_larger_one_shrinks():
    one = (1 - 1 / 1.2) / (1.2 - 1 / 1.2)
    images = pictures(2)
    torch.testing.assert_close(augment(images, Draws(scale=torch.tensor([[one, one]], dtype=torch.float64))), images)
    wide = augment(torch.ones(1, 3, 20, 20), Draws(scale=torch.tensor([[0.999, one]])))
    assert (wide[0, 0, 10] > 0.99).sum() == 16  # 20 / 1.2 columns, of which two at the border are read in part
    assert (wide[0, 0, :, 10] > 0.99).all()


def test_rotation_goes_by_the_edges_of_pixels():
    # A ramp along the columns is read exactly, so that its values are the positions that were read.
    height, width, u = 13, 18, 0.9
    theta = (2 * u - 1) * math.radians(15)
    ramp = torch.arange(width, dtype=torch.float64).expand(1, 3, height, width)
    read = augment(ramp, Draws(rotate=torch.tensor([u], dtype=torch.float64)))[0, 0]
    for row, column in ((6, 8), (3, 5), (9, 12)):
        x, y = (2 * column + 1) / width - 1, (2 * row + 1) / height - 1
        expected = ((math.cos(theta) * x - math.sin(theta) * y) + 1) * width / 2 - 0.5
        assert read[row, column].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_coarser_types_are_kept_and_come_close(name, dtype, error):
    draws, images = draw_one((name,), 32, 40, seeded(4)), pictures(3, 32, 40)
    coarse = images.to(dtype).requires_grad_()
    views = augment(coarse, draws)
    views.float().sum().backward()
    assert views.dtype == coarse.grad.dtype == dtype
    torch.testing.assert_close(views.double(), augment(coarse.detach().double(), draws), atol=error, rtol=0)
