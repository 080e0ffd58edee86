import json
import subprocess
import sys
from dataclasses import replace

import pytest
from pydantic import ValidationError

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe import Protocol, load_recipe, parse_network_name


def test_defaults_are_the_reference_protocol():
    protocol = Protocol()
    assert (protocol.learning_rate, protocol.momentum, protocol.weight_decay) == (0.01, 0.9, 5e-4)
    assert (protocol.batch_size, protocol.lr_decay, protocol.repeats, protocol.evaluations) == (64, 0.2, 3, 100)
    assert (protocol.cutmix, protocol.cutmix_beta, protocol.crop_scale, protocol.flip) == (1, 1, 0.5, True)
    assert (protocol.color_jitter, protocol.lighting) == (0.4, 0.1)
    assert (protocol.image_size, protocol.resize, protocol.epochs) == (224, 256, None)


def test_epochs_by_ipc_are_the_golden_ones(golden):
    expected = json.loads(golden("nets.json").read_text())
    for ipc, epochs in expected["ipc_epoch"].items():
        assert Protocol().epochs_for(int(ipc)) == epochs, ipc
    for ipc, recipe in expected["recipe"].items():
        protocol = Protocol()
        epochs = protocol.epochs_for(int(ipc))
        assert epochs == recipe["epochs"]
        assert list(protocol.milestones(epochs)) == recipe["milestones"]
        every = recipe["eval_every"]
        assert protocol.evaluation_epochs(epochs) == list(range(every, epochs + 1, every))


@pytest.mark.parametrize(("ipc", "epochs"), [(1, 3000), (10, 2000), (11, 1500), (50, 1500), (200, 1000), (501, 300)])
def test_epochs_by_ipc(ipc, epochs):
    assert Protocol().epochs_for(ipc) == epochs
    assert Protocol(epochs=7).epochs_for(ipc) == 7


@pytest.mark.parametrize(("ipc", "epochs"), [(1, 120), (10, 80), (50, 60), (200, 40), (500, 20), (501, 12), (1200, 12)])
def test_a_share_of_the_table_keeps_its_shape(ipc, epochs):
    assert Protocol(epochs_scale=0.04).epochs_for(ipc) == epochs
    assert load_recipe("digits").evaluate.epochs_for(ipc) == epochs
    assert Protocol(epochs_scale=0.04, epochs=7).epochs_for(ipc) == 7  # a fixed number is what it says
    assert Protocol(epochs_scale=1e-6).epochs_for(ipc) == 1


def test_a_single_epoch_has_the_full_learning_rate():
    assert Protocol().milestones(1) == (1, 1)
    assert Protocol().milestones(60) == (40, 50)


@pytest.mark.parametrize(("epochs", "evaluations"), [(1, 100), (7, 3), (60, 10), (150, 100), (100, 100)])
def test_evaluations_are_spread_over_the_epochs_and_end_with_the_last(epochs, evaluations):
    tested = Protocol(evaluations=evaluations).evaluation_epochs(epochs)
    assert len(tested) == len(set(tested)) == min(epochs, evaluations)
    assert tested[0] >= 1
    assert tested[-1] == epochs
    gaps = {b - a for a, b in zip([0, *tested], tested, strict=False)}
    assert max(gaps) - min(gaps) <= 1


def test_validation_images_are_resized_beyond_the_crop():
    assert Protocol(image_size=64).resize == 73
    assert Protocol(image_size=16, crop_pct=1).resize == 16


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("epochs_scale", 0),
        ("repeats", 0),
        ("learning_rate", 0),
        ("momentum", 1),
        ("cutmix", 1.5),
        ("crop_scale", 0),
        ("color_jitter", -0.1),
        ("batch_size", "many"),
        ("network", "vgg"),
        ("unknown", 1),
    ],
)
def test_wrong_values_are_refused_by_name(key, value):
    with pytest.raises(ValidationError, match=key):
        Protocol(**{key: value})


def test_hard_labels_are_not_among_the_values_that_earlier_results_are_known_by():
    values = Protocol().to_values()
    assert "labels" not in values
    assert {**values, "labels": "soft"} == Protocol(labels="soft").to_values()


def test_without_augmentation_nothing_else_changes():
    plain = Protocol(width=3, labels="soft").without_augmentation()
    assert (plain.crop_scale, plain.flip, plain.color_jitter, plain.lighting, plain.cutmix) == (1, False, 0, 0, 0)
    assert plain == Protocol(width=3, labels="soft", crop_scale=1, flip=False, color_jitter=0, lighting=0, cutmix=0)


def test_network_names():
    assert parse_network_name("convnet12") == ("convnet", 12)
    assert parse_network_name("resnet18") == ("resnet18", None)
    with pytest.raises(InputError, match="unknown network 'resnet'"):
        parse_network_name("resnet")


def test_a_width_belongs_to_the_network_it_is_given_for():
    digits = load_recipe("digits").evaluate
    assert (digits.network, digits.width) == ("convnet", 32)
    assert digits.with_network("convnet") == digits
    assert digits.with_network("resnet18") == replace(digits, network="resnet18", width=None)
    assert digits.with_network("resnet18", 16).width == digits.with_network("convnet", 16).width == 16
    with pytest.raises(InputError, match="unknown network 'vgg'"):
        digits.with_network("vgg")


def test_the_protocol_loads_without_torch():
    code = "import sys; from ddgs_hub.evaluation import Protocol; Protocol(); print('torch' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"
