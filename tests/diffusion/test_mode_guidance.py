import numpy as np
import pytest
import torch

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, undecoded
from ddgs_hub.diffusion import (
    Codec,
    DenoisingStep,
    ModeGuide,
    PoolClasses,
    find_modes,
    generate_pool,
    sample_latents,
)
from ddgs_hub.diffusion.bases import base_path

pytestmark = pytest.mark.usefixtures("in_one_thread")
CLASSES = PoolClasses(names=["a", "b"], wnids=[None, None], dit_ids=[2, 0])
SETTINGS = {"per_class": 3, "seed": 4, "num_steps": 4, "batch_size": 4}
SHAPE = (4, 4, 4)


def step(index, num_steps=50, seed=0):
    numbers = torch.randn(4, 2, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return DenoisingStep(index, num_steps, numbers[0], numbers[1], numbers[2], numbers[3].exp())


@pytest.fixture
def guide():
    """Three modes of class a, two of class b, of any numbers."""
    generator = torch.Generator().manual_seed(1)
    return ModeGuide([torch.randn(count, *SHAPE, generator=generator) for count in (3, 2)])


def test_a_shift_points_from_the_prediction_to_the_image_s_own_mode(guide):
    now = step(49)
    shift = guide.of([1, 0], [3, 2])(now)  # the fourth image of a class with two modes has the second
    for k, mode in enumerate((guide.modes[1][1], guide.modes[0][2])):
        torch.testing.assert_close(shift[k], 0.1 * now.deviation[k] * (mode - now.z_hat[k]))


def test_only_the_first_steps_are_guided_as_the_published_sampler_does(guide):
    """With 50 steps it shifts those whose index is above 25."""
    shift = guide.of([0, 1], [0, 0])
    assert [i for i in range(50) if shift(step(i)) is not None] == list(range(26, 50))
    whole = ModeGuide(guide.modes, share=1.0).of([0, 1], [0, 0])
    assert [i for i in range(4) if whole(step(i, 4)) is not None] == [1, 2, 3]


def test_guided_images_lie_nearer_to_their_modes(digits):
    """The modes are images of the same classes that other seeds have made."""
    dit, labels = digits[0], [3, 1]
    how = {"num_steps": 20, "guidance_scale": 2.0}
    made = sample_latents(dit, labels * 2, [11, 12, 1, 2], **how)
    modes = made[:2]
    apart = [(made[2:] - modes).flatten(1).norm(dim=1)]
    for strength in (0.1, 0.25):
        shift = ModeGuide([mode[None] for mode in modes], strength=strength).of([0, 1], [0, 0])
        apart.append((sample_latents(dit, labels, [1, 2], **how, guide=shift) - modes).flatten(1).norm(dim=1))
    assert (apart[2] < apart[1]).all()
    assert (apart[1] < apart[0]).all()
    strong = ModeGuide([mode[None] for mode in modes], strength=3.0).of([0, 1], [0, 0])
    with pytest.raises(
        InputError, match=r"the latents diverge under mode guidance of strength 3: set pool\.modes\.str"
    ):
        sample_latents(dit, labels, [1, 2], **how, guide=strong)


def test_an_image_s_mode_does_not_depend_on_its_batch(guide, digits):
    how = {"num_steps": 4, "guidance_scale": 2.0}
    together = sample_latents(digits[0], [2, 0, 2], [1, 2, 3], **how, guide=guide.of([0, 1, 0], [0, 0, 1]))
    plain = sample_latents(digits[0], [2, 0, 2], [1, 2, 3], **how)
    assert torch.equal(sample_latents(digits[0], [2, 0, 2], [1, 2, 3], **how, guide=lambda step: None), plain)
    assert ((plain - together).flatten(1).norm(dim=1) > 0.1).all()
    for k, (label, index, dit_id) in enumerate([(0, 0, 2), (1, 0, 0), (0, 1, 2)]):
        alone = sample_latents(digits[0], [dit_id], [k + 1], **how, guide=guide.of([label], [index]))
        torch.testing.assert_close(together[k], alone[0], atol=1e-4, rtol=1e-4)


def test_a_guided_pool_goes_on_after_a_kill_and_not_with_other_modes(guide, digits, tmp_path, monkeypatch):
    from ddgs_hub.diffusion import generation

    def make(name, guide=guide):
        generate_pool(*digits, tmp_path / name, CLASSES, **SETTINGS, guide=guide)
        return undecoded(read_rows(tmp_path / name))[:]

    whole, calls = make("whole"), []
    assert whole["image"] != make("plain", None)["image"]

    def sample(*arguments, **settings):
        calls.append(settings)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sample_latents(*arguments, **settings)

    monkeypatch.setattr(generation, "sample_latents", sample)
    others = ModeGuide([-modes for modes in guide.modes])
    for again, made in ((guide, 1), (others, 2)):  # batches; one of the two was finished
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            make(f"killed-{made}")
        assert (make(f"killed-{made}", again) == whole) == (again is guide)
        assert len(calls) == 2 + made


class TestFindingModes:
    def clusters(self):
        generator = torch.Generator().manual_seed(0)
        centres = 10 * torch.randn(3, *SHAPE, generator=generator)
        cluster = torch.tensor([0] * 5 + [1] * 20 + [2] * 10)
        return centres, centres[cluster] + 0.01 * torch.randn(35, *SHAPE, generator=generator)

    def test_centres_are_found_that_of_the_largest_cluster_first(self):
        centres, latents = self.clusters()
        torch.testing.assert_close(find_modes(latents, 3), centres[[1, 2, 0]], atol=0.02, rtol=0)
        assert find_modes(latents, 3).dtype == torch.float32

    def test_the_same_latents_have_the_same_modes(self):
        latents = torch.randn(60, *SHAPE, generator=torch.Generator().manual_seed(2))
        assert torch.equal(find_modes(latents, 7, seed=1), find_modes(latents, 7, seed=1))
        assert not torch.equal(find_modes(latents, 7, seed=1), find_modes(latents, 7, seed=2))

    def test_of_fewer_different_images_each_is_a_mode(self):
        latents = torch.arange(3.0)[torch.tensor([0, 1, 1, 2, 2, 2])][:, None, None, None].expand(6, *SHAPE)
        modes = find_modes(latents, 10)
        np.testing.assert_array_equal(modes[:, 0, 0, 0], [2, 1, 0])


def test_modes_are_found_in_float32_where_images_are_decoded_in_bfloat16():
    """The autoencoder of the digits' base is encoder and decoder in one."""
    codec = Codec.from_pretrained(base_path("digits"))
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = codec.encode(images)
    codec.lower_decoder(torch.bfloat16)
    for exact, after in zip(before, codec.encode(images), strict=True):
        torch.testing.assert_close(after, exact, rtol=0, atol=0)
    assert codec.pixels(before[0]).dtype == torch.float32  # of the last layer
