"""ImageIDC, distilled out of the published pool of `ddgs-hub run imageidc --set sample.ipc=50` (Eq. 7–9).

Example: python builder_scripts/imageidc_ddgs.py --pool OWNER/imageidc-ddgs-ipc50@v1.0.0 --output distilled-ipc10
"""

from ddgs_hub.cli.scripts import distilled_dataset
from ddgs_hub.recipe import load_recipe

recipe = load_recipe("imageidc")

if __name__ == "__main__":
    distilled_dataset(
        __doc__,
        distribution=recipe.sample.distribution,  # the original's, scaled to the IPC
        divergence=recipe.sample.divergence,
        weight=recipe.sample.weight,  # λ of Eq. 9
        pool_size=recipe.pool.size,  # n: of each class the first n × IPC images of the pool
        seed=recipe.seed,
    )
