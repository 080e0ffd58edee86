from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, undecoded
from ddgs_hub.diffusion import Codec, PoolClasses, cast_frozen, generate_pool, image_seed, load_dit, sample_latents
from ddgs_hub.diffusion.bases import base_path

CLASSES = PoolClasses(names=["a", "b", "c"], wnids=["n1", None, "n3"], dit_ids=[2, 0, 1])
SETTINGS = {"per_class": 3, "seed": 4, "num_steps": 3, "batch_size": 4}


@pytest.fixture
def pool(tiny_dit, tiny_codec, tmp_path):
    generate_pool(tiny_dit, tiny_codec, tmp_path / "pool", CLASSES, **SETTINGS)
    return undecoded(read_rows(tmp_path / "pool"))


def test_pool_has_the_columns_and_rows_of_the_house(pool):
    assert pool.column_names == ["image", "label", "wnid", "pool_index", "seed"]
    assert pool["label"][:] == [0, 1, 2] * 3
    assert pool["wnid"][:] == ["n1", None, "n3"] * 3
    assert pool["pool_index"][:] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert pool["seed"][:] == [image_seed(4, label, index) for index in range(3) for label in range(3)]
    assert all(image["bytes"].startswith(b"\x89PNG") for image in pool["image"])


def test_larger_pool_begins_with_the_smaller_one(pool, tiny_dit, tiny_codec, tmp_path):
    generate_pool(tiny_dit, tiny_codec, tmp_path / "large", CLASSES, **{**SETTINGS, "per_class": 5})
    large = undecoded(read_rows(tmp_path / "large"))
    assert len(large) == 15
    # The ninth image is the first of a batch of its own in the small pool, and not in the large one.
    assert large[:8] == pool[:8]
    assert {name: large[8][name] for name in ("label", "pool_index", "seed")} == {
        name: pool[8][name] for name in ("label", "pool_index", "seed")
    }


def test_pool_is_scored_on_the_way(pool, tiny_dit, tiny_codec, tmp_path):
    def score(encoded, labels):
        return np.array([len(image) / 1e6 + label for image, label in zip(encoded, labels, strict=True)])

    generate_pool(tiny_dit, tiny_codec, tmp_path / "scored", CLASSES, **SETTINGS, score_images=score)
    scored = undecoded(read_rows(tmp_path / "scored"))
    assert scored.features["difficulty"].dtype == "float32"
    np.testing.assert_allclose(scored["difficulty"], score([i["bytes"] for i in pool["image"]], pool["label"]))
    assert scored.remove_columns("difficulty")[:] == pool[:]


def test_images_in_bfloat16_are_those_of_float32_to_a_grey_level():
    """Of a trained model, after 50 steps: in few steps the first one makes much of the difference."""
    dit, codec = load_dit(base_path("digits")), Codec.from_pretrained(base_path("digits"))
    labels, seeds = list(range(10)), list(range(10))
    exact = codec.decode(sample_latents(dit, labels, seeds, guidance_scale=2.0)).astype(float)
    cast_frozen(dit.requires_grad_(False), torch.bfloat16)
    codec.lower_decoder(torch.bfloat16)
    rough = codec.decode(sample_latents(dit, labels, seeds, guidance_scale=2.0))
    apart = np.abs(rough - exact).mean(axis=(1, 2, 3))  # of 255, of each image
    assert 0.01 < apart.max() < 1


def test_what_fails_while_an_image_is_written_is_raised(tiny_dit, tiny_codec, tmp_path):
    def score(encoded, labels):
        raise InputError("no number")

    with pytest.raises(InputError, match="no number"):
        generate_pool(tiny_dit, tiny_codec, tmp_path / "pool", CLASSES, **SETTINGS, score_images=score)
    assert not (tmp_path / "pool").exists()


def test_seed_column_alone_makes_an_image_again(pool, tiny_dit, tiny_codec):
    row = pool[4]
    latents = sample_latents(tiny_dit, [CLASSES.dit_ids[row["label"]]], [row["seed"]], num_steps=3)
    again = tiny_codec.decode(latents)[0].astype(int)
    assert abs(again - np.asarray(Image.open(BytesIO(row["image"]["bytes"])))).max() <= 1


def test_seeds_differ_between_runs_classes_and_images_and_fit_the_column():
    seeds = {image_seed(run, label, index) for run in range(5) for label in range(20) for index in range(20)}
    assert len(seeds) == 2000
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_interrupted_generation_goes_on_behind_the_finished_batches(pool, tiny_dit, tiny_codec, tmp_path, monkeypatch):
    from ddgs_hub.diffusion import generation

    calls = []

    def stop_at_the_third(dit, class_labels, *rest, **settings):
        calls.append(class_labels)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sample_latents(dit, class_labels, *rest, **settings)

    monkeypatch.setattr(generation, "sample_latents", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        generate_pool(tiny_dit, tiny_codec, tmp_path / "again", CLASSES, **SETTINGS)
    assert not (tmp_path / "again").exists()
    generate_pool(tiny_dit, tiny_codec, tmp_path / "again", CLASSES, **SETTINGS)
    assert len(calls) == 4  # the third batch once more, and no other
    assert read_rows(tmp_path / "again").data.table.equals(read_rows(tmp_path / "pool").data.table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "pool"]


def test_batches_of_another_model_are_not_taken_over(pool, tiny_dit, tiny_codec, tmp_path, monkeypatch):
    from ddgs_hub.core import parts

    def fail(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parts, "staged_folder", fail)
        with pytest.raises(KeyboardInterrupt):
            generate_pool(tiny_dit, tiny_codec, tmp_path / "again", CLASSES, **SETTINGS)
    tiny_dit.proj_out_2.bias.data += 0.5
    generate_pool(tiny_dit, tiny_codec, tmp_path / "again", CLASSES, **SETTINGS)
    ours, other = (undecoded(read_rows(tmp_path / name))["image"][:] for name in ("again", "pool"))
    assert all(a["bytes"] != b["bytes"] for a, b in zip(ours, other, strict=True))


def test_classes_are_found_by_wnid_for_imagenet_and_travel_with_the_model(digits_folder, tmp_path):
    rows = read_rows(digits_folder)
    assert PoolClasses.of(rows, "dataset").dit_ids == list(range(10))
    with pytest.raises(InputError, match="class '0' has no wnid"):
        PoolClasses.of(rows, "imagenet")
    wnids = rows.remove_columns("wnid").add_column("wnid", ["n02086240"] * len(rows))
    assert PoolClasses.of(wnids, "imagenet").dit_ids == [155] * 10
    CLASSES.write(tmp_path)
    assert PoolClasses.read(tmp_path) == CLASSES
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no classes.json"):
        PoolClasses.read(tmp_path / "empty")
    with pytest.raises(InputError, match=r"cannot read classes.json of .*gone: .* neither a folder nor"):
        PoolClasses.read(tmp_path / "gone")
