import pytest
import torch
from diffusers import DiTPipeline

from ddgs_hub.diffusion import add_difffit, convert_original_checkpoint, load_dit, save_pipeline
from ddgs_hub.diffusion.dit import null_class, use_original_frequencies
from ddgs_hub.errors import InputError


def original_state_dict(hidden=16, depth=2, gammas=1):
    """A checkpoint in the original DiT's names, random."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "pos_embed": (1, 4, hidden),
        "x_embedder.proj": (hidden, 4, 2, 2),
        "t_embedder.mlp.0": (hidden, 256),
        "t_embedder.mlp.2": (hidden, hidden),
        "final_layer.linear": (32, hidden),
        "final_layer.adaLN_modulation.1": (2 * hidden, hidden),
    }
    for i in range(depth):
        shapes |= {
            f"blocks.{i}.attn.qkv": (3 * hidden, hidden),
            f"blocks.{i}.attn.proj": (hidden, hidden),
            f"blocks.{i}.mlp.fc1": (4 * hidden, hidden),
            f"blocks.{i}.mlp.fc2": (hidden, 4 * hidden),
            f"blocks.{i}.adaLN_modulation.1": (6 * hidden, hidden),
        }
    tensors = {"pos_embed": torch.zeros(shapes.pop("pos_embed"))}
    tensors["y_embedder.embedding_table.weight"] = torch.randn(4, hidden, generator=generator)
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = 0.1 * torch.randn(shape, generator=generator)
        tensors[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
    for i in range(gammas):
        for name, width in (
            ("gamma1", hidden),
            ("gamma2", hidden),
            ("attn.gamma1", 3 * hidden),
            ("attn.gamma2", hidden),
        ):
            tensors[f"blocks.{i}.{name}"] = torch.rand(width, generator=generator)
    return tensors


def test_all_blocks_share_one_embedder_that_drops_nothing(tiny_dit):
    embedders = {id(block.norm1.emb) for block in tiny_dit.transformer_blocks}
    assert len(embedders) == 1
    z, t, labels = torch.randn(8, 4, 4, 4), torch.full((8,), 500), torch.zeros(8, dtype=torch.long)
    torch.testing.assert_close(tiny_dit.train()(z, t, labels).sample, tiny_dit.eval()(z, t, labels).sample)


def test_checkpoint_file_of_the_original_format_is_loaded_with_its_ema(tmp_path):
    state_dict = original_state_dict(hidden=384, depth=1)
    torch.save({"ema": state_dict, "model": {}, "opt": {}}, tmp_path / "0012000.pt")
    dit = load_dit(tmp_path / "0012000.pt")
    assert dit.config.num_attention_heads == 6
    assert dit.config.num_embeds_ada_norm == 3
    torch.testing.assert_close(
        dit.transformer_blocks[0].attn1.to_k.weight, state_dict["blocks.0.attn.qkv.weight"][384:768]
    )
    torch.testing.assert_close(dit.transformer_blocks[0].attn1.to_v.gamma, state_dict["blocks.0.attn.gamma1"][768:])


def test_what_is_no_dit_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no tensor 'x_embedder.proj.weight'"):
        convert_original_checkpoint({"weight": torch.zeros(1)})
    with pytest.raises(InputError, match="give num_heads"):
        convert_original_checkpoint(original_state_dict())
    incomplete = original_state_dict()
    del incomplete["blocks.1.mlp.fc1.weight"]
    with pytest.raises(InputError, match=r"missing \['transformer_blocks.1.ff"):
        convert_original_checkpoint(incomplete, num_heads=2)
    with pytest.raises(InputError, match="cannot load a DiT"):
        load_dit(tmp_path)
    with pytest.raises(InputError, match="no checkpoint"):
        load_dit(tmp_path / "gone.pt")


@pytest.mark.parametrize("num_classes", [3, 1000])
def test_saved_pipeline_is_the_same_model_to_us(tiny_dit, tiny_codec, tmp_path, num_classes):
    add_difffit(tiny_dit)
    with torch.no_grad():
        tiny_dit.transformer_blocks[0].attn1.to_q.gamma *= 1.5
    save_pipeline(tiny_dit, tiny_codec.decoder, tmp_path, id2label={0: "a", 1: "b", 2: "c"}, num_classes=num_classes)
    again = load_dit(tmp_path)
    z, t = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 800])
    for labels, same in (([0, 2], [0, 2]), ([1, 3], [1, null_class(again)])):
        expected = tiny_dit(z, t, torch.tensor(labels), return_dict=False)[0]
        found = again(z, t, torch.tensor(same), return_dict=False)[0]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_stock_pipeline_runs_with_guidance_for_three_classes(tiny_dit, tiny_codec, tmp_path):
    save_pipeline(tiny_dit, tiny_codec.decoder, tmp_path, id2label={0: "a", 1: "b", 2: "c"})
    pipeline = DiTPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    ids = pipeline.get_label_ids(["c", "a"])
    assert ids == [2, 0]
    images = pipeline(
        ids, num_inference_steps=2, guidance_scale=4.0, generator=torch.manual_seed(0), output_type="np"
    ).images
    assert images.shape == (2, 8, 8, 3)
    other = pipeline(
        ids, num_inference_steps=2, guidance_scale=1.0, generator=torch.manual_seed(0), output_type="np"
    ).images
    assert abs(images - other).max() > 1e-3


def test_original_frequencies_differ_from_the_stock_ones(tiny_dit):
    z, t, labels = torch.randn(1, 4, 4, 4), torch.tensor([900]), torch.tensor([1])
    stock = tiny_dit(z, t, labels).sample
    assert not torch.allclose(use_original_frequencies(tiny_dit)(z, t, labels).sample, stock)
