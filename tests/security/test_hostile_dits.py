"""DiTs, adapters, autoencoders and checkpoints of strangers: each is refused in one sentence, at once."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel
from hostile_models import DEEP, DIGITS, damaged, edit, edited, lacking, pickled, refused, reshaped, spoilt, written
from model_cache import ModelCache
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_dit import tiny_autoencoder, tiny_dit

from benchmarks.published import PlainDiT
from ddgs_hub.core.checkpoints import Checkpoints
from ddgs_hub.diffusion import PoolClasses, add_difffit, load_autoencoder, load_dit, save_adapter, save_pipeline

WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
CLASSES = PoolClasses(names=["a", "c"], wnids=["n1", None], dit_ids=[0, 2])
BASE = "org/base"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Path:
    """The folder of a DiT of three classes with its autoencoder."""
    folder = tmp_path_factory.mktemp("pipeline")
    save_pipeline(tiny_dit(3), tiny_autoencoder(), folder, id2label={}, num_classes=3)
    return folder


def in_shards(file):
    """The weights in a file that an index names."""

    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"x": file}}))

    return change


COMPONENT = {  # what is wrong with a DiT as with an autoencoder
    "deep nesting": (written(DEEP), "config.json"),
    "6,000 digits": (written(f'{{"_class_name": {DIGITS}}}'), "config.json|it is 9"),
    "a list": (written("[]"), "config.json"),
    "class is a list": (edited(_class_name=["AutoencoderKL"]), "give one of"),
    "another class": (edited(_class_name="UNet2DModel"), "it is UNet2DModel: give one of"),
    "code of its own": (edited(auto_map={"AutoModel": "evil--code.Model"}), "code or weights beyond its own"),
    "quantized": (edited(quantization_config={"quant_method": "torchao"}), "code or weights beyond its own"),
    "NaN": (spoilt(float("nan"), WEIGHTS), "NaN or infinite"),
    "infinite": (spoilt(float("-inf"), WEIGHTS), "NaN or infinite"),
    "cut short": (damaged(WEIGHTS), "it is damaged"),
    "no weights": (written("nonsense", WEIGHTS), "it is damaged"),
    "weights are gone": (lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS),
    "a tensor is missing": (lacking(WEIGHTS), "has no weights for"),
    "a tensor of another shape": (reshaped(WEIGHTS), r"as \[3, 5\], its configuration as"),
    "weights in a file elsewhere": (in_shards(f"../../canary/transformer/{WEIGHTS}"), "weight_map"),
    "weights in no file": (in_shards("gone.safetensors"), "gone.safetensors"),
    "an index that is none": (lambda folder: in_shards("x")(folder) or written("[]", INDEX)(folder), INDEX),
    "objects": (pickled({"x": Path("x")}), "besides tensors it holds pathlib"),
    "claims of numbers": (pickled({"x": torch.zeros(1).expand(10**6, 10**6)}), "claims more numbers"),
    "sparse": (pickled({"x": torch.zeros(3, 3).to_sparse()}), "is no plain one"),
    "pickles in several files": (
        lambda folder: pickled({})(folder) or written("{}", "diffusion_pytorch_model.bin.index.json")(folder),
        "pickled in several files",
    ),
}
DIT = {
    **COMPONENT,
    "a million layers": (edited(num_layers=10**6), "'num_layers'"),
    "as many layers as may be": (edited(num_layers=1000), "more than its weights hold"),
    "wide": (edited(attention_head_dim=1024, num_attention_heads=256), "more than its weights hold"),
    "large latents": (edited(sample_size=10**6), "'sample_size'"),
    "negative layers": (edited(num_layers=-1), "'num_layers'"),
    "text for a number": (edited(num_layers="2"), "'num_layers'"),
    "another number of heads": (edited(num_attention_heads=3), "cannot load a DiT"),
    "no heads": (edited(num_attention_heads=0), "'num_attention_heads'"),
    "no activation": (edited(activation_fn="nonsense"), "cannot be used"),
    "another norm": (edited(norm_type="ada_norm"), "'norm_type'"),
    "a trillion classes": (edited(num_embeds_ada_norm=10**12), "'num_embeds_ada_norm'"),
    "classes that are none": (edited(num_embeds_ada_norm=None), "'num_embeds_ada_norm'"),
    "not all classes": (edited(num_embeds_ada_norm=2), "its configuration as"),
}
AUTOENCODER = {
    **COMPONENT,
    "a million layers": (edited(layers_per_block=10**6), "'layers_per_block'"),
    "as many layers as may be": (edited(layers_per_block=64, block_out_channels=[4096, 4096]), "more than its weights"),
    "many levels": (edited(block_out_channels=[8] * 1000), "'block_out_channels'"),
    "another number of levels": (edited(block_out_channels=[8, 8, 8]), "cannot load an autoencoder"),
    "a trillion channels": (edited(latent_channels=10**12), "'latent_channels'"),
    "blocks of another kind": (edited(down_block_types=["CrossAttnDownBlock2D"] * 2), "'down_block_types"),
    "no scale": (edited(scaling_factor=0), "'scaling_factor'"),
    "a negative scale": (edited(scaling_factor=-1.0), "'scaling_factor'"),
    "a scale that is text": (edited(scaling_factor="0.18"), "'scaling_factor'"),
    "a scale that is none": (written('{"_class_name": "AutoencoderKL", "scaling_factor": NaN}'), "config.json"),
    "one channel": (edited(in_channels=1), "'in_channels'"),
    "no groups": (edited(norm_num_groups=0), "'norm_num_groups'"),
    "groups that do not fit": (edited(norm_num_groups=3), "cannot be used"),
    "another autoencoder": (edited(_class_name="AutoencoderTiny"), "cannot load an autoencoder"),
}
PIPELINE = {
    "a part of another library": ({"transformer": ["evil", "DiTTransformer2DModel"]}, "'transformer' of a library"),
    "a part of no library": ({"vae": [5]}, "'vae' of a library"),
    "a custom pipeline": ({"custom_pipeline": "acme/pipeline"}, "code or weights beyond its own"),
}


def load(folder: Path, part: str) -> object:
    return load_dit(folder) if part == "transformer" else load_autoencoder(folder)


@pytest.mark.parametrize(
    ("part", "change", "because"),
    [
        pytest.param(part, *case, id=f"{part}-{name}")
        for part, cases in {"transformer": DIT, "vae": AUTOENCODER}.items()
        for name, case in cases.items()
    ],
)
def test_a_hostile_part_of_a_pipeline_is_refused(pipeline, tmp_path, part, change, because):
    canary = shutil.copytree(pipeline, tmp_path / "canary")
    folder = shutil.copytree(pipeline, tmp_path / "hostile")
    change(folder / part)
    refused(lambda: load(folder, part), because, canary=canary)


@pytest.mark.parametrize(("changes", "because"), PIPELINE.values(), ids=PIPELINE)
def test_a_pipeline_of_other_libraries_is_refused(pipeline, tmp_path, changes, because):
    folder = shutil.copytree(pipeline, tmp_path / "hostile")
    edit(folder / "model_index.json", **changes)
    refused(lambda: load_dit(folder), because)


def test_pickled_weights_of_tensors_alone_are_loaded_where_there_are_no_others(pipeline, tmp_path):
    """As those of the paper's base, facebook/DiT-XL-2-256, are; its class, and its attention, had other names then."""
    folder = shutil.copytree(pipeline, tmp_path / "old")
    path = folder / "vae" / WEIGHTS
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    save_file({re.sub("to_[qkv]|to_out.0", lambda m: old[m[0]], k): v for k, v in load_file(path).items()}, path)
    for part in ("transformer", "vae"):
        pickled({})(folder / part)
    edit(folder / "transformer/config.json", _class_name="Transformer2DModel")
    for part in ("transformer", "vae"):
        expected, found = load(pipeline, part).state_dict(), load(folder, part).state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def classes(**changes):
    values = {"names": ["a", "b"], "wnids": ["n01440764", None], "dit_ids": [0, 1], **changes}
    return json.dumps(values)


CLASSES_FILES = {
    "deep nesting": (DEEP, "classes.json"),
    "6,000 digits": (f'{{"names": ["a"], "wnids": [null], "dit_ids": [{DIGITS}]}}', "classes.json"),
    "a list": ("[]", "classes.json"),
    "unequal lengths": (classes(dit_ids=[0]), "2 names, 2 wnids and 1 indices"),
    "no classes": (classes(names=[], wnids=[], dit_ids=[]), "0 names"),
    "one index twice": (classes(dit_ids=[1, 1]), "'1' twice"),
    "one name twice": (classes(names=["a", "a"]), "'a' twice"),
    "a negative index": (classes(dit_ids=[-1, 0]), "'dit_ids.0'"),
    "an index out of range": (classes(dit_ids=[0, 10**9]), "'dit_ids.1'"),
    "an index that is text": (classes(dit_ids=["0", "1"]), "'dit_ids.0'"),
    "names that are numbers": (classes(names=[0, 1]), "'names.0'"),
    "a name of megabytes": (classes(names=["x" * 2**21, "b"]), "'names.0'"),
    "names are text": (classes(names="ab"), "'names'"),
}


@pytest.mark.parametrize(("text", "because"), CLASSES_FILES.values(), ids=CLASSES_FILES)
def test_hostile_classes_are_refused(tmp_path, text, because):
    (tmp_path / "classes.json").write_text(text)
    refused(lambda: PoolClasses.read(tmp_path), because)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> ModelCache:
    """The cache of the Hub; `org/base` is also the name of a folder in the working directory."""
    monkeypatch.chdir(tmp_path)
    return ModelCache(tmp_path / "hub", monkeypatch)


def change_adapter(path, tensors=(), metadata=(), without=()):
    """Writes an adapter again, with other tensors and other values in its configuration."""
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["ddgs_hub"])
    found = {name: tensor for name, tensor in load_file(path).items() if name not in without}
    text = metadata if isinstance(metadata, str) else json.dumps({**config, **dict(metadata)})
    save_file({**found, **dict(tensors)}, path, {"ddgs_hub": text})


BIAS = "proj_out_1.bias"
ADAPTER = {
    "deep nesting": ({"metadata": DEEP}, "its configuration cannot be used"),
    "6,000 digits": ({"metadata": f'{{"gamma_blocks": {DIGITS}}}'}, "its configuration"),
    "no JSON": ({"metadata": "{"}, "its configuration"),
    "negative blocks": ({"metadata": {"gamma_blocks": -1}}, "'gamma_blocks'"),
    "a billion blocks": ({"metadata": {"gamma_blocks": 10**9}}, "'gamma_blocks'"),
    "more blocks than the base": ({"metadata": {"gamma_blocks": 3}}, "scales for 3 blocks, its base has 2"),
    "fewer blocks than scales": ({"metadata": {"gamma_blocks": 0}}, "its tensor .*gamma' has shape"),
    "blocks are text": ({"metadata": {"gamma_blocks": "1"}}, "'gamma_blocks'"),
    "no fingerprint": ({"metadata": {"base_fingerprint": ""}}, "'base_fingerprint'"),
    "another base": ({"metadata": {"base_fingerprint": "0" * 32}}, "was trained on another DiT"),
    "a revision elsewhere": ({"metadata": {"base_revision": "../../x"}}, "'base_revision'"),
    "a revision with a command": ({"metadata": {"base_revision": "main; rm -rf"}}, "'base_revision'"),
    "a base that is a number": ({"metadata": {"base_model": 5}}, "'base_model'"),
    "classes of unequal length": (
        {"metadata": {"classes": {"names": ["a"], "wnids": [], "dit_ids": [0]}}},
        "1 names, 0 wnids",
    ),
    "classes that the base lacks": (
        {"metadata": {"classes": {"names": ["a"], "wnids": [None], "dit_ids": [900]}}},
        "class index 900, the DiT knows 0 … 2",
    ),
    "rows out of range": ({"tensors": {"class_rows": torch.tensor([0, 2, 4])}}, "class_rows are not different rows"),
    "negative rows": ({"tensors": {"class_rows": torch.tensor([0, -1, 3])}}, "class_rows are not different rows"),
    "one row twice": ({"tensors": {"class_rows": torch.tensor([0, 2, 2])}}, "class_rows are not different rows"),
    "rows that are a mask": ({"tensors": {"class_rows": torch.tensor([True] * 3)}}, "class_rows are not different"),
    "no rows": ({"without": ["class_rows"]}, "'class_rows' has shape none"),
    "empty rows": (
        {"tensors": {"class_rows": torch.zeros(0).long(), "class_table": torch.zeros(0, 16)}},
        "'class_rows' has shape",
    ),
    "rows that are no list": ({"tensors": {"class_rows": torch.tensor(0)}}, "'class_rows' has shape"),
    "a table of another width": ({"tensors": {"class_table": torch.zeros(3, 8)}}, r"'class_table' has shape \[3, 8\]"),
    "a table of fewer rows": ({"tensors": {"class_table": torch.zeros(2, 16)}}, r"'class_table' has shape \[2, 16\]"),
    "an unknown tensor": ({"tensors": {"x": torch.zeros(1)}}, "'x' has shape .* where its base has none"),
    "a weight that is not trained": (
        {"tensors": {"proj_out_1.weight": torch.zeros(32, 16)}},
        "'proj_out_1.weight' has shape",
    ),
    "a bias is missing": ({"without": [BIAS]}, f"'{BIAS}' has shape none"),
    "a bias of another shape": ({"tensors": {BIAS: torch.zeros(1)}}, f"'{BIAS}' has shape"),
    "NaN": ({"tensors": {BIAS: torch.full((32,), float("nan"))}}, f"'{BIAS}' has numbers that are NaN"),
    "an infinite row": ({"tensors": {"class_table": torch.full((3, 16), float("inf"))}}, "'class_table' has numbers"),
}


@pytest.fixture
def adapter(cache, pipeline, tmp_path) -> Path:
    """An adapter to be changed; its base is in the cache."""
    shutil.copytree(pipeline, cache.repository(BASE), dirs_exist_ok=True)
    path = tmp_path / "adapter.safetensors"
    save_adapter(add_difffit(copy.deepcopy(load_dit(pipeline))), path, classes=CLASSES, base_model=BASE)
    return path


@pytest.mark.parametrize(("changes", "because"), ADAPTER.values(), ids=ADAPTER)
def test_a_hostile_adapter_is_refused(adapter, changes, because):
    change_adapter(adapter, **changes)
    refused(lambda: load_dit(adapter), because)


def test_a_damaged_adapter_is_refused(adapter):
    adapter.write_bytes(adapter.read_bytes()[:-50])
    refused(lambda: load_dit(adapter), "it is damaged")


@pytest.mark.parametrize("base", ["{canary}", "../canary", "./canary", "canary", "canary/../canary", "~/x", "a/b/c"])
def test_the_base_of_an_adapter_is_never_a_path(adapter, pipeline, tmp_path, base):
    canary = shutil.copytree(pipeline, tmp_path / "canary")
    change_adapter(adapter, metadata={"base_model": base.format(canary=canary)})
    refused(lambda: load_dit(adapter), "is no Hub id: load it", canary=canary)


@pytest.mark.parametrize("base", ["acme/base", "acme/base.safetensors"])
def test_the_base_of_an_adapter_is_no_folder_that_has_the_name_of_a_repository(adapter, pipeline, tmp_path, base):
    canary = shutil.copytree(pipeline, tmp_path / "acme/base")
    shutil.copy(adapter, tmp_path / "acme/base.safetensors")
    change_adapter(adapter, metadata={"base_model": base})
    refused(lambda: load_dit(adapter), f"cannot load a DiT from {base}", canary=canary)
    change_adapter(adapter, metadata={"base_model": BASE})
    shutil.copytree(pipeline, tmp_path / BASE)
    spoilt(float("nan"), WEIGHTS)(tmp_path / BASE / "transformer")
    load_dit(adapter)  # of the cache


def test_an_adapter_whose_base_is_itself_is_refused(cache, adapter):
    change_adapter(adapter, metadata={"base_model": "org/self"})
    shutil.copy(adapter, cache.repository("org/self"))
    refused(lambda: load_dit(adapter), "adapter after adapter, more than 4: give a DiT as a base")
    refused(lambda: load_dit("org/self"), "adapter after adapter, more than 4")


PATCHES = "x_embedder.proj.weight"
CHECKPOINT = {
    "objects": ({"x": Path("x")}, "besides tensors it holds pathlib"),
    "claims of numbers": ({"pos_embed": torch.zeros(1).expand(1, 10**9, 384)}, "claims more numbers"),
    "positions of no width": ({"pos_embed": torch.zeros(1, 10**6, 0)}, "'pos_embed' has shape"),
    "patches of two dimensions": ({PATCHES: torch.zeros(384, 4)}, "has shape"),
    "no patches": ({PATCHES: torch.zeros(384, 4, 0, 0)}, "has shape"),
    "large patches": ({PATCHES: torch.zeros(384, 1, 64, 64)}, "no layers, no classes or no channels"),
    "no classes": ({"y_embedder.embedding_table.weight": torch.zeros(1, 384)}, "no classes"),
    "queries without keys": ({"blocks.0.attn.qkv.weight": torch.zeros(1, 384)}, "none of queries, keys and values"),
    "a number for queries": ({"blocks.0.attn.qkv.bias": torch.tensor(0.0)}, "none of queries, keys and values"),
    "many blocks of nothing": (
        {f"blocks.{k}.x": torch.zeros(1) for k in range(5_000)},
        "more than its weights|missing",
    ),
    "tensors without a place": ({"x": torch.zeros(1), "blocks.0": torch.zeros(1)}, "does not fit a DiT"),
    "keys that are numbers": ({5: torch.zeros(1), PATCHES: None}, "has no tensor"),
    "sparse": ({PATCHES: torch.zeros(384, 4, 2, 2).to_sparse()}, "cannot load a DiT"),
    "complex": ({"t_embedder.mlp.0.bias": torch.zeros(384, dtype=torch.complex64)}, "is no plain one"),
    "NaN": ({"t_embedder.mlp.0.bias": torch.full((384,), float("nan"))}, "NaN or infinite"),
    "scales of no block": ({"blocks.7.gamma1": torch.ones(384)}, "does not fit a DiT"),
}


@pytest.mark.parametrize(("changes", "because"), CHECKPOINT.values(), ids=CHECKPOINT)
def test_a_hostile_checkpoint_is_refused(tmp_path, changes, because):
    """Weights in the original format, some of them others; of None there are none."""
    weights = PlainDiT(hidden_size=384, depth=1, num_heads=6, num_classes=3, input_size=4).float().state_dict()
    path = tmp_path / "dit.pt"
    torch.save({name: value for name, value in {**weights, **changes}.items() if value is not None}, path)
    refused(lambda: load_dit(path), because)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x04.", b"PK\x03\x04"])
def test_a_damaged_checkpoint_of_a_training_is_passed_over(tmp_path, content):
    part = torch.nn.Linear(2, 2)
    checkpoints = Checkpoints(tmp_path, "key", {"part": part})
    checkpoints.save(1)
    (tmp_path / "step-2.pt").write_bytes(content)
    torch.save([1, 2], tmp_path / "step-3.pt")
    assert checkpoints.restore() == 1


def test_an_untouched_pipeline_loads(pipeline):
    assert isinstance(load_dit(pipeline), DiTTransformer2DModel)
    assert isinstance(load_autoencoder(pipeline), AutoencoderKL)
