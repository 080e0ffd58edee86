"""A fine-tuning that is interrupted goes on from its last checkpoint and ends with the same weights."""

import copy
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from ddgs_hub.diffusion import LatentCache, finetune
from ddgs_hub.diffusion.difffit import trained_parameters
from ddgs_hub.diffusion.latents import BatchSource
from ddgs_hub.recipe import FinetuneSettings

RECIPE = FinetuneSettings(epochs=5, batch_size=8, ema_decay=0.9, memory_size=4, save_every=3)  # 15 steps


@pytest.fixture
def cache() -> LatentCache:
    """24 latents of three classes."""
    mean = torch.randn(1, 24, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    return LatentCache(mean, torch.full_like(mean, -4.0), torch.arange(3).repeat(8))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What steps were drawn, and before which one the power is cut."""
    record = {"steps": [], "cut": None}
    draw = BatchSource.draw

    def recorded(self, step):
        if step == record["cut"]:
            raise KeyboardInterrupt
        record["steps"].append(step)
        return draw(self, step)

    monkeypatch.setattr(BatchSource, "draw", recorded)
    return record


def tune(dit, cache, folder: Path | None, recipe: FinetuneSettings = RECIPE):
    return finetune(copy.deepcopy(dit), cache, recipe, accelerator=Accelerator(cpu=True), checkpoints=folder)


def interrupt(dit, cache, folder: Path, drawn, before: int) -> list[str]:
    """Cuts the power before a step; the names of the checkpoints that are left."""
    drawn["cut"] = before
    with pytest.raises(KeyboardInterrupt):
        tune(dit, cache, folder)
    drawn["cut"], drawn["steps"] = None, []
    return sorted(path.name for path in folder.iterdir())


def assert_same(found, expected) -> None:
    (dit, log), (other, other_log) = found, expected
    assert log == other_log
    for ours, theirs in zip(trained_parameters(dit).values(), trained_parameters(other).values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_interrupted_twice_it_ends_with_the_same_weights_and_losses(tiny_dit, cache, drawn, tmp_path):
    expected = tune(tiny_dit, cache, None)
    assert interrupt(tiny_dit, cache, tmp_path / "c", drawn, before=8) == ["step-3.pt", "step-6.pt"]
    assert interrupt(tiny_dit, cache, tmp_path / "c", drawn, before=13) == ["step-12.pt", "step-9.pt"]
    assert_same(tune(tiny_dit, cache, tmp_path / "c"), expected)
    assert drawn["steps"] == [12, 13, 14]


def test_checkpoint_that_was_cut_short_is_passed_over(tiny_dit, cache, drawn, tmp_path):
    expected = tune(tiny_dit, cache, None)
    interrupt(tiny_dit, cache, tmp_path / "c", drawn, before=8)
    newest = tmp_path / "c" / "step-6.pt"
    newest.write_bytes(newest.read_bytes()[:5000])
    assert_same(tune(tiny_dit, cache, tmp_path / "c"), expected)
    assert drawn["steps"] == list(range(3, 15))


def test_checkpoints_of_another_training_are_not_taken_over(tiny_dit, cache, drawn, tmp_path):
    interrupt(tiny_dit, cache, tmp_path / "c", drawn, before=8)
    tiny_dit.proj_out_2.weight.data += 0.01
    assert_same(tune(tiny_dit, cache, tmp_path / "c"), tune(tiny_dit, cache, None))
    assert drawn["steps"] == [*range(15), *range(15)]
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_how_often_is_saved_does_not_begin_a_training_anew(tiny_dit, cache, drawn, tmp_path):
    expected = tune(tiny_dit, cache, None)
    interrupt(tiny_dit, cache, tmp_path / "c", drawn, before=8)
    often = FinetuneSettings(epochs=5, batch_size=8, ema_decay=0.9, memory_size=4, save_every=1)
    assert_same(tune(tiny_dit, cache, tmp_path / "c", often), expected)
    assert drawn["steps"][0] == 6
