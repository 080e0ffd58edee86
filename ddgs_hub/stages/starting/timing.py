"""How long each stage of a recipe takes here: a few steps of its own code are timed, and multiplied.

Nothing is written but in a temporary folder, and no model is fetched: what a recipe takes from the Hub is stood for by
the same architecture with random weights, which is as fast.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import ClassLabel, Dataset, Features, Image

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.progress import stage
from ddgs_hub.original import Look
from ddgs_hub.recipe import Recipe, ScorerTraining
from ddgs_hub.stages.pool_stages import BASE, BASE_POOL, DIT, ORIGINAL, POOL, SCORED_ORIGINAL, SCORED_POOL, SCORER

ENOUGH = 0.6  # seconds of steps, after those of a warm-up, that tell how long one takes
MOST_STEPS = 40
METHODS = 4  # that a run evaluates: random, base, pool, distilled
READ = 1e-3  # seconds an image of `prepare` and `sample`, which only copy bytes
DRAWN = 8.0  # seconds of the figures and of what is counted for their ten cells
ENCODED = 16  # images of a batch that is timed
MOST_DISTILLED = 512  # images that an evaluation is timed with: those of a thousand classes take gigabytes
XL = {"num_attention_heads": 16, "attention_head_dim": 72, "num_layers": 28, "in_channels": 4, "sample_size": 32}
STABLE_DIFFUSION: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}


@dataclass(frozen=True)
class Counts:
    """How many images there are.

    Attributes:
        train: for training.
        validation: for testing.
        classes: of both.
    """

    train: int
    validation: int
    classes: int


def estimate(recipe: Recipe, look: Look, counts: Counts) -> dict[str, float]:
    """Seconds of each stage of a run, by its name, in order.

    What is downloaded is not in it.

    Args:
        recipe: whose stages are timed.
        look: at its images, some of which are trained on.
        counts: of all of them.

    Raises:
        InputError: an image cannot be decoded.
    """
    pool, ipc = recipe.pool.size * recipe.sample.ipc * counts.classes, recipe.sample.ipc * counts.classes
    with TemporaryDirectory(prefix="ddgs-hub-") as folder, stage("estimate the time"):
        timed = _Timed(recipe, look, Path(folder))
        seconds = {ORIGINAL: READ * (counts.train + counts.validation)}
        if recipe.score.scorer is None:
            seconds[SCORER] = timed.scorer_training(counts.train)
        if recipe.model.base is None:
            seconds[BASE] = timed.pretraining(counts.train)
        seconds[DIT] = timed.finetuning(counts.train)
        seconds[POOL] = timed.generating(pool)
        seconds[BASE_POOL] = timed.generating(ipc)
        seconds[SCORED_ORIGINAL] = timed.scoring(counts.train)
        seconds[SCORED_POOL] = timed.scoring(pool)
        seconds["sample"] = 2 * READ * pool
        seconds["evaluate"] = timed.evaluating(counts.validation, counts.classes)
        seconds["figures"] = DRAWN
        seconds["hub folder"] = 2 * READ * pool
    return seconds


class _Timed:
    """The parts of the stages, timed on some of the images.

    Args:
        recipe: see `estimate`.
        look: see `estimate`.
        folder: that is removed afterwards.
    """

    def __init__(self, recipe: Recipe, look: Look, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        # Two classes are enough to train on: how many there are changes only the last layers.
        images = [{"bytes": image, "path": None} for _, image in look.images]
        features = Features(image=Image(), label=ClassLabel(names=["0", "1"]))
        training = recipe.score.training
        distilled = min(recipe.sample.ipc * len(look.names), MOST_DISTILLED)
        least = max(3 * (training.batch_size if training else 0), 2 * ENCODED, distilled)
        images = (images * (least // len(images) + 1))[: max(least, min(len(images), 256))]
        labels = [k % 2 for k in range(len(images))]
        self.rows = Dataset.from_dict({"image": images, "label": labels}, features=features)

    @cached_property
    def device(self) -> Any:
        """Where the DiT is trained."""
        from ddgs_hub.core.processes import get_accelerator

        return get_accelerator().device

    @cached_property
    def pixels(self) -> Any:
        """Images as an autoencoder takes them, uint8 `(N, 3, S, S)`."""
        from ddgs_hub.diffusion import cropped_images

        return cropped_images(self.rows.select(range(2 * ENCODED)), self.recipe.data.image_size)

    @cached_property
    def decoded(self) -> float:
        """Seconds to decode an image."""
        from ddgs_hub.core.image_batches import encoded_images

        cells = [{"bytes": image} for image in encoded_images(self.rows.select(range(ENCODED)))]
        return _per_call(lambda: [decode_image(cell, 0) for cell in cells]) / ENCODED

    @cached_property
    def codec(self) -> Any:
        """An autoencoder of the recipe's shape."""
        from diffusers import AutoencoderKL

        from ddgs_hub.diffusion import Codec, train_autoencoder

        training = self.recipe.codec.training
        if self.recipe.codec.encoder or training is None:
            vae = AutoencoderKL(**STABLE_DIFFUSION)
        else:
            vae, _ = train_autoencoder(self.pixels, replace(training, steps=1), flip=False)
        return Codec(vae).to(self.device)

    @cached_property
    def cache(self) -> Any:
        """Random latents of the recipe's shape."""
        import torch

        from ddgs_hub.diffusion import LatentCache

        shape, count = self.codec.latent_shape(self.recipe.data.image_size), 256
        mean = torch.randn(2, count, *shape)
        return LatentCache(mean, mean.new_full(mean.shape, -5.0), torch.arange(count) % 2)

    @cached_property
    def encoded(self) -> float:
        """Seconds to encode one view of an image."""
        from ddgs_hub.diffusion import to_float

        images = to_float(self.pixels[:ENCODED]).to(self.device)
        return _per_call(lambda: self.codec.encode(images)[0].sum().item()) / ENCODED

    @cached_property
    def dit(self) -> Any:
        """A DiT of the recipe's shape, which is trained for a step."""
        from ddgs_hub.diffusion import new_dit, pretrain

        training = self.recipe.model.pretraining
        if self.recipe.model.base is None and training is not None:
            return pretrain(self.cache, 2, replace(training, steps=1))[0]
        return new_dit(**XL, patch_size=2, num_embeds_ada_norm=1_000).to(self.device)

    def scorer_training(self, images: int) -> float:
        """Of all folds, and of decoding."""
        from ddgs_hub.difficulty import num_steps, train_scorer

        training = self.recipe.score.training
        assert training is not None
        output = self.folder / "scorer"

        def train(epochs: int) -> None:
            train_scorer(self.rows, output, replace(training, epochs=epochs), seed=0)

        epoch = num_steps(self._behind(len(self.rows), training), replace(training, epochs=1))
        step = _per_step(train, most=3) / (training.folds * epoch)
        steps = training.folds * num_steps(self._behind(images, training), training)
        # Each image is decoded, and classified once by the model of its fold: a third of a step of training.
        return steps * step + images * (self.decoded + step / training.batch_size / 3)

    @staticmethod
    def _behind(images: int, training: ScorerTraining) -> int:
        """Images that the model of one fold is trained on."""
        return images - images // training.folds

    def pretraining(self, images: int) -> float:
        """Of the autoencoder and of the DiT, with encoding."""
        from ddgs_hub.diffusion import pretrain, train_autoencoder

        autoencoder, training = self.recipe.codec.training, self.recipe.model.pretraining
        assert training is not None
        seconds = images * self.decoded + self._encoding(images)
        if not self.recipe.codec.encoder and autoencoder:
            step = _per_step(lambda n: train_autoencoder(self.pixels, replace(autoencoder, steps=n), flip=True))
            seconds += autoencoder.steps * step
        step = _per_step(lambda n: pretrain(self.cache, 2, replace(training, steps=n)))
        return seconds + training.steps * step

    def _encoding(self, images: int) -> float:
        return images * (self.decoded + (2 if self.recipe.data.flip else 1) * self.encoded)

    def finetuning(self, images: int) -> float:
        """Of all steps, with encoding: the autoencoder was saved in half precision, and gives other latents then."""
        from ddgs_hub.diffusion import finetune

        settings, per_epoch = self.recipe.finetune, len(self.cache) // self.recipe.finetune.batch_size

        def train(steps: int) -> None:
            finetune(self.dit, self.cache, replace(settings, epochs=steps / per_epoch))

        steps = max(int(settings.epochs * max(images // settings.batch_size, 1)), 1)
        return self._encoding(images) + steps * _per_step(train)

    @cached_property
    def denoised(self) -> tuple[float, float, int]:
        """Seconds of a step of a batch, seconds of decoding it, and its images."""
        from ddgs_hub.diffusion import fold_difffit, sample_latents

        pool = self.recipe.pool
        dit = fold_difffit(self.dit).eval().requires_grad_(False)
        batch, latents = pool.batch_size, None

        def sample(steps: int) -> None:
            nonlocal latents
            settings: dict[str, Any] = {
                "guidance_scale": pool.guidance_scale,
                "guidance_channels": pool.guidance_channels,
            }
            latents = sample_latents(dit, [0] * batch, list(range(batch)), steps + 1, **settings)

        step = _per_step(sample)
        return step, _per_call(lambda: self.codec.decode(latents)), batch

    def generating(self, images: int) -> float:
        """Of so many images."""
        step, decoding, batch = self.denoised
        return -(-images // batch) * (self.recipe.pool.num_steps * step + decoding)

    @cached_property
    def scored(self) -> float:
        """Seconds to score an image."""
        import torch

        from ddgs_hub.difficulty import Scorer, new_model

        if (self.folder / "scorer").is_dir():
            scorer = Scorer.from_pretrained(self.folder / "scorer")
            [image] = [self.rows[0]["image"]]
            batch = torch.stack([scorer.transform(image)] * ENCODED)
            return self.decoded + _per_call(lambda: scorer.logits(batch).sum().item()) / ENCODED
        model = new_model(ScorerTraining(model="resnet50", image_size=224), 1_000).to(self.device).eval()
        images = torch.zeros(ENCODED, 3, 224, 224, device=self.device)
        with torch.inference_mode():
            return self.decoded + _per_call(lambda: model(images).sum().item()) / ENCODED

    def scoring(self, images: int) -> float:
        """Of so many images, with reading and writing them."""
        return images * (self.scored + 2 * READ)

    def evaluating(self, tests: int, classes: int) -> float:
        """Of all networks of a run."""
        from ddgs_hub.evaluation import load_examples, train_networks

        protocol, ipc = self.recipe.evaluate, self.recipe.sample.ipc
        rows = self.rows.select(range(min(ipc * classes, MOST_DISTILLED)))
        few = self.rows.select(range(2 * ENCODED))
        examples = load_examples(rows, protocol, training=True, where="the training images")
        test_images = load_examples(few, protocol, training=False, where="the validation images")

        def train(epochs: int, evaluations: int = 1) -> None:
            short = replace(protocol, epochs=epochs, evaluations=evaluations, repeats=1)
            train_networks(examples, test_images, short, classes, ipc=ipc)

        epoch = _per_step(train) * ipc * classes / len(rows)
        # A test is a forward pass, a third of a step of training.
        test = epoch / (3 * ipc * classes) * tests
        epochs = protocol.epochs_for(ipc)
        tested = len(protocol.evaluation_epochs(epochs))
        return METHODS * protocol.repeats * (epochs * epoch + tested * test)


def _per_step(work: Callable[[int], object], most: int = MOST_STEPS) -> float:
    """Seconds of a step: what more steps take longer than one does, after a call to warm up."""
    work(1)
    one = _seconds(lambda: work(1))
    more = int(min(max(ENOUGH / max(one, 1e-3), 2), most))
    return max(_seconds(lambda: work(1 + more)) - one, 1e-6) / more


def _per_call(work: Callable[[], object]) -> float:
    """Seconds of a call, after one to warm up."""
    work()
    times = int(min(max(ENOUGH / 3 / max(_seconds(work), 1e-4), 1), MOST_STEPS))
    return _seconds(lambda: [work() for _ in range(times)]) / times


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
