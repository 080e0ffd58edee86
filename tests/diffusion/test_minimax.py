import pytest
import torch

from ddgs_hub.diffusion import MinimaxCriterion


def test_first_batch_has_nothing_to_compare_with_and_second_has():
    criterion = MinimaxCriterion(representativeness_weight=1.0, diversity_weight=1.0)
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[:, :, None, None]
    z_hat = torch.tensor([[1.0, 1.0], [1.0, 0.0]])[:, :, None, None].requires_grad_()
    assert [loss.item() for loss in criterion(z_hat, z, torch.tensor([4, 4]))] == [0, 0]
    again = torch.tensor([[0.0, 2.0]])[:, :, None, None].requires_grad_()
    representativeness, diversity = criterion(again, z[:1], torch.tensor([4]))
    assert representativeness.item() == pytest.approx(1 - 0)  # to the real (1, 0): cosine 0
    assert diversity.item() == pytest.approx(2**-0.5)  # to the generated (1, 1)
    (representativeness + diversity).backward()
    assert again.grad is not None


def test_losses_are_means_over_the_classes_present_weighted():
    criterion = MinimaxCriterion(representativeness_weight=0.5, diversity_weight=0.25)
    ones = torch.ones(1, 1, 1, 2)
    criterion(ones, ones, torch.tensor([0]))
    # Class 1 is new: its memory is empty and it counts with 0.
    representativeness, diversity = criterion(-torch.cat([ones, ones]), torch.cat([ones, ones]), torch.tensor([0, 1]))
    assert representativeness.item() == pytest.approx(0.5 * (1 + 1) / 2)
    assert diversity.item() == pytest.approx(0.25 * -1 / 2)


def test_memories_keep_the_last_in_order_and_no_gradient():
    criterion = MinimaxCriterion(memory_size=3)
    for k in range(5):
        z = torch.full((1, 1, 1, 1), float(k))
        criterion((z + 10).requires_grad_(), z, torch.tensor([0]))
    assert criterion.real_memory[0].flatten().tolist() == [2, 3, 4]
    assert criterion.generated_memory[0].flatten().tolist() == [12, 13, 14]
    assert not criterion.generated_memory[0].requires_grad
