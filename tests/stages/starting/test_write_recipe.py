"""`init`: what it sees in a folder or on the Hub, what it chooses on which device, and the file that it writes."""

import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from image_folders import draw_photos
from threads import one_thread

from ddgs_hub.core.errors import InputError
from ddgs_hub.original import SUBSETS, look_at
from ddgs_hub.recipe import load_recipe
from ddgs_hub.stages import write_recipe
from ddgs_hub.stages.starting import recipe_file, timing
from ddgs_hub.stages.starting.choosing import choose, name_of
from ddgs_hub.stages.starting.device import Device

CPU = Device("cpu", "", 0.0, 2, 8.0)
GPU = Device("cuda", "a GPU", 24.0, 16, 128.0)
SMALL_GPU = Device("cuda", "a small GPU", 4.0, 4, 16.0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw_photos(tmp_path_factory.mktemp("own") / "my photos", images=12, validation=4)


@pytest.fixture(scope="module")
def drawn(photos):
    """A look at drawn images."""
    return look_at(str(photos))


@pytest.fixture(scope="module")
def written(photos, tmp_path_factory):
    """The file of a recipe, and what is said of it; a step or two of each stage are timed."""
    path = tmp_path_factory.mktemp("recipes") / "my photos.yaml"
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "ENOUGH", 0.01)
        patch.setattr(timing, "MOST_DISTILLED", 4)  # of ten
        return path, write_recipe(str(photos), path)


def test_recipe_can_be_read_and_has_what_is_said(written):
    path, made = written
    recipe, values = load_recipe(path), yaml.safe_load(path.read_text(encoding="utf-8"))
    assert values == made.values["recipe"]
    assert (recipe.name, recipe.hub.repository(2)) == ("my-photos", "my-photos-ddgs-ipc2")
    assert (recipe.data.image_size, recipe.sample.ipc) == (32, 2)
    assert recipe.model.base is None
    assert recipe.score.scorer is None


def test_every_choice_stands_beside_its_reason(written):
    path, made = written
    text = " ".join(path.read_text(encoding="utf-8").replace("\n", " ").replace("#", " ").split())
    for reason in made.values["reasons"].values():
        assert " ".join(reason.split()) in text


def test_summary_says_what_was_seen_and_how_long_it_takes(written, photos):
    path, made = written
    assert made.text.endswith(f"ddgs-hub run {shlex.quote(str(path))}")
    assert f"{photos}: 5 classes, 60 images; smallest class crimson (12)" in made.text
    assert made.values["look"]["median_side"] == 32
    assert made.values["look"]["validation_images"] == 20
    assert list(made.values["seconds"])[:3] == ["original", "train-scorer", "pretrain"]
    assert all(value >= 0 for value in made.values["seconds"].values())
    assert made.values["seconds"]["pretrain"] > 1
    assert made.values["total_seconds"] == pytest.approx(sum(made.values["seconds"].values()), abs=1)


def test_file_that_is_there_is_left_alone(written, photos):
    path, _ = written
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"my photos.yaml exists: choose another --output"):
        write_recipe(str(photos), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("output", "message"), [("photos.txt", "does not end with .yaml"), ("none/photos.yaml", "no such folder: ")]
)
def test_place_that_cannot_be_written_is_refused_before_a_look(tmp_path, output, message):
    with pytest.raises(InputError, match=message):
        write_recipe(str(tmp_path / "no photos"), tmp_path / output)


def test_one_class_is_refused(tmp_path):
    draw_photos(tmp_path / "one", images=12, names=("cats",))
    with pytest.raises(InputError, match=r"one class, 'cats': .* give a folder with at least two"):
        write_recipe(str(tmp_path / "one"), tmp_path / "one.yaml")
    assert not (tmp_path / "one.yaml").exists()


def test_file_in_the_place_of_a_folder_is_said_to_be_one(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"photos.zip is a file: give the folder that it is in, unpacked"):
        write_recipe(str(tmp_path / "photos.zip"), tmp_path / "photos.yaml")


def test_class_with_too_few_images_is_refused(tmp_path):
    folder = draw_photos(tmp_path / "few", images=12)
    for path in sorted((folder / "purple").iterdir())[3:]:
        path.unlink()
    with pytest.raises(InputError, match=r"class 'purple' .* has 3 images: add some, so that every class has at least"):
        write_recipe(str(folder), tmp_path / "few.yaml")


def test_damaged_image_is_named(tmp_path):
    folder = draw_photos(tmp_path / "damaged", images=12)
    (folder / "crimson" / "005.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"1 of 60 images .* cannot be read; the first: .*crimson/005.png"):
        write_recipe(str(folder), tmp_path / "damaged.yaml")


def test_folder_of_damaged_images_alone_is_refused(tmp_path):
    folder = draw_photos(tmp_path / "damaged", images=2)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"nothing of .* can be read: "):
        look_at(str(folder))


def test_copies_are_counted(tmp_path):
    folder = draw_photos(tmp_path / "copies", images=12)
    shutil.copy(folder / "crimson" / "000.png", folder / "crimson" / "again.png")
    assert look_at(str(folder)).copies == 1


def test_rows_that_lie_by_class_are_no_small_classes_where_only_the_first_were_read(drawn):
    look = replace(drawn, whole=False, counts=np.array([2_000, 0, 0, 0, 0]), total=10_000, validation_split=None)
    recipe = choose(look, CPU, subset=None, config=None).recipe()
    assert (recipe.sample.ipc, recipe.data.validation_share) == (10, 0.1)
    counts = recipe_file._counts(look, recipe)
    assert "the largest class" not in " ".join(recipe_file._remarks(look, CPU, recipe, counts))
    assert "about 10,000 images, by 2,000 labels that were read" in recipe_file._seen(look, counts)[0]


def test_without_a_validation_split_a_share_validates(tmp_path):
    look = look_at(str(draw_photos(tmp_path / "photos", images=12)))
    assert look.validation_split is None
    recipe = choose(look, CPU, subset=None, config=None).recipe()
    assert (recipe.data.validation_share, recipe.sample.ipc) == (0.2, 1)


def test_classes_that_are_called_like_digits_are_not_mirrored(tmp_path):
    look = look_at(str(draw_photos(tmp_path / "signs", images=12, names=("1", "2", "3", "4", "5"))))
    recipe = choose(look, CPU, subset=None, config=None).recipe()
    assert (recipe.data.flip, recipe.evaluate.flip) == (False, False)


def test_imagenet_at_256_px_gets_pretrained_models_on_a_gpu_alone(drawn):
    look = replace(
        drawn, names=list(SUBSETS["imagenette"].class_names), counts=np.full(10, 900), sides=np.array([300, 300])
    )
    large = choose(look, GPU, subset=None, config=None).recipe()
    assert (large.model.base, large.model.label_space) == ("facebook/DiT-XL-2-256", "imagenet")
    assert (large.data.image_size, large.data.subset) == (256, "imagenette")  # of a folder, which has no wnids
    assert large.codec.encoder == "stabilityai/sd-vae-ft-ema"
    assert large.score.scorer == "timm/resnet50.tv_in1k"
    for device, size in ((SMALL_GPU, 64), (CPU, 64)):
        small = choose(look, device, subset=None, config=None).recipe()
        assert (small.model.base, small.codec.encoder, small.score.scorer) == (None, None, None)
        assert small.data.image_size == size


def test_classes_that_a_public_classifier_knows_by_name_are_scored_by_it(drawn):
    look = replace(drawn, names=["tench", "golf ball", "n02102040", "church", "parachute"], sides=np.array([300]))
    draft = choose(look, GPU, subset=None, config=None)
    recipe = draft.recipe()
    assert (recipe.model.base, recipe.score.scorer) == (None, "timm/resnet50.tv_in1k")
    assert "knows these classes by wnid, a column that is not there" in draft.reasons["model.base"]
    assert "by their names: see whether it means the same" in draft.reasons["score.scorer"]
    unknown = replace(look, names=["crane", *look.names[1:]])  # a bird, and a machine
    assert choose(unknown, GPU, subset=None, config=None).recipe().score.scorer is None


def test_classes_of_ones_own_are_trained_from_scratch_on_a_gpu(drawn):
    for side, size, encoder in ((300, 256, "stabilityai/sd-vae-ft-ema"), (100, 96, None), (20, 20, None)):
        recipe = choose(replace(drawn, sides=np.array([side])), GPU, subset=None, config=None).recipe()
        assert (recipe.data.image_size, recipe.codec.encoder) == (size, encoder)
        assert (recipe.model.base, recipe.score.scorer) == (None, None)


@pytest.mark.parametrize("side", [8, 12, 16, 20, 27, 32, 40, 47, 48, 60, 64, 100, 3_000])
def test_every_size_gives_a_recipe(drawn, side):
    look = replace(drawn, sides=np.array([side]))
    for device in (CPU, GPU):
        size = choose(look, device, subset=None, config=None).recipe().data.image_size
        assert size <= max(1.4 * side, 8)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("acme/photos", "photos"),
        ("acme/Ünïcode--set.", "Unicode-set"),
        ("acme/---", "images"),
        ("my photos/", "images"),
        (f"acme/{'a' * 90}", "a" * 60),
    ],
)
def test_name_of_the_run_is_one_that_the_hub_takes(source, name):
    assert name_of(source) == name
