import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from timm.data import create_transform, resolve_model_data_config
from torch.nn import functional as F

from ddgs_hub.core.errors import InputError
from ddgs_hub.difficulty import Scorer, score
from ddgs_hub.difficulty.scorer import fold_of, image_digest


@pytest.fixture(scope="module")
def transformers_folder(tmp_path_factory) -> Path:
    """A transformers classifier of ten classes with random weights, and its image processor."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

    folder = tmp_path_factory.mktemp("transformers")
    torch.manual_seed(0)
    names = {k: f"{k}, number {k}" for k in range(10)}
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=10, id2label=names)
    ResNetForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875).save_pretrained(folder)
    return folder


@pytest.mark.usefixtures("without_bfloat16")
def test_a_timm_folder_scores_as_timm_does(timm_folder, rows):
    model = timm.create_model(f"local-dir:{timm_folder}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        probabilities = model(torch.stack([transform(row["image"].convert("RGB")) for row in rows])).softmax(1)
    expected = 1 - probabilities[torch.arange(len(rows)), torch.tensor(rows["label"])]
    scored = score(rows, Scorer.from_pretrained(timm_folder), batch_size=64)
    assert expected.std() > 0.1
    np.testing.assert_allclose(scored["difficulty"], expected, atol=2e-6)


@pytest.mark.usefixtures("without_bfloat16")
def test_a_transformers_folder_scores_as_transformers_does(transformers_folder, rows):
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    rows = rows.select(range(20))
    model = AutoModelForImageClassification.from_pretrained(transformers_folder).eval()
    inputs = AutoImageProcessor.from_pretrained(transformers_folder)(
        [row["image"].convert("RGB") for row in rows], return_tensors="pt"
    )
    with torch.inference_mode():
        probabilities = F.softmax(model(**inputs).logits, dim=1)
    expected = 1 - probabilities[torch.arange(len(rows)), torch.tensor(rows["label"])]
    scored = score(rows, Scorer.from_pretrained(transformers_folder))
    np.testing.assert_allclose(scored["difficulty"], expected, atol=2e-6)


def test_weights_of_half_precision_in_several_files_are_a_scorer_in_float32(transformers_folder, tmp_path):
    from transformers import AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(transformers_folder)
    model.half().save_pretrained(tmp_path, max_shard_size="4KB")
    shutil.copy(transformers_folder / "preprocessor_config.json", tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    images = torch.linspace(-2, 2, 3 * 32 * 32).view(1, 3, 32, 32)
    found = Scorer.from_pretrained(tmp_path).logits(images)
    torch.testing.assert_close(found, Scorer.from_pretrained(transformers_folder).logits(images), rtol=1e-2, atol=1e-2)


def test_a_backbone_without_classifier_is_refused(transformers_folder, tmp_path):
    from transformers import ResNetModel

    ResNetModel.from_pretrained(transformers_folder).save_pretrained(tmp_path)
    shutil.copy(transformers_folder / "preprocessor_config.json", tmp_path)
    with pytest.raises(InputError, match=r"no weights for classifier\.1\.bias: it is no trained classifier"):
        Scorer.from_pretrained(tmp_path)


def test_a_hub_id_loads_from_the_cache_and_says_its_commit(timm_folder, tmp_path, monkeypatch, rows):
    """The Hub's own code, offline: it finds in its cache what an earlier download would have left there."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--scorer"
    shutil.copytree(timm_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for name in ("someone/scorer", "hf-hub:someone/scorer"):
        scorer = Scorer.from_pretrained(name)
        assert (scorer.name, scorer.revision) == ("someone/scorer", commit)
    assert Scorer.from_pretrained("someone/scorer", revision=commit).revision == commit
    expected = score(rows, Scorer.from_pretrained(timm_folder))["difficulty"]
    np.testing.assert_array_equal(score(rows, scorer)["difficulty"], expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody/no-such-scorer", "cannot get the scorer nobody/no-such-scorer"),
        ("resnet50.tv_in1k", "cannot get the scorer timm/resnet50.tv_in1k"),
        ("a/b/c", "cannot get the scorer a/b/c"),
        ("./no-such-folder", "./no-such-folder is not a folder"),
        ("resnet50.no_such_weights", "timm has no weights for 'resnet50.no_such_weights'"),
    ],
)
def test_a_scorer_that_is_not_there_is_one_clear_line(name, message, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=message) as error:
        Scorer.from_pretrained(name)
    assert "\n" not in str(error.value)


def test_broken_folders_are_refused(timm_folder, tmp_path):
    folder = shutil.copytree(timm_folder, tmp_path / "scorer")
    config = json.loads((folder / "config.json").read_text())

    def refused(because: str) -> bool:
        with pytest.raises(InputError, match=because) as error:
            Scorer.from_pretrained(folder)
        return "\n" not in str(error.value)

    (folder / "config.json").write_text(json.dumps({**config, "architecture": "no_such_net"}))
    assert refused("cannot load the scorer .*no_such_net")
    (folder / "config.json").write_text(json.dumps({**config, "num_classes": 7}))
    assert refused("has two numbers of classes")
    (folder / "config.json").write_text(json.dumps({"something": "else"}))
    assert refused("neither timm's nor transformers'")
    (folder / "config.json").write_text("{")
    assert refused("no readable config.json")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"not weights")
    assert refused("cannot load the scorer")
    (folder / "model.safetensors").unlink()
    assert refused("no safetensors weights")


def test_the_fold_of_an_image_never_changes():
    """Scorers on disk rely on it: another rule would let models score what they were trained on."""
    assert [fold_of(image_digest(bytes([k])), 5) for k in range(8)] == [2, 2, 2, 4, 1, 1, 3, 3]


def test_features_are_what_the_classifier_is_given(timm_folder, rows):
    from ddgs_hub.difficulty import extract_features

    scorer = Scorer.from_pretrained(timm_folder)
    features = extract_features(rows, scorer, batch_size=64)
    assert features.shape == (200, 96)
    images = torch.stack([scorer.transform(row["image"].convert("RGB")) for row in rows])
    with torch.inference_mode():
        logits = scorer.models[0].get_classifier()(torch.from_numpy(features))
    torch.testing.assert_close(logits, scorer.logits(images), atol=1e-4, rtol=1e-4)
