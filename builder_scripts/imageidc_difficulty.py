"""ImageIDC's training images, ten classes that IDC drew at random, each with its difficulty.

Accept ImageNet's terms at https://huggingface.co/datasets/ILSVRC/imagenet-1k, and log in: `hf auth login`.

Example: python builder_scripts/imageidc_difficulty.py --output imageidc-difficulty
"""

from ddgs_hub.cli.scripts import scored_dataset
from ddgs_hub.recipe import load_recipe

recipe = load_recipe("imageidc")

if __name__ == "__main__":
    scored_dataset(
        __doc__,
        source=recipe.data.original,
        revision="49e2ee26f3810fb5a7536bbf732a7b07389a47b5",
        subset=recipe.data.subset,
        scorer=recipe.score.scorer,
        scorer_revision="78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
    )
