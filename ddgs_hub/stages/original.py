"""From a source to original images: the stage `prepare`."""

from pathlib import Path

from ddgs_hub.core.made import Made
from ddgs_hub.core.rows import class_names, read_rows
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.original import ColumnNames, write_original
from ddgs_hub.recipe import Recipe


def make_original(recipe: Recipe, output: Path) -> Made:
    """Takes the original dataset out of its source, splits `train` and `validation`."""
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
            column_names=ColumnNames(data.image_column, data.label_column),
        )
    classes = len(class_names(read_rows(output)))
    text = f"{counts['train']:,} training and {counts['validation']:,} validation images of {classes} classes"
    return Made(text, {"output": str(output), "images": counts, "classes": classes})
