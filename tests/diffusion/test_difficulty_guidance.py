import numpy as np
import pytest
import torch

from ddgs_hub.core.rows import read_rows, undecoded
from ddgs_hub.diffusion import Codec, DenoisingStep, DifficultyGuide, PoolClasses, generate_pool
from ddgs_hub.diffusion.bases import base_path
from ddgs_hub.diffusion.difficulty_guidance import limited

pytestmark = pytest.mark.usefixtures("in_one_thread")
CLASSES = PoolClasses(names=["3", "1"], wnids=[None, None], dit_ids=[3, 1])
WANTED = [np.array([2.0, -6.0, -2.0]), np.array([-1.0])]


def darkness(images, labels):
    """A toy classifier: the margin is a smooth function of the image, of another slope for each label."""
    slopes = torch.tensor([1.0, -2.0])[torch.tensor(labels)]
    return slopes * (3 * images.mean((1, 2, 3)) + images.square().mean((1, 2, 3)))


def guide(codec, **settings):
    how = {"strength": 0.3, "begin": 0.5, "end": 1.0, "classifier": "darkness", **settings}
    return DifficultyGuide(codec, darkness, WANTED, **how)


def step(codec, index=3, num_steps=50, count=3):
    numbers = torch.randn(3, count, *codec.latent_shape(16), generator=torch.Generator().manual_seed(1))
    deviation = torch.linspace(0.05, 0.3, numbers[0].numel()).view(numbers[0].shape)
    return DenoisingStep(index, num_steps, numbers[0], numbers[1], numbers[2], deviation)


def test_the_gradient_is_that_of_the_margin_of_the_decoded_image(digits):
    codec = digits[1]
    now, labels = step(codec), [0, 1, 0]
    margins, gradient = guide(codec)._gradient(now.z_hat, labels)
    direction = torch.randn(now.z_hat.shape, generator=torch.Generator().manual_seed(2))
    ahead, behind = (darkness(codec.pixels(now.z_hat + sign * 1e-2 * direction), labels) for sign in (1, -1))
    torch.testing.assert_close(
        (gradient * direction).flatten(1).sum(1), ((ahead - behind) / 2e-2).detach(), rtol=0.02, atol=1e-3
    )
    torch.testing.assert_close(margins, darkness(codec.pixels(now.z_hat), labels).detach())


def test_a_shift_brings_the_margin_nearer_to_its_target_from_either_side(digits):
    codec, labels, numbers = digits[1], [0, 1, 0], [0, 0, 2]
    now, one = step(codec), guide(codec)
    shift = one.of(labels, numbers)(now)
    targets = torch.tensor([one.target(*which) for which in zip(labels, numbers, strict=True)])
    before, after = (darkness(codec.pixels(z), labels).detach() for z in (now.z_hat, now.z_hat + shift))
    assert set((targets - before).sign().tolist()) == {-1.0, 1.0}
    assert ((after - before).sign() == (targets - before).sign()).all()
    assert ((targets - after).abs() < (targets - before).abs()).all()


def test_a_gradient_goes_through_a_decoder_in_bfloat16(digits):
    now, exact = step(digits[1]), guide(digits[1]).of([0, 1, 0], [0, 0, 2])
    rough = guide(Codec.from_pretrained(base_path("digits")).lower_decoder(torch.bfloat16)).of([0, 1, 0], [0, 0, 2])
    with torch.inference_mode():  # as the sampler works
        apart, shift = (rough(now) - exact(now)).norm(), exact(now)
    assert shift.dtype == rough(now).dtype == torch.float32
    assert 0 < apart < 0.05 * shift.norm()


def test_a_shift_is_as_long_as_it_is_allowed_or_just_long_enough():
    generator = torch.Generator().manual_seed(3)
    gradient, deviation = torch.randn(2, 2, 4, 4, 4, generator=generator)
    deviation = deviation.exp()
    shift = limited(torch.tensor([1e3, -0.01]), gradient, deviation, 0.25)
    assert (shift[0] / deviation[0]).square().mean().sqrt().item() == pytest.approx(0.25)
    assert (shift[1] * gradient[1]).sum().item() == pytest.approx(-0.01)  # the linearised margin moves as it should
    assert (shift[1] / deviation[1]).square().mean().sqrt().item() < 0.25
    flat = limited(torch.tensor([1.0]), torch.zeros(1, 4, 4, 4), deviation[:1], 0.25)
    assert torch.equal(flat, torch.zeros(1, 4, 4, 4))


def test_only_the_steps_between_begin_and_end_are_guided(digits):
    codec = digits[1]
    shift = guide(codec, begin=0.4, end=0.8).of([0], [0])
    assert [i for i in range(10) if shift(step(codec, i, 10, 1)) is not None] == [2, 3, 4, 5]


def test_targets_are_quantiles_of_the_class_whose_beginnings_are_spread(digits):
    one = DifficultyGuide(
        digits[1], darkness, [np.arange(100.0)[::-1]], classifier="", strength=1.0, begin=0.0, end=1.0
    )
    for count in (5, 10, 50):
        shares = np.sort([one.target(0, index) for index in range(count)]) / 100
        assert np.abs(shares - (np.arange(count) + 0.5) / count).max() < 1.5 / count
    assert guide(digits[1]).target(1, 7) == -1


def test_a_guided_pool_is_the_same_in_batches_of_any_size_and_follows_its_targets(digits, tmp_path):
    dit, codec = digits

    def make(name, batch_size, guide=None):
        how = {"per_class": 4, "num_steps": 10, "guidance_scale": 2.0, "batch_size": batch_size}
        generate_pool(dit, codec, tmp_path / name, CLASSES, **how, guide=guide)
        rows = read_rows(tmp_path / name)
        images = torch.tensor(np.stack([np.asarray(image) for image in rows["image"]])).permute(0, 3, 1, 2).float()
        return images, undecoded(rows)

    one = guide(codec, begin=0.2)
    together, rows = make("together", 8, one)
    by_three, _ = make("by-three", 3, one)
    assert (together - by_three).abs().max() <= 2  # grey levels: sums of other lengths are rounded otherwise
    plain, _ = make("plain", 8)
    targets = np.array([one.target(*which) for which in zip(rows["label"], rows["pool_index"], strict=True)])
    missed = [
        np.abs(darkness(images / 127.5 - 1, rows["label"][:]).numpy() - targets).mean() for images in (plain, together)
    ]
    assert missed[1] < 0.8 * missed[0]


def test_identity_has_all_that_decides_a_shift(digits):
    codec = digits[1]
    changed = [{"strength": 0.2}, {"begin": 0.4}, {"end": 0.9}, {"classifier": "another"}]
    others = {guide(codec, **one).identity for one in changed}
    assert len({*others, guide(codec).identity}) == 5
    assert guide(codec).identity == guide(codec).identity
