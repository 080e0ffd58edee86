"""Names of the folders and files of a study's dataset. Studies share them: what one has made, the next need not."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ddgs_hub.core.schema import read_json
from ddgs_hub.stages.run_folder import Finished, RunFolder, write_json


@dataclass(frozen=True)
class StudyFolder(RunFolder):
    """Where the studies of one recipe keep what they make.

    Attributes:
        sizes: images a class of each pool, by its name, see `recipe.study.Cell.pool`; each size has a folder of its
            own. A pool without a size is of all original images.
        easy_bias: of the pool `easy-real`; each has a folder of its own.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    easy_bias: float = 0.0

    @property
    def pool(self) -> Path:
        """What the fine-tuned DiT generates."""
        return self.pool_of("minimax")

    @property
    def base_pool(self) -> Path:
        """What the base generates before it is fine-tuned."""
        return self.pool_of("dit")

    def pool_of(self, name: str) -> Path:
        """A pool, by its name, see `recipe.study.Cell.pool`."""
        biased = name.replace("easy-real", f"easy-real{self.easy_bias:g}")
        parts = ("pool", "" if name == "minimax" else biased, str(self.sizes.get(name) or ""))
        return self.path / "-".join(part for part in parts if part)

    @property
    def cells(self) -> Path:
        """A file for each network that was trained and tested."""
        return self.path / "cells"

    def set(self, name: str) -> Path:
        """A set of images that a method has made."""
        return self.path / "sets" / name

    @property
    def scored_original(self) -> Path:
        """Labels and difficulties of the original. In a study nothing is scored in its place: others read there."""
        return self.path / "original-scored"

    def scored_pool_of(self, name: str) -> Path:
        """A pool with its difficulties, by its name."""
        return self.path / f"{self.pool_of(name).name}-scored"

    def quality_of(self, name: str) -> Path:
        """What was measured of a generated pool, by its name."""
        return self.path / "quality" / f"{self.pool_of(name).name}.json"

    def is_made(self, task: str) -> bool:
        """Whether a task of this name was done once."""
        return self._made(task).is_file()

    def read_made(self, task: str) -> Finished:
        """What a task has made.

        Raises:
            InputError: it is not done, or the file is damaged.
        """
        return read_json(self._made(task), Finished, str(self._made(task)))

    def write_made(self, task: str, made: Finished) -> None:
        """Notes that a task is done."""
        self._made(task).parent.mkdir(parents=True, exist_ok=True)
        write_json(self._made(task), asdict(made))

    def size_made(self, task: str, least: int) -> int:
        """The smallest number, `least` or more, for which a task `{task}-{number}` is done; else `least`.

        Pools and selections nest: a larger one begins with the images of a smaller one.
        """
        named = (
            re.fullmatch(rf"{re.escape(task)}-(\d+)\.json", path.name) for path in self._made(task).parent.glob("*")
        )
        sizes = [int(match[1]) for match in named if match]
        return min((size for size in sizes if size >= least), default=least)

    def _made(self, task: str) -> Path:
        return self.path / ".made" / f"{task}.json"
