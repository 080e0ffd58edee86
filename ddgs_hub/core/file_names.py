"""Names of the files of a model: the rooms of the method write and read them, `hub` publishes them."""

from huggingface_hub import constants

CONFIG_FILE = constants.CONFIG_NAME  # config.json, of a classifier or of a part of a pipeline
WEIGHTS_FILE = constants.SAFETENSORS_SINGLE_FILE  # model.safetensors, of a classifier
PIPELINE_INDEX = "model_index.json"  # which library each part of a pipeline is from
ADAPTER_FILE = "adapter.safetensors"  # what fine-tuning trained, and nothing else
CLASSES_FILE = "classes.json"  # the classes that a DiT was fine-tuned on
WEIGHTS_INDEX = constants.SAFETENSORS_INDEX_FILE  # of weights in several files
FOLDS_FILE = "folds.json"  # marks the folder of a cross-fitted scorer; beside it fold-0, fold-1 …
TRANSFORMER, VAE = "transformer", "vae"  # folders of a pipeline
ANY_FOLD = "fold-*"  # a pattern of `fold_folder`


def fold_folder(k: int) -> str:
    """The folder of one model of a cross-fitted scorer."""
    return f"fold-{k}"
