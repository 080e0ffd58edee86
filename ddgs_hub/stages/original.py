"""From a source to original images: the stage `prepare`."""

from pathlib import Path

from ddgs_hub.core.folders import staged_folder
from ddgs_hub.core.rows import class_names, read_rows
from ddgs_hub.original.reading import Wanted
from ddgs_hub.original.sources import write_original
from ddgs_hub.recipe import Recipe


def make_original(recipe: Recipe, output: Path) -> str:
    """Takes the original dataset out of its source, splits `train` and `validation`; returns a line for people."""
    data = recipe.data
    with staged_folder(output) as folder:
        counts = write_original(
            data.original,
            folder,
            splits={"train": data.train_split, "validation": data.validation_split},
            validation_share=data.validation_share,
            subset=data.subset,
            config=data.config,
            revision=data.revision,
            wanted=Wanted(data.image_column, data.label_column),
        )
    classes = len(class_names(read_rows(output)))
    return f"{counts['train']:,} training and {counts['validation']:,} validation images of {classes} classes"
