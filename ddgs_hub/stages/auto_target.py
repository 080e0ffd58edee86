"""The target `auto`: a mixture of the pool's and the original's difficulties whose share small networks choose.

The paper samples towards the original's distribution whatever the IPC is. Whether that pays depends on the pool, the
scorer and the IPC. Here candidate selections are tried: small networks ("proxies", as in Coleman et al. 2020,
"Selection via Proxy", arXiv 1906.11829) are trained on each and tested on original images that are in none of them. No
image that validates is looked at, so what is published can still be evaluated on these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image
from scipy.stats import t as student_t

from ddgs_hub.core.decoding import decode_image, encoded_bytes
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import checked_labels, class_names, read_rows, read_selected, read_tables, undecoded
from ddgs_hub.hub import OpenedPool
from ddgs_hub.hub.layout import ORIGINAL, POOL, config_files
from ddgs_hub.recipe import Protocol, SampleSettings
from ddgs_hub.sampling import draw_keys
from ddgs_hub.sampling.datasets import distill_columns
from ddgs_hub.stages.figure_rows import has_images

if TYPE_CHECKING:
    from ddgs_hub.evaluation import Examples

K = TypeVar("K")  # names a candidate

# At 32 px on two cores a proxy takes seconds; nothing is mirrored, as `sample` does not know whether images may be.
PROXY = Protocol(
    network="convnet",
    width=32,
    image_size=32,
    crop_pct=1.0,
    epochs_scale=0.02,  # 60 epochs at IPC 1, 40 at 10, 30 at 50, 20 at 200
    evaluations=1,
    flip=False,
    color_jitter=0.0,
    lighting=0.0,
)


@dataclass(frozen=True)
class Trial:
    """How candidates are tried.

    Attributes:
        mixtures: α that are compared with the pool itself, one or more, each −1 … 1 and not 0.
        repeats: draws of each candidate, a proxy on each; at least 2.
        held_out: original images a class that the proxies are tested on, at most.
        level: how often, at most, something else than the pool is taken although accuracy does not change with α.
        proxy: how a proxy is trained.
    """

    mixtures: tuple[float, ...] = (-1.0, -0.5, 0.5, 1.0)
    repeats: int = 16
    held_out: int = 200
    level: float = 0.05
    proxy: Protocol = PROXY


TRIAL = Trial()


@dataclass(frozen=True)
class Tried:
    """A candidate, and how its proxies did.

    Attributes:
        mixture: α; None is the pool itself, at random.
        accuracies: of each proxy, %, on the held-out originals.
        difference: mean difference from the pool's, paired by draw and network, in points.
        standard_error: of that mean, in points.
    """

    mixture: float | None
    accuracies: list[float]
    difference: float
    standard_error: float


@dataclass(frozen=True)
class Choice:
    """What `auto` has come to.

    Attributes:
        settings: what to sample with; of `auto` the distribution `mixture`, or `pool` where none is clearly better.
        tried: the pool, and each candidate; empty where nothing was to be chosen.
        slope: of accuracy over α, in points per unit, and
        slope_error: its standard error.
        held_out: on how many original images they were tested.
    """

    settings: SampleSettings
    tried: Sequence[Tried] = ()
    slope: float = 0.0
    slope_error: float = 0.0
    held_out: int = 0

    @property
    def text(self) -> str:
        """A sentence on what was chosen, and why."""
        parts = [
            f"α = {one.mixture:g} {one.difference:+.1f} ± {one.standard_error:.1f}"
            for one in self.tried
            if one.mixture is not None
        ]
        chosen = self.settings
        name = f"mixture, α = {chosen.mixture:g}" if chosen.distribution == "mixture" else "pool, at random"
        count = len(self.tried[0].accuracies)
        return (
            f"auto: {name}; {count} proxies each, tested on {self.held_out} originals that none has seen: "
            f"{self.slope:+.1f} ± {self.slope_error:.1f} points per unit of α; over the pool {', '.join(parts)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        chosen = {"distribution": self.settings.distribution, "mixture": self.settings.mixture}
        tried = {"text": self.text, "held_out": self.held_out, "tried": [asdict(one) for one in self.tried]}
        return {"chosen": chosen, "slope": self.slope, "slope_error": self.slope_error, **tried}


def choose_target(
    opened: OpenedPool, originals: str | Path | None, sample: SampleSettings, seed: int, trial: Trial | None = None
) -> Choice:
    """Trains proxies on candidate selections of a pool, and chooses among mixtures and the pool itself.

    All candidates answer one question: does accuracy rise, or fall, with α? A straight line is fitted to each repeat
    (`trend`). If its slope differs from 0 (Student's t, two-sided, `Trial.level`), the α with the highest mean is taken
    on the side where accuracy rises; else, or where the pool is higher, the pool. The pool itself has α = 0. Draw r and
    network r have the seed `seed` + r for every candidate, so differences are paired. The same arguments give the same
    choice, on one machine with one number of threads.

    Args:
        opened: the scored pool.
        originals: folder of the original images, of the pool's classes.
        sample: the settings; its distribution is not looked at.
        seed: of the draws and networks.
        trial: what is tried; None: `TRIAL`.

    Raises:
        InputError: `originals` is None, has no images or other classes, an image cannot be decoded, or sampling raises
            it.
    """
    folder, trial = _folder_with_images(originals), trial or TRIAL
    targets: dict[float | None, SampleSettings] = {
        None: replace(sample, distribution="pool"),
        **{alpha: replace(sample, distribution="mixture", mixture=alpha) for alpha in trial.mixtures},
    }
    drawn = {
        (alpha, repeat): distill_columns(opened.columns, opened.original, settings, seed=seed + repeat).indices
        for alpha, settings in targets.items()
        for repeat in range(trial.repeats)
    }
    found, held_out = train_proxies(opened, folder, drawn, trial, ipc=sample.ipc, seed=seed)
    of_pool = np.array(found[None])
    tried = [_tried(alpha, np.array(accuracies), of_pool) for alpha, accuracies in found.items()]
    slope, error = trend([one.mixture or 0.0 for one in tried], [one.accuracies for one in tried])
    clear = abs(slope) > error * student_t.ppf(1 - trial.level / 2, trial.repeats - 1)
    best = best_mixture(tried, rises=slope > 0) if clear else None
    return Choice(targets[best], tried, slope, error, held_out)


def train_proxies(
    opened: OpenedPool,
    originals: Path,
    drawn: Mapping[tuple[K, int], NDArray[np.int64]],
    trial: Trial,
    *,
    ipc: int,
    seed: int,
) -> tuple[dict[K, list[float]], int]:
    """Trains a proxy on each selection, and tests it on originals that are in none of them.

    Args:
        opened: the scored pool.
        originals: folder of the original images.
        drawn: the rows of the pool, `(classes · ipc,)`, of each candidate and repeat.
        trial: `held_out` and `proxy`.
        ipc: images per class.
        seed: network r has `seed` + r.

    Returns:
        The accuracies of each candidate, %, by repeat, and on how many originals they were tested.

    Raises:
        InputError: an image cannot be decoded, the classes differ, or all originals that are looked at are selected.
    """
    pool = _PoolImages.read(opened, np.unique(np.concatenate(list(drawn.values()))), trial.proxy)
    tests = _held_out(originals, pool, seed, trial)
    found, trained = dict[K, list[float]](), dict[tuple[bytes, int], float]()
    for (candidate, repeat), rows in Progress("auto: proxies", len(drawn), unit="network").over(drawn.items()):
        same = (rows.tobytes(), repeat)  # at small IPCs several candidates are one selection
        if same not in trained:
            trained[same] = _train_proxy(pool, rows, tests, trial.proxy, ipc, seed + repeat)
        found.setdefault(candidate, []).append(trained[same])
    return found, len(tests)


def _folder_with_images(originals: str | Path | None) -> Path:
    """The folder that the held-out images are taken from."""
    way_out = "give --original, a folder of original images that `score` or a run wrote, or take another distribution"
    if originals is None or not (folder := expanded(originals)).is_dir():
        raise InputError(f"the distribution auto tests on original images, and {originals} is no folder: {way_out}")
    # The images of a set are the distilled ones; one that was published without its pool is known by its columns.
    published = any(config_files(folder, config) for config in (ORIGINAL, POOL))
    if published or "difficulty_bin" in read_tables(folder)[0].names:
        raise InputError(f"the distribution auto tests on original images, and {folder} is a distilled set: {way_out}")
    if not has_images(folder):
        raise InputError(f"the distribution auto tests on original images, and {folder} has none: {way_out}")
    return folder


def trend(mixtures: ArrayLike, accuracies: ArrayLike) -> tuple[float, float]:
    """How accuracies change with α: the slope of a straight line, by least squares, fitted to each repeat.

    Args:
        mixtures: α, `(A,)`, two or more.
        accuracies: `(A, R)`, %, of R ≥ 2 repeats.

    Returns:
        The mean slope, in points per unit of α, and its standard error.
    """
    slopes = np.polyfit(np.asarray(mixtures, np.float64), np.asarray(accuracies, np.float64), 1)[0]
    return float(slopes.mean()), float(slopes.std(ddof=1) / np.sqrt(slopes.size))


def _tried(alpha: float | None, accuracies: NDArray[np.float64], of_pool: NDArray[np.float64]) -> Tried:
    gaps = accuracies - of_pool
    error = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    return Tried(alpha, accuracies.tolist(), float(gaps.mean()), error)


def best_mixture(tried: Sequence[Tried], *, rises: bool) -> float | None:
    """α with the highest mean, of the pool's 0 and of those towards which accuracy rises; None is the pool."""
    return max(
        (one for one in tried if one.mixture is None or (one.mixture > 0) == rises), key=lambda one: one.difference
    ).mixture


@dataclass(frozen=True)
class _PoolImages:
    """Those images of a pool that some candidate takes, small, by their rows."""

    images: dict[int, Image]
    labels: NDArray[np.int64]  # of all rows of the pool, 0 … num_classes − 1
    names: list[str]  # of the classes
    digests: frozenset[bytes]  # of the encoded images

    @classmethod
    def read(cls, opened: OpenedPool, rows: NDArray[np.int64], proxy: Protocol) -> "_PoolImages":
        from ddgs_hub.evaluation.tensors import for_training

        prepare, images, digests = for_training(proxy), {}, set()
        cells = undecoded(read_selected(opened.folder, rows, files=opened.files, names=["image"]))
        for row, cell in zip(rows.tolist(), cells, strict=True):
            images[row] = prepare(decode_image(cell["image"], f"{row} of the pool"))
            digests.add(_digest(cell["image"], row))
        labels, names = checked_labels(opened.columns, "the pool"), class_names(opened.columns)
        return cls(images, labels, names, frozenset(digests))

    def examples(self, rows: NDArray[np.int64]) -> "Examples":
        """A selection, to train on."""
        import torch

        from ddgs_hub.evaluation.tensors import default_device, pack

        labels = torch.from_numpy(self.labels[rows])
        return pack((self.images[row] for row in rows.tolist()), labels, default_device())


def _held_out(folder: Path, pool: _PoolImages, seed: int, trial: Trial) -> "Examples":
    """Original images to test on: of each class those with the smallest keys that no candidate trains on."""
    import torch

    from ddgs_hub.evaluation.tensors import default_device, for_validation, pack

    rows_of_folder = read_rows(folder, names=["label"])
    if class_names(rows_of_folder) != pool.names:
        raise InputError(
            f"{folder} has other classes than the pool, or in another order: give the pool's own as --original"
        )
    labels = checked_labels(rows_of_folder, str(folder))
    of_classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    chosen = np.sort(
        np.concatenate(
            [rows[np.argsort(draw_keys(seed, len(pool.names), rows))[: trial.held_out]] for rows in of_classes]
        )
    )
    cells = undecoded(read_selected(folder, chosen, names=["image"]))
    left = [k for k, cell in enumerate(cells) if _digest(cell["image"], int(chosen[k])) not in pool.digests]
    if not left:
        raise InputError(
            f"{folder} has no image that is not selected: the distribution auto has nothing to test on; take another"
        )
    prepare = for_validation(trial.proxy)
    images = (prepare(decode_image(cells[k]["image"], f"{chosen[k]} of {folder}")) for k in left)
    return pack(images, torch.from_numpy(labels[chosen[left]]), default_device())


def _train_proxy(
    pool: _PoolImages, rows: NDArray[np.int64], tests: "Examples", proxy: Protocol, ipc: int, seed: int
) -> float:
    """Trains one proxy on some rows of the pool; its accuracy after the last epoch, %."""
    from ddgs_hub.evaluation import train_network

    epochs = proxy.epochs_for(ipc)
    return train_network(pool.examples(rows), tests, proxy, len(pool.names), epochs=epochs, seed=seed)[-1]


def _digest(cell: Any, row: int) -> bytes:
    return blake2b(encoded_bytes(cell, row), digest_size=16).digest()
