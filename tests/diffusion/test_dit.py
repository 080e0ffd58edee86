import os

import pytest
import torch
from diffusers import DiTPipeline

from ddgs_hub.diffusion import add_difffit, load_dit, save_pipeline
from ddgs_hub.diffusion.dit import null_class, use_original_frequencies


def test_all_blocks_share_one_embedder_that_drops_nothing(tiny_dit):
    embedders = {id(block.norm1.emb) for block in tiny_dit.transformer_blocks}
    assert len(embedders) == 1
    z, t, labels = torch.randn(8, 4, 4, 4), torch.full((8,), 500), torch.zeros(8, dtype=torch.long)
    torch.testing.assert_close(tiny_dit.train()(z, t, labels).sample, tiny_dit.eval()(z, t, labels).sample)


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


def test_weights_are_for_whom_the_umask_lets(tiny_dit, tiny_codec, tmp_path):
    before = os.umask(0o027)  # safetensors by itself lets nobody but the owner read them
    try:
        save_pipeline(tiny_dit, tiny_codec.decoder, tmp_path / "dit", id2label={}, num_classes=3)
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "dit").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}


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


def test_original_frequencies_survive_a_stock_pipeline(tiny_dit, tiny_codec, tmp_path):
    z, t, labels = torch.randn(1, 4, 4, 4), torch.tensor([900]), torch.tensor([1])
    stock = tiny_dit(z, t, labels).sample
    original = use_original_frequencies(tiny_dit)(z, t, labels).sample
    save_pipeline(tiny_dit, tiny_codec.decoder, tmp_path, id2label={})
    torch.testing.assert_close(load_dit(tmp_path)(z, t, labels).sample, original, rtol=1e-5, atol=1e-6)
    pipeline = DiTPipeline.from_pretrained(tmp_path)
    torch.testing.assert_close(pipeline.transformer(z, t, labels).sample, stock, rtol=1e-5, atol=1e-6)
