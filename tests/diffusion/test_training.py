"""Batches, pre-training and fine-tuning on latents of a few synthetic images."""

import copy

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from changes import output, perturb

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import parquet_path, read_rows
from ddgs_hub.diffusion import LatentCache, add_difffit, finetune, pretrain
from ddgs_hub.diffusion.difffit import trained_parameters
from ddgs_hub.diffusion.latents import BatchSource
from ddgs_hub.diffusion.pixels import cropped_images, to_float
from ddgs_hub.recipe import FinetuneSettings, Pretraining


@pytest.fixture
def cache():
    """24 latents of three classes, each class around a mean of its own, plain and mirrored."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat(8)
    mean = torch.randn(3, 4, 4, 4, generator=generator)[labels] + 0.1 * torch.randn(24, 4, 4, 4, generator=generator)
    return LatentCache(torch.stack([mean, mean.flip(-1)]), torch.full((2, 24, 4, 4, 4), -6.0), labels)


def batch(cache, step):
    return BatchSource(cache=cache, batch_size=8, label_dropout=0.5, null_class=3, seed=7).draw(step)


def test_an_epoch_sees_every_image_once_and_the_next_in_another_order(cache):
    chosen = [np.random.default_rng([7, 0, epoch]).permutation(24) for epoch in range(2)]
    source = BatchSource(cache=cache, batch_size=8, label_dropout=0, null_class=3, seed=7)
    assert source.steps_per_epoch == 3
    for epoch in range(2):
        labels = torch.cat([batch(cache, 3 * epoch + k).labels for k in range(3)])
        assert labels.tolist() == cache.labels[chosen[epoch]].tolist()
    assert (chosen[0] != chosen[1]).any()


def test_processes_share_the_batch_that_one_would_have(cache):
    whole = batch(cache, 5)
    parts = [batch(cache, 5).share(rank, 3) for rank in range(3)]
    assert [len(part.labels) for part in parts] == [2, 3, 3]
    for name in ("z", "noise", "steps", "labels", "conditions"):
        together = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(together, getattr(whole, name), rtol=0, atol=0)


def test_dropped_labels_become_the_null_class_and_only_in_the_conditions(cache):
    drawn = [batch(cache, step) for step in range(40)]
    conditions, labels = (torch.cat([getattr(b, name) for b in drawn]) for name in ("conditions", "labels"))
    dropped = conditions == 3
    assert 0.4 < dropped.float().mean() < 0.6
    assert (conditions[~dropped] == labels[~dropped]).all()
    assert labels.max() == 2


def test_latents_are_drawn_from_the_posterior_of_both_views(cache):
    drawn = torch.cat([batch(cache, step).z for step in range(6)])
    distances = (drawn[:, None, None] - cache.mean[None]).flatten(3).std(dim=3)  # to every view of every image
    nearest = distances.flatten(1).min(1).values
    assert ((nearest > 0.02) & (nearest < 0.09)).all()  # e^(−6/2) = 0.05
    views = distances.amin(2).argmin(1)
    assert set(views.tolist()) == {0, 1}


def encode(rows, codec, folder, **changes):
    return LatentCache.encode(rows, codec, range(10, 20), folder, **{"image_size": 8, "flip": True, **changes})


def test_cache_holds_what_the_encoder_gives(tiny_codec, digits_folder, tmp_path):
    rows = read_rows(digits_folder).select(range(70))  # more than are encoded together
    encoded = encode(rows, tiny_codec, tmp_path)
    assert encoded.mean.shape == (2, 70, 4, 4, 4)
    assert encoded.labels.tolist() == [label + 10 for label in rows["label"]]
    images = to_float(cropped_images(rows, 8))
    for view, pixels in enumerate((images, images.flip(-1))):
        mean, log_variance = tiny_codec.encode(pixels)
        torch.testing.assert_close(encoded.mean[view], mean)
        torch.testing.assert_close(encoded.log_variance[view], log_variance)


def test_cache_on_disk_is_used_for_the_same_images_crop_and_encoder_only(tiny_codec, digits_folder, tmp_path):
    rows = read_rows(digits_folder).select(range(5))
    first = encode(rows, tiny_codec, tmp_path)
    [folder] = tmp_path.iterdir()
    assert pq.read_schema(parquet_path(folder)).names == ["label", "mean", "log_variance"]
    written = next(folder.rglob("*.parquet")).stat().st_mtime_ns
    again = encode(rows, tiny_codec, tmp_path)
    torch.testing.assert_close(again.mean, first.mean, rtol=0, atol=0)
    assert next(folder.rglob("*.parquet")).stat().st_mtime_ns == written
    encode(rows.select([0, 1, 2, 4, 3]), tiny_codec, tmp_path)
    encode(rows, tiny_codec, tmp_path, flip=False)
    encode(rows, tiny_codec, tmp_path, image_size=16)
    tiny_codec.encoder.quant_conv.bias.data += 0.1
    changed = encode(rows, tiny_codec, tmp_path)
    assert len(list(tmp_path.iterdir())) == 5
    assert not torch.allclose(changed.mean, first.mean)


def test_pretraining_learns_and_is_the_same_every_time(cache):
    training = Pretraining(
        hidden_size=16, depth=2, num_heads=2, steps=60, batch_size=8, learning_rate=3e-3, ema_decay=0.9
    )
    dit, losses = pretrain(cache, 3, training, seed=1, accelerator=Accelerator(cpu=True))
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])
    again, _ = pretrain(cache, 3, training, seed=1, accelerator=Accelerator(cpu=True))
    for a, b in zip(dit.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_finetuning_changes_what_difffit_trains_and_nothing_else(cache, tiny_dit):
    before = copy.deepcopy(tiny_dit).state_dict()
    recipe = FinetuneSettings(epochs=2, batch_size=8, ema_decay=0.5)
    dit, log = finetune(tiny_dit, cache, recipe, accelerator=Accelerator(cpu=True))
    assert len(log) == 6
    assert log[0]["representativeness"] == 0
    assert log[-1]["representativeness"] > 0
    trained = set(trained_parameters(dit))
    tied = ".norm1.emb."
    for name, tensor in dit.state_dict().items():
        if name in trained or tied in name:
            continue
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    changed = {name for name in trained if name in before and not torch.equal(dit.state_dict()[name], before[name])}
    assert changed == {name for name in trained if name in before}


def test_gammas_of_the_base_stay_in_force(cache, tiny_dit):
    """As of a Minimax checkpoint: folded, so that the new ones, which begin at 1, do not replace them."""
    add_difffit(tiny_dit)
    perturb(tiny_dit, [0, 1, 2, 3])
    before = output(tiny_dit)
    hardly = FinetuneSettings(epochs=1 / 3, batch_size=8, learning_rate=1e-12)
    finetune(tiny_dit, cache, hardly, accelerator=Accelerator(cpu=True))
    torch.testing.assert_close(output(tiny_dit), before, rtol=1e-5, atol=1e-6)


def test_batch_that_the_processes_cannot_share_is_refused(cache, tiny_dit, monkeypatch):
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(type(accelerator), "num_processes", property(lambda self: 3))
    with pytest.raises(InputError, match=r"finetune.batch_size 8 is not a multiple of the 3 processes"):
        finetune(tiny_dit, cache, FinetuneSettings(batch_size=8), accelerator=accelerator)
