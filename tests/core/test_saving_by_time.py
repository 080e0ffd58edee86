"""Checkpoints of a training that are saved by the clock."""

import torch

from ddgs_hub.core.checkpoints import Checkpoints


def test_a_state_is_saved_when_enough_time_has_passed_and_not_before(tmp_path):
    part = torch.nn.Linear(2, 2)
    checkpoints = Checkpoints(tmp_path, "key", {"part": part})
    checkpoints.save_when_due(1, 3600)
    assert checkpoints.restore() == 0
    checkpoints.save_when_due(2, 0)
    assert checkpoints.restore() == 2
    checkpoints.save_when_due(3, 3600)
    assert checkpoints.restore() == 2


def test_the_clock_starts_anew_with_each_save(tmp_path):
    checkpoints = Checkpoints(tmp_path, "key", {"part": torch.nn.Linear(2, 2)})
    checkpoints.saved_at -= 100
    checkpoints.save_when_due(1, 50)
    checkpoints.save_when_due(2, 50)
    assert checkpoints.restore() == 1
