import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from ddgs_hub.evaluation.augmentation import (
    LIGHTING_VALUES,
    LIGHTING_VECTORS,
    augment,
    brightness,
    color_jitter,
    contrast,
    crop_and_resize,
    lighting_noise,
    normalize,
    random_crop_boxes,
    saturation,
)
from ddgs_hub.evaluation.tensors import Examples, pack
from ddgs_hub.recipe import Protocol

PLAIN = {"crop_scale": 1, "flip": False, "color_jitter": 0, "lighting": 0}


def packed(images: list[torch.Tensor]) -> Examples:
    return pack([functional.to_pil_image(image) for image in images], torch.zeros(len(images), dtype=torch.int64))


def views_of(images: list[torch.Tensor], protocol: Protocol) -> torch.Tensor:
    return augment(packed(images), torch.arange(len(images)), protocol)


def images_of(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]


def test_crops_are_those_of_torchvision_for_images_of_any_size():
    images = images_of((40, 30), (16, 16), (9, 50), (64, 48), (20, 20))
    boxes = torch.tensor([[3, 2, 30, 20], [0, 0, 16, 16], [1, 30, 8, 20], [10, 7, 40, 41], [5, 6, 7, 5]])
    flips = torch.tensor([False, True, True, False, False])
    views = crop_and_resize(packed(images), torch.arange(5), boxes.double(), flips, 16)
    for image, box, flip, view in zip(images, boxes.tolist(), flips, views, strict=True):
        expected = functional.resized_crop(image.float() / 255, *box, size=[16, 16], antialias=True)
        torch.testing.assert_close(view, expected.flip(2) if flip else expected, atol=2e-6, rtol=0)


def test_crops_of_chosen_images_are_the_same_whatever_else_is_held():
    images = images_of((16, 16), (16, 16), (16, 16), (40, 30))
    boxes, flips = torch.tensor([[2, 1, 12, 15], [0, 3, 16, 13]]).double(), torch.tensor([True, False])
    alike = crop_and_resize(packed(images[:3]), torch.tensor([2, 0]), boxes, flips, 8)
    mixed = crop_and_resize(packed(images), torch.tensor([2, 0]), boxes, flips, 8)
    torch.testing.assert_close(mixed, alike, atol=1e-6, rtol=0)


def test_boxes_are_spread_as_torchvision_spreads_them():
    torch.manual_seed(0)
    sizes = torch.tensor([[50.0, 80.0]], dtype=torch.float64)
    boxes = random_crop_boxes(sizes.repeat(20000, 1), 0.5)
    reference = v2.RandomResizedCrop(16, scale=(0.5, 1))
    image = torch.empty(3, 50, 80)
    drawn = [reference.make_params([image]) for _ in range(4000)]
    expected = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in drawn]).double()
    torch.testing.assert_close(boxes.mean(0), expected.mean(0), atol=0.6, rtol=0)
    torch.testing.assert_close(boxes.std(0), expected.std(0), atol=0.6, rtol=0)
    assert (boxes == boxes.round()).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= sizes).all()
    assert (boxes[:, :2] + boxes[:, 2:] == sizes).any(0).all()  # the lower and right borders are reached
    assert boxes[:, 2:].prod(1).min() >= 0.48 * 50 * 80


@pytest.mark.parametrize(("height", "width", "box"), [(10, 200, [0, 93, 10, 13]), (200, 9, [94, 0, 12, 9])])
def test_a_shape_that_no_crop_fits_gives_its_center(height, width, box):
    torch.manual_seed(0)
    sizes = torch.tensor([[height, width]], dtype=torch.float64)
    assert random_crop_boxes(sizes, 0.5)[0].tolist() == box
    reference = v2.RandomResizedCrop(16, scale=(0.5, 1)).make_params([torch.empty(3, height, width)])
    assert [reference[key] for key in ("top", "left", "height", "width")] == box


def test_without_augmentation_an_image_is_itself():
    images = images_of((16, 16), (16, 16))
    views = views_of(images, Protocol(image_size=16, **PLAIN))
    torch.testing.assert_close(views, torch.stack(images).float() / 255, atol=1e-6, rtol=0)


def test_flips_are_half_of_the_views_and_can_be_switched_off():
    torch.manual_seed(0)
    image = images_of((16, 16))[0]
    views = views_of([image] * 200, Protocol(image_size=16, **(PLAIN | {"flip": True})))
    flipped = torch.isclose(views, image.flip(2) / 255, atol=1e-5).all(3).all(2).all(1)
    kept = torch.isclose(views, image / 255, atol=1e-5).all(3).all(2).all(1)
    assert (flipped ^ kept).all()
    assert 70 < flipped.sum() < 130


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (brightness, functional.adjust_brightness),
        (contrast, functional.adjust_contrast),
        (saturation, functional.adjust_saturation),
    ],
)
def test_jitters_are_those_of_torchvision(ours, theirs):
    images = torch.stack(images_of((8, 8), (8, 8), (8, 8))).float() / 255
    factors = torch.tensor([0.6, 1.0, 1.4])
    changed = ours(images, factors[:, None, None, None])
    for image, factor, result in zip(images, factors.tolist(), changed, strict=True):
        torch.testing.assert_close(result, theirs(image, factor), atol=1e-5, rtol=0)


def test_every_image_has_its_own_color_jitter():
    torch.manual_seed(0)
    image = images_of((8, 8))[0].float() / 255
    views = color_jitter(image.repeat(50, 1, 1, 1), 0.4)
    levels = views.mean((1, 2, 3)) / image.mean()
    assert len(set(levels.tolist())) == 50
    assert 0.55 < levels.min() < 0.75
    assert 1.05 < levels.max() < 1.45


def test_lighting_lies_along_the_principal_components():
    torch.manual_seed(0)
    shifts = lighting_noise(20000, 0.1)[:, :, 0, 0]
    vectors = torch.tensor(LIGHTING_VECTORS)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(3), atol=2e-3, rtol=0)
    amounts = shifts @ vectors
    torch.testing.assert_close(amounts.std(0), 0.1 * torch.tensor(LIGHTING_VALUES), rtol=0.03, atol=0)
    assert (amounts.mean(0).abs() < 1e-3).all()


def test_normalize_takes_off_imagenets_mean():
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = torch.stack([mean, mean + std])[:, :, None, None].expand(2, 3, 4, 4)
    torch.testing.assert_close(normalize(images), torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 4, 4))


def test_views_follow_torchs_generator():
    images, protocol = images_of((20, 18), (16, 16)), Protocol(image_size=16)
    torch.manual_seed(3)
    first = views_of(images, protocol)
    torch.manual_seed(3)
    torch.testing.assert_close(views_of(images, protocol), first, atol=0, rtol=0)
    assert not torch.equal(views_of(images, protocol), first)
    assert first.shape == (2, 3, 16, 16)
