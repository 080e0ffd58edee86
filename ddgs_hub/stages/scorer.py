"""From original images to a cross-fitted scorer: the stage `train-scorer`."""

from contextlib import nullcontext
from pathlib import Path

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import is_main, wait_for_all
from ddgs_hub.core.rows import read_rows
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.hub import CONTENT, KIND, SCORER, hash_weights, write_scorer
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.provenance import made_with, original_ids


def make_scorer(recipe: Recipe, original: Path, output: Path, *, command: str) -> Made:
    """Trains the recipe's scorer on the original images, with card and provenance.

    Args:
        recipe: `score.training` says how.
        original: folder of the original dataset.
        output: folder of the scorer.
        command: the command line that makes it again, for the card.

    Raises:
        InputError: the recipe does not say how to train one, or `train_scorer` raises it.
    """
    from ddgs_hub.difficulty import train_scorer

    training = recipe.score.training
    if training is None:
        raise InputError(f"recipe {recipe.name} has no score.training section: nothing says how to train a scorer")
    rows = read_rows(original)
    with staged_folder(output) if is_main() else nullcontext(output) as folder:
        result = train_scorer(rows, folder, training, flip=recipe.data.flip, seed=recipe.seed)
        if is_main():
            content = {"weights": hash_weights(folder), "original": fingerprint(rows)}
            described = {KIND: SCORER.name, "datasets": original_ids(recipe), "command": command, CONTENT: content}
            write_scorer(folder, {**made_with(recipe), **described})
    wait_for_all()
    return Made(
        f"{training.folds} × {training.model}, {100 * result.accuracy:.1f} % right on images they did not see",
        {"output": str(output), "model": training.model, "folds": training.folds, "accuracy": result.accuracy},
    )
