"""What the folders of several kinds have: `provenance.json`, pictures, texts, and sizes of their Parquet files."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from datasets import DatasetInfo, Features, SplitDict, SplitInfo

from ddgs_hub.core.files import expanded
from ddgs_hub.hub.layout import PROVENANCE, RECIPE, RECIPE_NAMES, figure_path, is_local, public_values


def write_provenance(folder: Path, provenance: Mapping[str, Any]) -> None:
    """Writes `provenance.json`, without the folder names of this machine.

    Raises:
        ValueError: a number is infinite or NaN.
    """
    text = json.dumps(public_values(provenance), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(folder / PROVENANCE, text)


def write_recipe(folder: Path, made: Mapping[str, Any]) -> None:
    """Writes `recipe.yaml` into the folder of a repository; `run OWNER/NAME` reads it.

    Images or a model in a folder or file of this machine are named by its last part, behind `./`, so that nobody takes
    it for an id of the Hub.

    Args:
        folder: of the repository.
        made: `recipe`, as values, and `versions`; other keys are left out.
    """
    recipe = public_values(made["recipe"])
    for key in RECIPE_NAMES:
        section, name = key.split(".")
        value = made["recipe"].get(section, {}).get(name)
        if is_local(value):
            recipe[section][name] = f"./{expanded(value).resolve().name}"
    values = {"recipe": recipe, "versions": dict(made.get("versions", {}))}
    write_text(folder / RECIPE, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def write_text(path: Path, text: str) -> None:
    """Writes a text with a final line end, with the same bytes on every system."""
    path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8", newline="\n")


def copy_figures(figures: Mapping[str, Path], folder: Path) -> None:
    """Copies PNG files into the folder of a repository, under the names that its card uses."""
    for name, picture in figures.items():
        path = folder / figure_path(name)
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(picture, path)


def measure_files(paths: Sequence[Path], split: str = "train") -> DatasetInfo:
    """Features, sizes and number of rows of a split, from the footers of its Parquet files.

    They stand in the front matter of a card, where load_dataset refuses a wrong number of rows.
    """
    footers = [pq.read_metadata(path) for path in paths]
    size = sum(footer.row_group(k).total_byte_size for footer in footers for k in range(footer.num_row_groups))
    count = sum(footer.num_rows for footer in footers)
    return DatasetInfo(
        features=Features.from_arrow_schema(pq.read_schema(paths[0])),
        splits=SplitDict({split: SplitInfo(split, num_bytes=size, num_examples=count)}),
        download_size=sum(path.stat().st_size for path in paths),
        dataset_size=size,
    )
