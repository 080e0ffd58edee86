import copy

import pytest
import torch
from safetensors.torch import load_file

from ddgs_hub.diffusion import add_difffit, fold_difffit, load_adapter, save_adapter
from ddgs_hub.diffusion.difffit import CLASS_TABLE, trained_parameters
from ddgs_hub.errors import InputError

INPUT = torch.linspace(-1, 1, 2 * 4 * 4 * 4).view(2, 4, 4, 4), torch.tensor([7, 900]), torch.tensor([0, 2])


def output(dit):
    with torch.inference_mode():
        return dit(*INPUT, return_dict=False)[0]


def perturb(dit, class_rows):
    """Changes every trained tensor, of the class table some rows only."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in trained_parameters(dit).items():
            change = 0.1 * torch.randn(parameter.shape, generator=generator)
            if name == CLASS_TABLE:
                parameter[class_rows] += change[class_rows]
            else:
                parameter += change


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


def test_adapter_holds_what_was_trained_and_restores_it_to_the_last_bit(tiny_dit, tmp_path):
    base = copy.deepcopy(tiny_dit)
    add_difffit(tiny_dit)
    perturb(tiny_dit, [0, 2, 3])
    path = tmp_path / "adapter.safetensors"
    save_adapter(tiny_dit, path, class_ids=[0, 2], base_model="org/base")
    tensors = load_file(path)
    assert tensors["class_rows"].tolist() == [0, 2, 3]  # the used classes and the null class
    assert set(tensors) - {"class_rows", "class_table"} == set(trained_parameters(tiny_dit)) - {CLASS_TABLE}
    torch.testing.assert_close(output(load_adapter(base, path)), output(tiny_dit), rtol=0, atol=0)


def test_adapter_of_another_model_is_refused(tiny_dit, tmp_path):
    add_difffit(tiny_dit)
    save_adapter(tiny_dit, tmp_path / "a.safetensors")
    wider = copy.deepcopy(tiny_dit)
    wider.transformer_blocks[0].norm1.linear.bias = torch.nn.Parameter(torch.zeros(2, 3))
    with pytest.raises(InputError, match="does not fit this DiT at"):
        load_adapter(wider, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not an adapter"):
        load_adapter(tiny_dit, tmp_path / "b.safetensors")
