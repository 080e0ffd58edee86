import torch
from changes import output, perturb

from ddgs_hub.diffusion import add_difffit, fold_difffit
from ddgs_hub.diffusion.difffit import CLASS_TABLE, trained_parameters


def test_fresh_gammas_change_nothing_and_only_the_listed_tensors_train(tiny_dit):
    before = output(tiny_dit)
    add_difffit(tiny_dit)
    torch.testing.assert_close(output(tiny_dit), before, rtol=0, atol=0)
    names = set(trained_parameters(tiny_dit))
    assert all(name.endswith(("bias", "gamma")) or name == CLASS_TABLE for name in names)
    assert (
        sum(name.endswith("gamma") for name in names) == 6
    )  # q, k, v, projection, and a branch each, in one of two blocks
    assert not any(name.startswith("transformer_blocks.1") and name.endswith("gamma") for name in names)
    weights = [name for name, p in tiny_dit.named_parameters() if p.requires_grad and name.endswith("weight")]
    assert weights == [CLASS_TABLE]


def test_folding_keeps_the_outputs_and_leaves_no_gamma(tiny_dit):
    add_difffit(tiny_dit)
    perturb(tiny_dit, [0, 1, 2, 3])
    before = output(tiny_dit)
    folded = fold_difffit(tiny_dit)
    torch.testing.assert_close(output(folded), before, rtol=1e-5, atol=1e-6)
    assert not any("gamma" in name for name in folded.state_dict())
