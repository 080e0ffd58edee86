import numpy as np
import pytest
import torch
from golden_matching import TIGHT, Replay, read_run
from torch import nn
from torch.nn import functional as F

from ddgs_hub.baselines import (
    CutMix,
    Draws,
    LearntImages,
    at_rest,
    augment,
    clamped,
    draw_chain,
    idc,
)
from ddgs_hub.baselines.idc import cutmix_box, mixed
from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation.networks import ConvNet
from ddgs_hub.recipe import IDCSettings


@pytest.mark.parametrize("name", ["idc-a", "idc-feat", "idc-resnetap"])
def test_images_losses_gradients_and_weights_are_the_golden_ones(golden, name):
    run = read_run(golden(f"matching/{name}.json"))
    replay = Replay(run)
    for key, values in replay.results().items():
        torch.testing.assert_close(values, run.arrays[key], **TIGHT, msg=lambda text, key=key: f"{key}: {text}")
    assert replay.weights
    for prefix, weights in replay.weights.items():
        expected = run.weights(prefix)
        for key, values in weights.items():
            torch.testing.assert_close(values, expected[key], rtol=1e-12, atol=1e-12, msg=f"{prefix}.{key}")


class OptimizerOfEachClass(Replay):
    def stepped(self, before, after, label):
        images, velocity = before.images.clone(), before.velocity.clone()
        images[label], velocity[label] = after.images[label], after.velocity[label]
        return LearntImages(images, velocity)


class ClampAtEachStep(Replay):
    def stepped(self, before, after, label):
        return clamped(after)


class NoClamp(Replay):
    def clamp(self, learnt):
        return learnt


class MomentumLostAtTheClamp(Replay):
    def clamp(self, learnt):
        return at_rest(learnt.images.clamp(0, 1))


class OneDrawForAllClasses(Replay):
    def distance(self, network, stored, facts):
        first = self.run.facts["iterations"][0]["inner"][0]["match"][0]
        return super().distance(network, stored, facts | {"augment": first["augment"]})


class NetworkNotTrained(Replay):
    def training_step(self, *arguments):
        pass


class OptimizerOfEachBatch(Replay):
    def training_step(self, network, optimizer, *batch):
        idc.training_step(network, idc.network_optimizer(network, self.settings), *batch)


class LambdaForTheArea(Replay):
    def training_step(self, network, optimizer, images, labels, draws, cutmix):
        logits = network(mixed(augment(images, draws), cutmix)[0])
        own, partner = (F.cross_entropy(logits, target) for target in (labels, labels[cutmix.partners]))
        optimizer.zero_grad()
        (cutmix.share * own + (1 - cutmix.share) * partner).backward()
        optimizer.step()


MUTANTS = [
    OptimizerOfEachClass,
    ClampAtEachStep,
    NoClamp,
    MomentumLostAtTheClamp,
    OneDrawForAllClasses,
    NetworkNotTrained,
    OptimizerOfEachBatch,
    LambdaForTheArea,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_other_rules_are_told_apart(golden, mutant):
    run = read_run(golden("matching/idc-a.json"))
    results = mutant(run).results()
    assert (results["images_after"] - run.arrays["images_after"]).abs().max() > 1e-4


def test_boxes_of_cutmix_are_the_golden_ones(golden):
    run = read_run(golden("matching/augment.json"))
    height, width = run.facts["shape"][2:]
    boxes = run.arrays["cutmix_boxes"].tolist()
    assert len(boxes) == 40
    for share, row, column, *edges in boxes:
        cutmix = CutMix(share, torch.arange(3), (int(row), int(column)))
        assert list(cutmix_box(cutmix, height, width)) == edges


def toy(dtype=torch.float64) -> tuple[ConvNet, torch.Tensor, torch.Tensor, Draws]:
    """A network, images of three classes, two to learn in each, a real batch of class 1, and draws."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ConvNet(3, 8, 3, 2, 4).to(dtype)
    images = torch.rand(3, 2, 3, 8, 8, generator=generator, dtype=torch.float64).to(dtype)
    real = torch.randn(5, 3, 8, 8, generator=generator, dtype=torch.float64).to(dtype)
    return network, images, real, draw_chain(("color", "crop", "cutout"), 1, 8, 8, generator)


@pytest.mark.parametrize("metric", ["l1", "mse"])
def test_the_gradient_is_the_derivative_of_the_distance(metric):
    # A smooth network: finite differences cross no kink but those of the L1 distance, which are rare.
    _, images, real, draws = toy()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        smooth = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3)).double()
    stored = images[1].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: idc.gradient_distance(smooth, real, x, 1, draws, metric), stored)


def test_only_convolution_weights_are_compared():
    network, images, real, draws = toy()

    def gradients(batch):
        network.zero_grad()
        F.cross_entropy(network(augment(batch, draws)), torch.full((len(batch),), 1)).backward()
        return [layer.weight.grad.clone() for layer in network.layers["conv"]]

    gaps = [a - b for a, b in zip(gradients(real), gradients(images[1]), strict=True)]
    for metric, total in (("l1", sum(g.abs().sum() for g in gaps)), ("mse", sum(g.square().sum() for g in gaps))):
        torch.testing.assert_close(idc.gradient_distance(network, real, images[1], 1, draws, metric).detach(), total)


@pytest.mark.parametrize("name", ["color", "crop", "cutout", "flip", "scale", "rotate"])
def test_real_and_synthetic_images_share_the_draw(name):
    network, _, real, _ = toy()
    draws = draw_chain((name,), 1, 8, 8, torch.Generator().manual_seed(7))
    assert idc.gradient_distance(network, real, real, 1, draws) < 1e-12


def test_an_unknown_metric_is_refused():
    network, images, real, draws = toy()
    with pytest.raises(InputError, match="gradients can be compared by l1 or mse, not by 'cosine'"):
        idc.gradient_distance(network, real, images[1], 1, draws, "cosine")


def squares(stored: torch.Tensor) -> torch.Tensor:
    return stored.square().sum()


def test_a_step_moves_all_classes_as_torch_sgd_does():
    _, images, _, _ = toy()
    parameter = images.clone().requires_grad_()
    optimizer = torch.optim.SGD([parameter], lr=0.3, momentum=0.5)
    learnt = at_rest(images)
    for label in (0, 1, 2, 0):
        optimizer.zero_grad()
        squares(parameter[label]).backward()
        optimizer.step()
        before = learnt
        learnt, _ = idc.idc_step(learnt, label, torch.arange(2), squares, lr=0.3, momentum=0.5)
    torch.testing.assert_close(learnt.images, parameter.detach())
    assert (learnt.images[1] != before.images[1]).all()  # in the step of class 0


def test_only_the_rows_that_are_matched_have_a_gradient():
    _, images, _, _ = toy()
    loss, gradient = idc.idc_gradient(images, 2, torch.tensor([1]), squares)
    expected = torch.zeros_like(images)
    expected[2, 1] = 2 * images[2, 1]
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(loss, squares(images[2, 1]))


def test_a_clamp_keeps_the_velocity():
    learnt = LearntImages(torch.tensor([-0.5, 0.25, 1.5]), torch.tensor([1.0, -2.0, 3.0]))
    assert clamped(learnt).images.tolist() == [0, 0.25, 1]
    assert torch.equal(clamped(learnt).velocity, learnt.velocity)


def test_factor_one_changes_nothing():
    images = toy()[1][0]
    assert idc.decode(images, 1) is images


def test_pieces_come_in_rows_each_of_all_images():
    # Where a piece is of one colour, so is its enlargement.
    colours = torch.rand(2, 3, 2, 2)
    pieces = idc.decode(colours.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3), 2)
    assert pieces.shape == (8, 3, 8, 8)
    for k, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        own = colours[:, :, row, column][:, :, None, None].expand(2, 3, 8, 8)
        torch.testing.assert_close(pieces[2 * k : 2 * k + 2], own)


@pytest.mark.parametrize(("size", "factor", "piece"), [(8, 2, 4), (8, 3, 3), (10, 4, 3), (7, 7, 1)])
def test_a_piece_is_enlarged_bilinearly_and_grey_fills_what_is_missing(size, factor, piece):
    images = torch.rand(2, 3, size, size, dtype=torch.float64)
    padded = torch.full((2, 3, factor * piece, factor * piece), 0.5, dtype=torch.float64)
    padded[:, :, :size, :size] = images
    pieces = idc.decode(images, factor)
    assert pieces.shape == (2 * factor**2, 3, size, size)
    for k in range(factor**2):
        top, left = (part * piece for part in divmod(k, factor))
        own = padded[:, :, top : top + piece, left : left + piece]
        enlarged = nn.Upsample(size, mode="bilinear", align_corners=False)(own)
        torch.testing.assert_close(pieces[2 * k : 2 * k + 2], enlarged)


def test_a_stored_image_learns_from_all_of_its_pieces():
    stored = torch.rand(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: idc.decode(x, 4), stored)


@pytest.mark.parametrize("factor", [0, 9])
def test_a_factor_that_leaves_no_pixel_is_refused(factor):
    with pytest.raises(InputError, match=f"factor is {factor}: an image of 8 px can be cut into 1 … 8 pieces a side"):
        idc.decode(torch.zeros(1, 3, 8, 8), factor)


def test_a_box_of_cutmix_is_filled_from_the_partner():
    images = torch.arange(3.0)[:, None, None, None].expand(3, 3, 8, 10)
    views, stayed = mixed(images, CutMix(0.75, torch.tensor([2, 0, 1]), (1, 6)))
    # Sides 4 and 5, so that the box reaches 2 px from its centre: rows −1 … 2, cut to 0 … 2, and columns 4 … 7.
    expected = images.clone()
    expected[:, :, 0:3, 4:8] = torch.tensor([2.0, 0.0, 1.0])[:, None, None, None]
    assert torch.equal(views, expected)
    assert stayed == pytest.approx(1 - 12 / 80)
    assert images.unique().tolist() == [0, 1, 2]


def test_draws_of_cutmix_reach_their_ranges():
    generator = torch.Generator().manual_seed(0)
    drawn = [idc.draw_cutmix(4, 6, 9, generator) for _ in range(400)]
    shares = np.array([cutmix.share for cutmix in drawn])
    assert 0 <= shares.min() < 0.02
    assert 0.98 < shares.max() < 1
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert {cutmix.centre for cutmix in drawn} == {(row, column) for row in range(6) for column in range(9)}
    assert all(sorted(cutmix.partners.tolist()) == [0, 1, 2, 3] for cutmix in drawn)
    assert len({tuple(cutmix.partners.tolist()) for cutmix in drawn}) == 24


def test_training_learns_and_equal_draws_give_equal_weights():
    _, _, real, _ = toy()
    labels, generator = torch.tensor([0, 1, 2, 0, 1]), torch.Generator().manual_seed(1)
    draws, cutmix = draw_chain(("color", "crop"), 5, 8, 8, generator), idc.draw_cutmix(5, 8, 8, generator)
    networks = [toy()[0] for _ in range(2)]
    for network in networks:
        optimizer = idc.network_optimizer(network, IDCSettings(lr=0.1))
        losses = [idc.training_step(network, optimizer, real, labels, draws, cutmix) for _ in range(30)]
        assert losses[-1] < losses[0]
    assert all(torch.equal(a, b) for a, b in zip(*(network.parameters() for network in networks), strict=True))


def test_training_without_cutmix_is_of_the_labels_alone():
    network, _, real, _ = toy()
    labels = torch.tensor([0, 1, 2, 0, 1])
    expected = F.cross_entropy(network(real), labels)
    loss = idc.training_step(network, idc.network_optimizer(network, IDCSettings()), real, labels, Draws(), None)
    torch.testing.assert_close(loss, expected.detach())


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.bfloat16, 0.2)])
def test_coarser_types_come_close(dtype, error):
    network, images, real, draws = toy(dtype)
    loss, gradient = idc.idc_gradient(
        images, 1, torch.arange(2), lambda x: idc.gradient_distance(network, real, x, 1, draws)
    )
    network.double()
    exact = idc.gradient_distance(network, real.double(), images[1].double(), 1, draws)
    assert (loss.dtype, gradient.dtype) == (torch.float32, dtype)
    assert gradient.isfinite().all()
    assert loss.item() == pytest.approx(exact.item(), rel=error)


def test_a_step_and_training_run_under_autocast():
    network, images, real, draws = toy(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        learnt, loss = idc.idc_step(
            at_rest(images),
            1,
            torch.arange(2),
            lambda x: idc.gradient_distance(network, real, x, 1, draws),
            lr=0.1,
            momentum=0.5,
        )
        idc.training_step(
            network, idc.network_optimizer(network, IDCSettings()), real, torch.tensor([0, 1, 2, 0, 1]), draws, None
        )
    assert learnt.images.dtype == loss.dtype == torch.float32
    assert learnt.images.isfinite().all()


def test_the_settings_are_the_published_ones():
    settings = IDCSettings()
    assert (settings.outer_iterations, settings.inner_loop, settings.early) == (500, 100, 10)
    assert (settings.batch_real, settings.batch_synthetic, settings.images_per_pass) == (64, 128, 500)
    assert (settings.lr, settings.momentum, settings.weight_decay) == (0.01, 0.9, 5e-4)
    assert (settings.metric, settings.momentum_images) == ("l1", 0.5)
    assert settings.strategy == ["color", "crop", "cutout"]
    assert settings.training_strategy == ["color", "crop"]
    assert (settings.network, settings.early_networks) == ("resnetap10", None)
    assert [settings.image_lr(ipc, 224) for ipc in (10, 20, 50)] == pytest.approx([0.003, 0.006, 0.015])
    assert settings.image_lr(10, 112) == pytest.approx(0.00075)
