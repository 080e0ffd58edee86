"""Makers of images: starts, rules that hold along the whole way, going on after a stop, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from matching_data import DM, IDC, embedding, network, real_images

from ddgs_hub.baselines import dm_learning, idc_learning, learn_dm, learn_idc, network_training
from ddgs_hub.baselines.early_networks import EarlyNetworks
from ddgs_hub.baselines.learnt import require_precision
from ddgs_hub.core.checkpoints import Checkpoints
from ddgs_hub.core.errors import InputError


def learn(method: str, folder: Path | None = None, **changes: Any) -> tuple[torch.Tensor, list[float]]:
    """Images and losses of a short learning; `changes` are settings, but for `real`, `ipc` and `seed`."""
    given = {key: changes.pop(key) for key in ("ipc", "seed") if key in changes}
    common = {"ipc": 2, "checkpoints": folder / "points" if folder else None, **given}
    real = changes.pop("real", None) or real_images()
    if method == "dm":
        return learn_dm(real, replace(DM, **changes), embedding, **common)
    networks = folder / "networks" if folder else None
    return learn_idc(real, replace(IDC, **changes), network, **common, early_networks=networks)


METHODS = pytest.mark.parametrize("method", ["dm", "idc-1"])


@METHODS
def test_images_are_in_range_and_every_step_has_a_loss(method):
    images, losses = learn(method)
    assert images.shape == (3, 2, 3, 16, 16)
    assert 0 <= images.min() < images.max() <= 1
    assert len(losses) == (6 if method == "dm" else 4)
    assert min(losses) > 0


@METHODS
def test_equal_seeds_make_equal_images_and_others_do_not(method):
    first = learn(method)
    torch.rand(5)
    assert torch.equal(learn(method)[0], first[0])
    assert learn(method)[1] == first[1]
    assert not torch.equal(learn(method, seed=1)[0], first[0])


def test_dm_starts_at_random_real_images_none_twice():
    real = real_images((5, 3, 6))
    starts = [learn("dm", real=real, lr=1e-12, steps=1, ipc=3, seed=seed)[0] for seed in range(3)]
    for images in starts:
        for label in range(3):
            own = real.images[real.labels == label].float() / 255
            rows = [int((own - image).abs().amax((1, 2, 3)).argmin()) for image in images[label]]
            torch.testing.assert_close(images[label], own[rows], atol=1e-6, rtol=0)
            assert len(set(rows)) == 3
    assert not torch.equal(starts[0], starts[1])


def test_idc_starts_at_the_first_images_of_each_class():
    real = real_images()
    images, _ = learn("idc-1", real=real, lr_images=1e-12, outer_iterations=1, inner_loop=1)
    for label in range(3):
        torch.testing.assert_close(images[label], real.images[real.labels == label][:2].float() / 255)


class StoppedError(Exception):
    pass


def stop_at_save(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Ends the learning right after its save number `number`, as a kill would; the steps that were saved."""
    saved, save = [], Checkpoints.save

    def counted(self: Checkpoints, step: int) -> None:
        save(self, step)
        saved.append(step)
        if len(saved) == number:
            raise StoppedError

    monkeypatch.setattr(Checkpoints, "save", counted)
    return saved


@METHODS
@pytest.mark.parametrize("number", range(1, 7))
def test_a_learning_that_was_stopped_anywhere_ends_with_the_same_images(method, number, tmp_path, monkeypatch):
    expected = learn(method)
    with monkeypatch.context() as patch:
        stop_at_save(patch, number)
        with pytest.raises(StoppedError):
            learn(method, tmp_path)
    saved = stop_at_save(monkeypatch, 0)
    images, losses = learn(method, tmp_path)
    assert torch.equal(images, expected[0])
    assert losses == expected[1]
    assert saved == list(range(number + 1, 7 if method == "dm" else 13))  # 2 · (4 batches of early training + 2 turns)


@METHODS
def test_checkpoints_of_other_settings_or_images_are_not_taken_over(method, tmp_path):
    momentum = "momentum" if method == "dm" else "momentum_images"
    learn(method, tmp_path)
    for changes in ({momentum: 0.25}, {"seed": 3}, {"ipc": 1}, {"real": real_images((5, 4, 6))}):
        assert torch.equal(learn(method, tmp_path, **changes)[0], learn(method, **changes)[0])


def test_early_networks_are_trained_once_and_taken_in_turn(tmp_path, monkeypatch):
    steps, step = [], network_training.NetworkTraining.step

    def noted(self: network_training.NetworkTraining, position: int, *key: int) -> None:
        steps.append((position, *key[1:]))
        step(self, position, *key)

    monkeypatch.setattr(network_training.NetworkTraining, "step", noted)
    kept = {"early_networks": 2, "outer_iterations": 3, "lr_images": 0.5}
    images, _ = learn("idc-1", tmp_path, **kept)
    early = [entry for entry in steps if entry[1] == network_training.Purpose.EARLY]
    assert early == [(batch, network_training.Purpose.EARLY, number) for number in range(2) for batch in range(4)]
    # A set of another size takes the same networks; without the folder they are made again, and are the same.
    steps.clear()
    learn("idc-1", tmp_path, ipc=1, **kept)
    assert not [entry for entry in steps if entry[1] == network_training.Purpose.EARLY]
    assert torch.equal(learn("idc-1", tmp_path / "elsewhere", **kept)[0], images)
    assert not torch.equal(learn("idc-1", **{**kept, "early_networks": None})[0], images)


def test_a_kept_network_is_in_the_state_after_its_early_training_each_time(tmp_path, monkeypatch):
    begun, begin = [], idc_learning._Work._begin

    def noted(self: idc_learning._Work, iteration: int) -> None:
        begin(self, iteration)
        weights = torch.cat([weight.detach().flatten() for weight in self.training.network.parameters()])
        momentum = [state["momentum_buffer"].clone() for state in self.training.optimizer.state.values()]
        begun.append((weights, momentum))

    monkeypatch.setattr(idc_learning._Work, "_begin", noted)
    learn("idc-1", tmp_path, early_networks=2, outer_iterations=3)
    (first, momentum), (second, _), (third, again) = begun
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(momentum, again, strict=True))


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:500])])
def test_a_kept_network_that_is_lost_or_damaged_is_trained_again(damage, tmp_path):
    training = network_training.NetworkTraining(real_images(), IDC, network, 0, Accelerator(cpu=True))
    kept = EarlyNetworks(tmp_path, training, 2)
    kept.train()
    [stored] = tmp_path.glob("*-1/step-4.pt")
    whole = torch.load(stored)
    for path in list(stored.parent.iterdir()):
        damage(path)
    kept.load(0)
    kept.load(1)
    for state in (torch.load(stored), {name: part.state_dict() for name, part in training.parts().items()}):
        torch.testing.assert_close(state["network"], whole["network"], rtol=0, atol=0)
        torch.testing.assert_close(state["optimizer"]["state"], whole["optimizer"]["state"], rtol=0, atol=0)


def test_more_images_than_a_step_takes_are_drawn_for_it(monkeypatch):
    taken, step = [], idc_learning.idc_step

    def noted(learnt: Any, label: int, rows: torch.Tensor, *rest: Any, **named: Any) -> Any:
        taken.append((label, tuple(rows.tolist())))
        return step(learnt, label, rows, *rest, **named)

    monkeypatch.setattr(idc_learning, "idc_step", noted)
    learn("idc-1", ipc=3, batch_synthetic=2, inner_loop=20, outer_iterations=1, early=0)
    assert all(len(set(rows)) == 2 for _, rows in taken)
    assert {row for _, rows in taken for row in rows} == {0, 1, 2}
    assert len({rows for label, rows in taken if label == 0}) > 2


def test_a_draw_of_dm_is_of_one_class_and_step():
    real = real_images()
    drawn = [
        dm_learning._drawn(real, replace(DM, strategy=["crop"]), 0, step, dm_learning.Shares()) for step in range(8)
    ]
    shifts = [[tuple(draw.crop[0].tolist()) for draw in draws] for _, draws in drawn]
    assert len({shift for step in shifts for shift in step}) > 8
    assert any(len(set(step)) > 1 for step in shifts)
    assert [len(batch) for batch in drawn[0][0]] == [4, 3, 4]


@METHODS
@pytest.mark.parametrize(
    ("ipc", "message"),
    [
        (4, "b has 3 images, fewer than the 4 per class to start from: lower ipc or leave the class out"),
        (0, "ipc is 0: give the number of images per class, at least 1"),
    ],
)
def test_a_number_of_images_that_cannot_be_is_refused(method, ipc, message):
    with pytest.raises(InputError, match=message):
        learn(method, ipc=ipc)


def test_early_networks_without_a_folder_are_refused():
    with pytest.raises(InputError, match=r"idc\.early_networks is 2: give a folder"):
        learn("idc-1", early_networks=2)


def test_half_precision_is_refused():
    accelerator = Accelerator(cpu=True)
    require_precision(accelerator)
    accelerator.state._mixed_precision = "fp16"
    try:
        with pytest.raises(InputError, match="images are learnt in float32 or bfloat16, not in fp16"):
            require_precision(accelerator)
    finally:
        accelerator.state._mixed_precision = "no"


def test_real_images_are_ordered_by_class_and_keep_their_order_within():
    real = real_images((2, 2, 3))
    assert real.labels.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert [real.first_row(label) for label in range(3)] == [0, 2, 4]
    rows = torch.tensor([4, 1])
    expected = (real.images[rows].double() / 255 - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor(
        [0.2, 0.3, 0.4]
    )[:, None, None]
    torch.testing.assert_close(real.normalized(rows).double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(real.unnormalize(real.normalized(rows)), real.floats(rows))
