"""Generation of the pool: n × IPC images a class, one seed per image."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import PartialState
from datasets import ClassLabel, Dataset, Features, Image, Value
from diffusers import DiTTransformer2DModel
from PIL import Image as PILImage
from tqdm.auto import tqdm

from ddgs_hub.codec import Codec
from ddgs_hub.diffusion.ddpm import sample_latents
from ddgs_hub.errors import InputError
from ddgs_hub.rows import class_names, parquet_path, staged_folder, write_tables
from ddgs_hub.subsets import imagenet_index

CLASSES_FILE = "classes.json"


@dataclass(frozen=True)
class PoolClasses:
    """The classes of a pool, in label order.

    Attributes:
        names: for the ClassLabel.
        wnids: null where a class is no WordNet synset.
        dit_ids: the class index that the DiT knows.
    """

    names: list[str]
    wnids: list[str | None]
    dit_ids: list[int]

    @classmethod
    def of(cls, rows: Dataset, label_space: Literal["imagenet", "dataset"]) -> "PoolClasses":
        """The classes of an original dataset, for a DiT that knows ImageNet-1k's or the dataset's own.

        Raises:
            InputError: the DiT knows ImageNet-1k's classes and a class of the dataset has no wnid.
        """
        names = class_names(rows)
        wnid_of = dict(zip(rows["label"], rows["wnid"], strict=True)) if "wnid" in rows.column_names else {}
        wnids = [wnid_of.get(k) for k in range(len(names))]
        if label_space == "dataset":
            return cls(names, wnids, list(range(len(names))))
        for name, wnid in zip(names, wnids, strict=True):
            if wnid is None:
                raise InputError(f"class '{name}' has no wnid, so its ImageNet-1k index is unknown: set data.subset")
        return cls(names, wnids, [imagenet_index(str(wnid)) for wnid in wnids])

    @classmethod
    def read(cls, folder: str | Path) -> "PoolClasses":
        """What `write` left beside a DiT.

        Raises:
            InputError: the folder has no `classes.json`.
        """
        path = Path(folder) / CLASSES_FILE
        if not path.is_file():
            raise InputError(
                f"{folder} has no {CLASSES_FILE}: give the recipe of a subset, or a DiT that ddgs-hub made"
            )
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, folder: str | Path) -> None:
        """Writes `classes.json` into the folder of a DiT."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (Path(folder) / CLASSES_FILE).write_text(text + "\n", encoding="utf-8")


def pool_features(names: list[str]) -> Features:
    """Columns of a pool: `image` (PNG), `label`, `wnid`, `pool_index` (within its class), `seed`."""
    return Features(
        image=Image(),
        label=ClassLabel(names=names),
        wnid=Value("string"),
        pool_index=Value("int64"),
        seed=Value("int64"),
    )


def image_seed(run_seed: int, label: int, pool_index: int) -> int:
    """The seed of one pool image, 0 … 2^63 − 1: it alone, with the DiT, makes the image again."""
    state = np.random.SeedSequence([run_seed, label, pool_index]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generate_pool(
    dit: DiTTransformer2DModel,
    codec: Codec,
    output: str | Path,
    classes: PoolClasses,
    *,
    per_class: int,
    seed: int = 0,
    num_steps: int = 50,
    guidance_scale: float = 4.0,
    batch_size: int = 50,
) -> int:
    """Generates a pool and writes it to `output` as Parquet with PNG images, in Hub layout, ordered by class.

    Batches go across classes, so that all but the last are full. Each finished batch is a file beside `output` until
    the pool is whole: a killed run goes on behind the last one. Several processes share the batches; the composition of
    a batch does not depend on their number, so neither do the images.

    Args:
        dit: the model, on its device.
        codec: its decoder makes the images.
        output: the folder to write.
        classes: names, wnids and DiT class indices.
        per_class: images a class (n × IPC).
        seed: of the run; see `image_seed`.
        num_steps: respaced DDPM steps.
        guidance_scale: of classifier-free guidance.
        batch_size: images that are denoised together.

    Returns:
        The number of images.
    """
    state, output = PartialState(), Path(output)
    jobs = [(label, index) for label in range(len(classes.names)) for index in range(per_class)]
    batches = [jobs[start : start + batch_size] for start in range(0, len(jobs), batch_size)]
    settings = [classes.names, classes.dit_ids, per_class, seed, num_steps, guidance_scale, batch_size]
    parts = output.with_name(f".{output.name}.parts")
    if state.is_main_process:
        _open_parts(parts, _fingerprint(dit, codec, settings))
    state.wait_for_everyone()
    todo = [k for k in range(len(batches)) if not (parts / f"{k}.parquet").exists()]
    mine = todo[state.process_index :: state.num_processes]
    for k in tqdm(
        mine, desc="generate", unit="batch", leave=False, delay=2, disable=None if state.is_main_process else True
    ):
        labels, indices = (list(column) for column in zip(*batches[k], strict=True))
        seeds = [image_seed(seed, label, index) for label, index in batches[k]]
        dit_ids = [classes.dit_ids[label] for label in labels]
        latents = sample_latents(dit, dit_ids, seeds, num_steps, guidance_scale)
        columns = {
            "image": [{"bytes": _png(image), "path": None} for image in codec.decode(latents)],
            "label": labels,
            "wnid": [classes.wnids[label] for label in labels],
            "pool_index": indices,
            "seed": seeds,
        }
        unfinished = parts / f"{k}.unfinished"
        pq.write_table(pa.table(columns, schema=pool_features(classes.names).arrow_schema), unfinished)
        unfinished.rename(parts / f"{k}.parquet")
    state.wait_for_everyone()
    if state.is_main_process:
        with staged_folder(output) as folder:
            tables = (pq.read_table(parts / f"{k}.parquet") for k in range(len(batches)))
            write_tables(tables, pool_features(classes.names), parquet_path(folder))
        shutil.rmtree(parts)
    state.wait_for_everyone()
    return len(jobs)


def _open_parts(parts: Path, fingerprint: str) -> None:
    """Keeps the finished batches of an earlier try at the same pool; clears those of any other."""
    mark = parts / "fingerprint"
    if not mark.is_file() or mark.read_text() != fingerprint:
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        mark.write_text(fingerprint)


def _fingerprint(dit: DiTTransformer2DModel, codec: Codec, settings: list[object]) -> str:
    digest = hashlib.sha256(json.dumps(settings).encode())
    for tensor in (*dit.state_dict().values(), *codec.decoder.state_dict().values()):
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _png(image: np.ndarray) -> bytes:
    buffer = BytesIO()
    PILImage.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
