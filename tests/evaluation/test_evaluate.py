import dataclasses
import json
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
import torch
from clients import environment, run
from datasets import ClassLabel, Dataset, Features, Image
from evaluations import an_evaluation
from PIL import Image as PILImage
from sklearn.datasets import load_digits
from threads import one_thread

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import write_rows
from ddgs_hub.core.schema import read_values
from ddgs_hub.core.soft_labels import with_soft_labels
from ddgs_hub.evaluation import evaluate as module
from ddgs_hub.evaluation.evaluate import Evaluation, accuracy, evaluate, images_at_once, train_network
from ddgs_hub.evaluation.networks import build_network
from ddgs_hub.evaluation.tensors import load_examples, pack
from ddgs_hub.recipe import Protocol

SHORT = {
    "network": "convnet",
    "width": 16,
    "image_size": 16,
    "crop_pct": 1,
    "flip": False,
    "color_jitter": 0,
    "lighting": 0,
}


@pytest.fixture(scope="module", autouse=True)
def in_one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def digits() -> tuple[Dataset, Dataset]:
    """100 real handwritten digits for training and 200 others for validation, 8 px enlarged to 16."""
    data = load_digits()
    features = Features(image=Image(), label=ClassLabel(names=[str(k) for k in range(10)]))

    def rows(indices: list[int]) -> Dataset:
        cells = []
        for index in indices:
            buffer = BytesIO()
            pixels = np.minimum(data.images[index] * 16, 255).astype(np.uint8)
            PILImage.fromarray(pixels).resize((16, 16)).save(buffer, "PNG")
            cells.append({"bytes": buffer.getvalue(), "path": None})
        return Dataset.from_dict({"image": cells, "label": data.target[indices]}, features=features)

    train = [index for label in range(10) for index in np.flatnonzero(data.target == label)[:10].tolist()]
    validation = [index for index in range(1000, 1200) if index not in train]
    return rows(train), rows(validation)


def test_a_network_learns_real_digits(digits):
    protocol = Protocol(**SHORT, epochs=25, evaluations=5, repeats=1)
    result = evaluate(*digits, protocol, ipc=10, device="cpu")
    assert result.last[0] > 50  # chance is 10
    assert result.best[0] >= result.last[0]
    assert result.accuracies[0][0] < result.best[0]
    assert result.evaluation_epochs == [5, 10, 15, 20, 25]
    assert (result.train_images, result.validation_images, result.num_classes) == (100, 200, 10)


def test_a_seed_decides_everything_and_nothing_else_does(digits):
    protocol = Protocol(**SHORT, epochs=3, evaluations=3, repeats=2, learning_rate=0.04)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    progress = []
    first = evaluate(*digits, protocol, ipc=10, seed=1, device="cpu", on_progress=lambda *done: progress.append(done))
    assert torch.equal(torch.rand(3), expected)  # the caller's generator is where it was
    torch.manual_seed(99)
    assert evaluate(*digits, protocol, ipc=10, seed=1, device="cpu") == first
    assert progress == [(done, 6) for done in range(1, 7)]
    assert first.accuracies[0] != first.accuracies[1]
    other = evaluate(*digits, protocol, ipc=10, seed=2, device="cpu")
    assert other.accuracies[0] == first.accuracies[1]  # repeat r is seed + r
    assert other.accuracies[1] not in first.accuracies


def test_networks_trained_one_by_one_on_what_is_loaded_once_are_those_of_an_evaluation(digits):
    train, validation = digits
    protocol = Protocol(**SHORT, epochs=2, evaluations=2, repeats=2, learning_rate=0.04)
    examples = load_examples(train, protocol, training=True, where="train", device="cpu")
    tests = load_examples(validation, protocol, training=False, where="validation", device="cpu")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    done = []
    second = train_network(
        examples, tests, protocol, 10, epochs=2, seed=6, after_epoch=lambda epoch, values: done.append(epoch)
    )
    assert torch.equal(torch.rand(3), expected)  # the caller's generator is where it was
    assert done == [1, 2]
    other = dataclasses.replace(protocol, network="resnetap10", width=4)
    assert train_network(examples, tests, other, 10, epochs=2, seed=6) != second
    first = train_network(examples, tests, protocol, 10, epochs=2, seed=5)
    assert evaluate(*digits, protocol, seed=5, device="cpu").accuracies == [first, second]


def test_tests_of_another_size_are_refused(digits):
    train, validation = digits
    protocol = Protocol(**SHORT)
    examples = load_examples(train, protocol, training=True, where="train", device="cpu")
    tests = load_examples(validation, protocol, training=False, where="validation", device="cpu")
    larger = dataclasses.replace(protocol, image_size=20)
    with pytest.raises(InputError, match="the validation images were not loaded at 20 px"):
        train_network(examples, tests, larger, 10, epochs=1, seed=0)


def test_the_rows_decide_the_schedule(digits):
    train, validation = digits
    protocol = Protocol(**SHORT, epochs_scale=0.002, evaluations=1, repeats=1)
    for share, ipc, epochs in [(train, 10, 4), (train.select(range(0, 100, 10)), 1, 6)]:
        result = evaluate(share, validation, protocol, device="cpu")
        assert (result.ipc, result.epochs) == (ipc, epochs)
    assert evaluate(train, validation, protocol, ipc=1, device="cpu").epochs == 6


SENSITIVE = SHORT | {"epochs": 6, "evaluations": 3, "repeats": 1, "learning_rate": 0.04}


@pytest.fixture(scope="module")
def plain(digits) -> Evaluation:
    return evaluate(*digits, Protocol(**SENSITIVE), ipc=10, device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.02},
        {"lr_decay": 1},
        {"momentum": 0},
        {"weight_decay": 0.5},
        {"batch_size": 32},
        {"cutmix": 0},
        {"cutmix_beta": 0.1},
        {"crop_scale": 0.9},
        {"crop_pct": 0.7},
        {"flip": True},
        {"color_jitter": 0.9},
        {"lighting": 5},
        {"width": 17},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_the_protocol_is_in_use(digits, plain, change):
    changed = evaluate(*digits, Protocol(**(SENSITIVE | change)), ipc=10, device="cpu")
    assert changed.accuracies != plain.accuracies


def test_the_reference_augmentations_train_every_network(digits):
    train, validation = digits
    for network in ("convnet3", "resnetap10", "resnet18"):
        protocol = Protocol(network=network, width=4, image_size=16, epochs=1, repeats=1)
        result = evaluate(train.select(range(0, 100, 10)), validation.select(range(20)), protocol, ipc=1)
        assert len(result.accuracies[0]) == 1, network
        assert 0 <= result.last[0] <= 100, network


class TestSoftLabels:
    def of(self, train: Dataset, sure: float) -> Dataset:
        """The rows with soft labels: the class, and the one after it for what is left."""
        labels = np.array(train["label"])
        classes = np.stack([labels, (labels + 1) % 10], axis=1).astype(np.int32)
        return with_soft_labels(train, classes, np.tile(np.float16([sure, 1 - sure]), (len(labels), 1)))

    def test_certain_ones_train_what_hard_labels_do_and_others_do_not(self, digits, plain):
        """CutMix mixes them as it mixes one-hot vectors: with certain labels every bit is the same."""
        train, validation = digits
        hard = Protocol(**SENSITIVE)
        soft = dataclasses.replace(hard, labels="soft")
        certain = evaluate(self.of(train, 1), validation, soft, ipc=10, device="cpu")
        assert certain.accuracies == plain.accuracies
        assert certain.protocol.network_name == "convnet of width 16 on soft labels"
        unsure = evaluate(self.of(train, 0.5), validation, soft, ipc=10, device="cpu")
        assert unsure.accuracies != plain.accuracies
        assert evaluate(self.of(train, 0.5), validation, hard, ipc=10, device="cpu").accuracies == plain.accuracies

    def test_without_them_it_is_refused(self, digits):
        soft = Protocol(**SHORT, labels="soft", epochs=1, repeats=1)
        with pytest.raises(InputError, match="no soft labels in the training images"):
            evaluate(*digits, soft, device="cpu")
        hard = dataclasses.replace(soft, labels="hard")
        loaded = (load_examples(rows, hard, training=True, where="it", device="cpu") for rows in digits)
        with pytest.raises(InputError, match="loaded without soft labels: load them under this protocol"):
            train_network(*loaded, soft, 10, epochs=1, seed=0)


def test_best_last_and_spread():
    result = an_evaluation([[10, 60, 50], [20, 40, 40]])
    assert result.best == [60, 40]
    assert result.last == [50, 40]
    assert result.mean_std("best") == (50, 10)  # population: divided by the number of repeats
    assert result.mean_std("last") == (45, 5)


def test_json_keeps_everything_and_adds_the_summary():
    result = an_evaluation([[10, 60, 50], [20, 40, 40]])
    values = json.loads(json.dumps(result.to_dict()))
    assert read_values(values, Evaluation, "values") == result
    assert (values["best"], values["best_mean"], values["best_std"]) == ([60, 40], 50, 10)
    assert (values["last"], values["last_mean"], values["last_std"]) == ([50, 40], 45, 5)
    assert values["protocol"]["learning_rate"] == 0.01


def test_accuracy_is_the_share_of_right_answers():
    brightest_channel = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten())
    colors = ["red", "lime", "blue", "red", "lime"]
    for labels, share in [([0, 1, 2, 0, 1], 100), ([0, 1, 1, 0, 0], 60)]:
        examples = pack([PILImage.new("RGB", (4, 4), color) for color in colors], torch.tensor(labels))
        assert accuracy(brightest_channel, examples) == share


def test_a_pass_on_the_cpu_is_as_large_as_its_feature_maps_allow():
    wide, narrow = (build_network("convnet", 10, size, width=width) for size, width in [(64, 128), (16, 32)])
    assert images_at_once(wide, 64, 64) == 4
    assert images_at_once(narrow, 16, 64) == 64
    assert images_at_once(build_network("resnet18", 10, 224), 224, 64) == 2  # its first convolution halves the image
    assert images_at_once(wide.to("meta"), 64, 64) == 64  # only a CPU is spared


def test_a_batch_in_parts_trains_the_same_network(digits, monkeypatch):
    protocol = Protocol(**SENSITIVE)
    whole = evaluate(*digits, protocol, device="cpu")
    monkeypatch.setattr(module, "CPU_BYTES", 7 * 16 * 16 * 16 * 4)  # seven images
    assert evaluate(*digits, protocol, device="cpu") == whole


CONFIGURED = """
import json, sys
from ddgs_hub.core.rows import read_rows
from ddgs_hub.evaluation.evaluate import evaluate
from ddgs_hub.recipe import Protocol

train, validation = (read_rows(sys.argv[1], split) for split in ("train", "validation"))
print(json.dumps(evaluate(train, validation, Protocol(**json.loads(sys.argv[2])), device="cpu").accuracies))
"""


def test_precision_and_compilation_are_those_of_accelerate(digits, plain, tmp_path):
    for rows, split in zip(digits, ("train", "validation"), strict=True):
        write_rows(rows, tmp_path, split)

    def accuracies(**settings: str) -> list[list[float]]:
        done = run(["-c", CONFIGURED, str(tmp_path), json.dumps(SENSITIVE)], env=environment(**settings))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert accuracies(ACCELERATE_DYNAMO_BACKEND="EAGER") == plain.accuracies
    half = accuracies(ACCELERATE_MIXED_PRECISION="bf16")
    assert half != plain.accuracies
    np.testing.assert_allclose(half, plain.accuracies, atol=10)


def test_mistakes_are_refused(digits):
    train, validation = digits
    protocol = Protocol(**SHORT)
    with pytest.raises(InputError, match="ipc is 0"):
        evaluate(train, validation, protocol, ipc=0)
    with pytest.raises(InputError, match="there are no rows in the validation images"):
        evaluate(train, validation.select([]), protocol, ipc=10)
    with pytest.raises(InputError, match="no column 'label'"):
        evaluate(train.remove_columns("label"), validation, protocol, ipc=10)
    renamed = validation.cast_column("label", ClassLabel(names=list("abcdefghij")))
    with pytest.raises(InputError, match="must mean the same class"):
        evaluate(train, renamed, protocol, ipc=10)


def test_cudnn_stays_on_where_its_sums_are_to_be_the_same():
    before = torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic
    with module._deterministic(torch.device("cuda")):
        assert torch.backends.cudnn.enabled
        assert torch.backends.cudnn.deterministic
    assert (torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic) == before
