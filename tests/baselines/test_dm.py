import copy
from functools import partial

import pytest
import torch
from golden_matching import TIGHT, GoldenRun, draws_of, read_run
from torch import nn

from ddgs_hub.baselines import Draws, at_rest, dm_gradient, dm_step, draw_one, embedding_distance
from ddgs_hub.evaluation.networks import ConvNet
from ddgs_hub.recipe import OPERATIONS, DMSettings


def embedding(network: nn.Module):
    return lambda images: network.features(images)[-1].flatten(1)


def replayed(run: GoldenRun, change=lambda draws: draws, step=dm_step) -> dict[str, torch.Tensor]:
    """Losses, gradients and images of all steps; a mutant changes a step's draws, or the step."""
    config, real = run.config, run.arrays["real"]
    settings = DMSettings(lr=config["lr_img"], momentum=config["momentum"])
    learnt = at_rest(run.by_class(run.arrays["images"][0]))
    losses, gradients, images = [], [], [learnt.images]
    for number, classes in enumerate(run.facts["steps"]):
        embed = embedding(run.network(f"net{number}"))
        batches = [real[entry["real_indices"]] for entry in classes]
        draws = change([draws_of(entry.get("augment")) for entry in classes])
        gradients.append(dm_gradient(embed, learnt.images, batches, draws)[1])
        learnt, loss = step(embed, learnt, batches, draws, settings)
        losses.append(loss)
        images.append(learnt.images)
    flat = {"grads": gradients, "images": images}
    return {"losses": torch.stack(losses)} | {name: torch.stack(parts).flatten(1, 2) for name, parts in flat.items()}


@pytest.mark.parametrize("name", ["dm-a", "dm-noaug"])
def test_losses_gradients_and_images_are_the_golden_ones(golden, name):
    run = read_run(golden(f"matching/{name}.json"))
    for key, values in replayed(run).items():
        torch.testing.assert_close(values, run.arrays[key], **TIGHT, msg=key)


def test_the_start_is_of_real_images(golden):
    run = read_run(golden("matching/dm-a.json"))
    rows = [row for rows in run.facts["initial_indices"] for row in rows]
    assert torch.equal(run.arrays["images"][0], run.arrays["real"][rows])


def class_after_class(embed, learnt, real, draws, settings):
    """A mutant: a step of its own for each class, so that momentum acts once for each."""
    total = torch.zeros((), dtype=torch.float64)
    for label in range(len(real)):
        before = learnt.images
        loss, gradient = dm_gradient(embed, before, real, draws)
        own = torch.zeros_like(gradient)
        own[label] = gradient[label]
        velocity = settings.momentum * learnt.velocity + own
        learnt = type(learnt)(before - settings.lr * velocity, velocity)
        total = loss
    return learnt, total


@pytest.mark.parametrize(
    "mutant",
    [
        {"change": lambda draws: [draws[0]] * len(draws)},  # a draw of each class forgotten
        {"change": lambda draws: [Draws()] * len(draws)},  # no augmentation
        {"step": class_after_class},
        {"step": lambda *arguments: dm_step(*arguments[:-1], DMSettings(lr=1.0, momentum=0.0))},
    ],
    ids=["a draw for all classes", "no augmentation", "a step for each class", "no momentum"],
)
def test_other_rules_are_told_apart(golden, mutant):
    run = read_run(golden("matching/dm-a.json"))
    assert (replayed(run, **mutant)["images"] - run.arrays["images"]).abs().max() > 1e-3


def toy(dtype=torch.float64) -> tuple[ConvNet, torch.Tensor, list[torch.Tensor], list[Draws]]:
    """A network, images of two classes, two to learn in each, their real batches, and draws."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ConvNet(2, 8, 3, 2, 4).to(dtype)
    images = torch.randn(2, 2, 3, 8, 8, generator=generator, dtype=torch.float64).to(dtype)
    real = [torch.randn(count, 3, 8, 8, generator=generator, dtype=torch.float64).to(dtype) for count in (5, 3)]
    return network, images, real, [draw_one(OPERATIONS, 8, 8, generator) for _ in range(2)]


def test_the_gradient_is_that_of_the_sum_over_the_classes():
    network, images, real, draws = toy()
    embed = embedding(network)
    loss, gradient = dm_gradient(embed, images, real, draws)
    assert all(weight.grad is None for weight in network.parameters())
    together = images.clone().requires_grad_()
    losses = [embedding_distance(embed, *parts) for parts in zip(real, together, draws, strict=True)]
    torch.stack(losses).sum().backward()
    torch.testing.assert_close(loss, sum(losses).detach())
    torch.testing.assert_close(gradient, together.grad)


def test_the_gradient_is_the_derivative_of_the_distance():
    _, images, real, draws = toy()
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten()).double()
    distance = partial(embedding_distance, smooth, real[0])
    assert torch.autograd.gradcheck(lambda x: distance(x, draws[0]), images[0].clone().requires_grad_())


@pytest.mark.parametrize("name", OPERATIONS)
def test_real_and_synthetic_images_share_the_draw(name):
    # Equal images have equal embeddings only if both are augmented alike.
    network, _, real, _ = toy()
    draws = draw_one((name,), 8, 8, torch.Generator().manual_seed(7))
    assert embedding_distance(embedding(network), real[0], real[0], draws) < 1e-20


def test_the_distance_is_a_sum_over_features():
    real, synthetic = torch.zeros(4, 3, 2, 2), torch.ones(2, 3, 2, 2)
    assert embedding_distance(nn.Flatten(), real, synthetic, Draws()) == 12


def test_a_step_is_that_of_torch_sgd_and_clips_nothing():
    network, images, real, draws = toy()
    embed, settings = embedding(network), DMSettings(lr=30.0)
    parameter = images.clone().requires_grad_()
    optimizer = torch.optim.SGD([parameter], lr=settings.lr, momentum=settings.momentum)
    learnt = at_rest(images)
    for _ in range(3):
        parameter.grad = dm_gradient(embed, parameter, real, draws)[1]
        optimizer.step()
        learnt, _ = dm_step(embed, learnt, real, draws, settings)
    torch.testing.assert_close(learnt.images, parameter.detach())
    assert learnt.images.abs().max() > 3
    assert not learnt.images.requires_grad


def test_equal_draws_give_equal_steps_and_leave_their_arguments_alone():
    network, images, real, draws = toy()
    learnt, weights = at_rest(images), copy.deepcopy(network.state_dict())
    first, second = (dm_step(embedding(network), learnt, real, draws, DMSettings()) for _ in range(2))
    assert torch.equal(first[0].images, second[0].images)
    assert torch.equal(first[1], second[1])
    assert torch.equal(learnt.images, images)
    assert not learnt.velocity.any()
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_coarser_types_come_close(dtype, error):
    network, images, real, draws = toy(dtype)
    learnt, loss = dm_step(embedding(network), at_rest(images), real, draws, DMSettings())
    exact, exact_loss = dm_step(
        embedding(network.double()), at_rest(images.double()), [x.double() for x in real], draws, DMSettings()
    )
    assert learnt.images.dtype == learnt.velocity.dtype == dtype
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact_loss.item(), rel=error)
    torch.testing.assert_close(learnt.images.double(), exact.images, atol=error, rtol=error)


def test_a_step_runs_under_autocast():
    network, images, real, draws = toy(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        learnt, loss = dm_step(embedding(network), at_rest(images), real, draws, DMSettings())
    assert learnt.images.dtype == loss.dtype == torch.float32
    assert learnt.images.isfinite().all()


def test_the_settings_are_the_published_ones():
    settings = DMSettings()
    assert (settings.steps, settings.batch_real, settings.network_width) == (20_001, 256, 128)
    assert (settings.lr, settings.momentum) == (1.0, 0.5)
    assert settings.strategy == ["color", "crop", "cutout", "flip", "scale", "rotate"]
