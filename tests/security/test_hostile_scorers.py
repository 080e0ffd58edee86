"""Scorers of strangers: each is refused in one sentence, at once; no file of others, and no server, is asked."""

import contextlib
import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from hostile_models import DEEP, DIGITS, damaged, edit, edited, lacking, refused, reshaped, spoilt, written
from safetensors.torch import load_file, save_file

from ddgs_hub.core.errors import InputError
from ddgs_hub.difficulty import Scorer


def timm_data(**changes):
    """Changes what timm makes images of."""

    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["pretrained_cfg"].update(changes)
        (folder / "config.json").write_text(json.dumps(config))

    return change


def only_pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def pickled_beside(folder):
    only_pickled(folder)
    save_file({"x": torch.zeros(1)}, folder / "other.safetensors")


def lying_header(folder):
    (folder / "model.safetensors").write_bytes((2**60).to_bytes(8, "little") + b"{}")


def strange_numbers(folder):
    header = json.dumps({"x": {"dtype": "C64", "shape": [2], "data_offsets": [0, 16]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))


TIMM = {
    "deep nesting": (written(DEEP), "no readable config.json"),
    "6,000 digits": (written(f'{{"architecture": "test_resnet", "num_classes": {DIGITS}}}'), "config.json"),
    "a list": (written("[]"), "no readable config.json"),
    "no text": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), "no readable config.json"),
    "architecture is a number": (edited(architecture=5), "timm has no model '5'"),
    "architecture is a list": (edited(architecture=["test_resnet"]), "timm has no model"),
    "architecture on the Hub": (edited(architecture="hf-hub:acme/other"), "timm has no model 'hf-hub:acme/other'"),
    "architecture at an address": (edited(architecture="https://evil.example/x"), "timm has no model"),
    "weights elsewhere": (edited(model_args={"checkpoint_path": "/etc/passwd"}), "'checkpoint_path' in model_args"),
    "weights left out": (edited(model_args={"pretrained_strict": False}), "'pretrained_strict' in model_args"),
    "another configuration": (edited(model_args={"pretrained_cfg_overlay": {}}), "in model_args"),
    "arguments are text": (edited(model_args="text"), "no arguments"),
    "arguments of no model": (edited(model_args={"no_such_argument": 1}), "no_such_argument"),
    "a million layers": (
        edited(architecture="vit_tiny_patch16_224", model_args={"depth": 10**6}),
        "1000000 for 'depth', more than the",
    ),
    "a million layers in stages": (edited(model_args={"layers": [10**6, 1, 1, 1]}), "for 'layers', more than the"),
    "a long list of stages": (edited(model_args={"layers": [1] * 10**5}), "for 'layers', more than the"),
    "layers by a factor": (
        edited(architecture="efficientnet_b0", model_args={"depth_multiplier": 1e6}),
        "for 'depth_multiplier', more than the",
    ),
    "wide": (
        edited(architecture="vit_tiny_patch16_224", model_args={"embed_dim": 2**19, "num_heads": 1}),
        "asks for more than its weights hold",
    ),
    "too wide to count": (edited(model_args={"stem_width": 10**15}), "1e\\+15 for 'stem_width'"),
    "another model": (edited(architecture="vit_large_patch16_224"), "asks for more than its weights hold"),
    "images of a million pixels a side": (timm_data(input_size=[3, 10**6, 10**6]), "for 'input_size'"),
    "one channel": (edited(model_args={"in_chans": 1}), "input_size|cannot classify images"),
    "text for sizes": (timm_data(input_size="large"), "cannot load the scorer"),
    "a tiny crop": (timm_data(crop_pct=1e-9), "crop_pct"),
    "a crop that is text": (timm_data(crop_pct="0.9"), "crop_pct"),
    "two means": (timm_data(mean=[0.5, 0.5]), "mean"),
    "no deviation": (timm_data(std=[0.2, 0, 0.2]), "std"),
    "an infinite mean": (timm_data(mean=[float("inf"), 0, 0]), "config.json"),
    "a mean that is none": (timm_data(mean=[float("nan"), 0, 0]), "config.json"),
    "an unknown interpolation": (timm_data(interpolation="nonsense"), "nonsense"),
    "an unknown crop": (timm_data(crop_mode="everything"), "crop_mode"),
    "no preprocessing": (edited(pretrained_cfg="text"), "cannot load the scorer"),
    "two numbers of classes": (edited(num_classes=7), "two numbers of classes"),
    "one class": (edited(num_classes=1), "num_classes"),
    "nine names": (edited(label_names=[str(k) for k in range(9)]), "10 classes and 9 names"),
    "names that are numbers": (edited(label_names=list(range(10))), "label_names"),
    "a name of megabytes": (edited(label_names=["x" * 2**21] * 10), "config.json|label_names"),
    "descriptions that are numbers": (edited(label_descriptions={"0": 5}), "label_descriptions"),
    "several labels an image": (
        edited(problem_type="multi_label_classification"),
        "does not choose one class of several",
    ),
    "code of its own": (edited(auto_map={"AutoModel": "evil--code.Model"}), "code or weights beyond its own"),
    "a type of numbers that torch lacks": (strange_numbers, "'x' is of a type that is not read|it is damaged"),
    "cut short": (damaged(), "it is damaged"),
    "no weights": (written("nonsense", "model.safetensors"), "it is damaged"),
    "a header that lies": (lying_header, "it is damaged"),
    "NaN": (spoilt(float("nan")), "has numbers that are NaN or infinite"),
    "infinite": (spoilt(float("inf")), "has numbers that are NaN or infinite"),
    "a tensor is missing": (lacking(), "Missing key"),
    "a tensor of another shape": (reshaped(), "cannot load the scorer"),
    "pickled": (only_pickled, "no safetensors weights"),
    "pickled beside": (pickled_beside, "several files of weights"),
}


def test_the_watch_sees_what_is_opened_and_asked_for(tmp_path):
    (tmp_path / "secret").write_text("x")

    def opens():
        (tmp_path / "secret").read_text()
        raise InputError("no")

    def asks():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        raise InputError("no")

    for load in (opens, asks):
        with pytest.raises(AssertionError):
            refused(load, "no", canary=tmp_path)


@pytest.fixture
def scorer(timm_folder, tmp_path):
    """A timm scorer to be changed."""
    return shutil.copytree(timm_folder, tmp_path / "scorer")


@pytest.mark.parametrize(("change", "because"), TIMM.values(), ids=TIMM)
def test_a_hostile_timm_scorer_is_refused(scorer, change, because):
    change(scorer)
    refused(lambda: Scorer.from_pretrained(scorer), because)


def test_a_scorer_never_leads_to_another_folder(timm_folder, scorer, tmp_path):
    canary = shutil.copytree(timm_folder, tmp_path / "canary")
    edit(scorer / "config.json", architecture=f"local-dir:{canary}")
    refused(lambda: Scorer.from_pretrained(scorer), "timm has no model 'local-dir:", canary=canary)


def test_where_timm_is_told_to_get_weights_does_not_matter(timm_folder, scorer, tmp_path):
    """The keys are legitimate, in timm's registry; of a folder timm takes what lies in it."""
    canary = shutil.copytree(timm_folder, tmp_path / "canary")
    spoilt(float("nan"))(canary)
    elsewhere = {"file": str(canary / "model.safetensors"), "url": "https://evil.example/x.pth", "source": "file"}
    timm_data(**elsewhere, hf_hub_id="acme/other", hf_hub_filename="x.bin", custom_load=True)(scorer)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    expected = Scorer.from_pretrained(timm_folder).logits(images)
    torch.testing.assert_close(Scorer.from_pretrained(scorer).logits(images), expected)


def test_a_scorer_that_cannot_run_is_refused_when_it_is_loaded(timm_folder, scorer):
    import timm

    weights = load_file(scorer / "model.safetensors")
    weights["fc.weight"] = torch.full_like(weights["fc.weight"], 3e38)  # finite, but what it gives is not
    save_file(weights, scorer / "model.safetensors")
    refused(lambda: Scorer.from_pretrained(scorer), "gives logits that are no numbers")
    shutil.rmtree(scorer)
    small = {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 1, "num_classes": 10}
    model = timm.create_model("vit_tiny_patch16_224", **small, pretrained_cfg_overlay={"input_size": (3, 32, 32)})
    timm.models.save_for_hf(model, scorer, model_args=small, safe_serialization=True)
    Scorer.from_pretrained(scorer)
    timm_data(input_size=[3, 48, 48], fixed_input_size=False)(scorer)
    refused(lambda: Scorer.from_pretrained(scorer), "cannot classify images")


@pytest.fixture(scope="session")
def transformers_scorer(tmp_path_factory):
    """A transformers classifier of ten classes with random weights, and its image processor."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

    folder = tmp_path_factory.mktemp("transformers")
    names = {k: f"number {k}" for k in range(10)}
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=10, id2label=names)
    ResNetForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875).save_pretrained(folder)
    return folder


def processing(**changes):
    """Changes values of `preprocessor_config.json`."""
    return lambda folder: edit(folder / "preprocessor_config.json", **changes)


def in_shards(file):
    """The weights in a file that an index names."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "other.safetensors")
        index = {"metadata": {}, "weight_map": {"classifier.1.weight": file}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return change


def wrapped(**changes):
    """A configuration of transformers' wrapper of timm models."""
    return lambda folder: (folder / "config.json").write_text(
        json.dumps({"model_type": "timm_wrapper", "architecture": "test_resnet", "num_classes": 10, **changes})
    )


TRANSFORMERS = {
    "deep nesting": (written(DEEP), "no readable config.json"),
    "deep nesting inside": (written(f'{{"model_type": "resnet", "depths": {DEEP}}}'), "no readable config.json"),
    "model_type is a number": (edited(model_type=5), "cannot load the scorer"),
    "unknown model_type": (edited(model_type="no_such_model"), "no_such_model"),
    "code of its own": (edited(auto_map={"AutoConfig": "evil--code.Config"}), "code or weights beyond its own"),
    "code of its own for images": (
        processing(auto_map={"AutoImageProcessor": "evil--code.Processor"}),
        "code or weights beyond its own",
    ),
    "a kernel of its own": (edited(attn_implementation="acme/kernel"), "code or weights beyond its own"),
    "quantized": (edited(quantization_config={"quant_method": "fp8"}), "code or weights beyond its own"),
    "weights elsewhere": (edited(transformers_weights="../x.safetensors"), "code or weights beyond its own"),
    "a backbone of the Hub": (edited(backbone="acme/x", use_pretrained_backbone=True), "beyond its own"),
    "a backbone inside": (edited(backbone_config={"use_pretrained_backbone": True}), "beyond its own"),
    "an adapter": (written('{"base_model_name_or_path": "acme/x"}', "adapter_config.json"), "it is an adapter"),
    "a million layers": (edited(depths=[10**6, 1]), "for 'depths', more than the"),
    "wide": (edited(hidden_sizes=[2**19, 2**19]), "more than its weights hold"),
    "a trillion classes": (edited(num_labels=10**12), "1e\\+12 for 'num_labels'"),
    "text for a number": (edited(embedding_size="8"), "cannot load the scorer"),
    "one channel": (edited(num_channels=1), "cannot load the scorer"),
    "several labels an image": (edited(problem_type="multi_label_classification"), "does not choose one class"),
    "a regression": (edited(problem_type="regression"), "does not choose one class"),
    "nine names": (edited(id2label={str(k): "x" for k in range(9)}), "cannot load the scorer"),
    "names without numbers": (edited(id2label={"a": "b"}), "cannot load the scorer"),
    "names that leave one out": (edited(id2label={str(k): "x" for k in range(1, 11)}), "not 0 … 9"),
    "names that are numbers": (edited(id2label={str(k): k for k in range(10)}), "id2label"),
    "images of a million pixels a side": (processing(size={"shortest_edge": 10**6}), "for 'shortest_edge'"),
    "a tiny crop": (processing(crop_pct=1e-9), "crop_pct"),
    "no deviation": (processing(image_std=[0, 0, 0]), "image_std"),
    "two means": (processing(image_mean=[0.5, 0.5]), "image_mean"),
    "an infinite factor": (processing(rescale_factor=float("inf")), "preprocessor_config.json"),
    "an unknown processor": (processing(image_processor_type="NoSuchProcessor"), "cannot load the scorer"),
    "text for sizes": (processing(size="large"), "cannot load the scorer"),
    "processing is no object": (written("5", "preprocessor_config.json"), "preprocessor_config.json"),
    "no processing": (
        lambda folder: (folder / "preprocessor_config.json").unlink() or edit(folder / "config.json", model_type="cvt"),
        "cannot load the scorer",
    ),
    "weights in a file elsewhere": (in_shards("../canary/model.safetensors"), "weight_map"),
    "weights in a hidden file": (in_shards("..safetensors"), "weight_map"),
    "weights in no file": (in_shards("gone.safetensors"), "it is damaged"),
    "an index that is none": (
        lambda folder: in_shards("x")(folder) or written("[]", "model.safetensors.index.json")(folder),
        "model.safetensors.index.json",
    ),
    "NaN": (spoilt(float("nan")), "has numbers that are NaN or infinite"),
    "cut short": (damaged(), "it is damaged"),
    "a tensor is missing": (lacking(), "no weights for"),
    "a tensor of another shape": (reshaped(), "cannot load the scorer"),
    "timm's model on the Hub": (wrapped(architecture="hf-hub:acme/other"), "timm has no model"),
    "timm's weights elsewhere": (wrapped(model_args={"checkpoint_path": "/etc/passwd"}), "in model_args"),
    "timm's images of a million pixels": (
        wrapped(pretrained_cfg={"input_size": [3, 10**6, 10**6]}),
        "for 'input_size'",
    ),
    "timm's model of other weights": (wrapped(), "cannot load the scorer"),
}


@pytest.mark.parametrize(("change", "because"), TRANSFORMERS.values(), ids=TRANSFORMERS)
def test_a_hostile_transformers_scorer_is_refused(transformers_scorer, tmp_path, change, because):
    canary = shutil.copytree(transformers_scorer, tmp_path / "canary")
    folder = shutil.copytree(transformers_scorer, tmp_path / "scorer")
    change(folder)
    refused(lambda: Scorer.from_pretrained(folder), because, canary=canary)


def folds(count):
    return written(json.dumps({"folds": count}), "folds.json")


CROSS_FITTED = {
    "no folds": (folds(0), "'folds'"),
    "a million folds": (folds(10**6), "'folds'"),
    "folds are text": (folds("2"), "'folds'"),
    "folds are a list": (folds([2]), "'folds'"),
    "folds are null": (folds(None), "'folds'"),
    "folds are true": (folds(True), "'folds'"),
    "folds are not said": (written("{}", "folds.json"), "'folds'"),
    "deep nesting": (written(DEEP, "folds.json"), "folds.json"),
    "6,000 digits": (written(f'{{"folds": {DIGITS}}}', "folds.json"), "folds"),
    "a fold is missing": (folds(3), "fold-2 has no readable config.json"),
    "a fold with other classes": (
        lambda folder: edit(folder / "fold-1/config.json", label_names=list("abcdefghij")),
        "do not have the same classes",
    ),
    "a fold with NaN": (lambda folder: spoilt(float("nan"))(folder / "fold-1"), "fold-1: its tensor .* NaN"),
}


@pytest.mark.parametrize(("change", "because"), CROSS_FITTED.values(), ids=CROSS_FITTED)
def test_a_hostile_cross_fitted_scorer_is_refused(timm_folder, tmp_path, change, because):
    for fold in ("fold-0", "fold-1"):
        shutil.copytree(timm_folder, tmp_path / "scorer" / fold)
    (tmp_path / "scorer/folds.json").write_text('{"folds": 2}')
    change(tmp_path / "scorer")
    refused(lambda: Scorer.from_pretrained(tmp_path / "scorer"), because)
