"""The commands that train: a scorer, a DiT from scratch, and the fine-tuned DiT."""

from dataclasses import replace
from typing import Annotated

import typer

from ddgs_hub.cli.options import (
    ContinuedOption,
    JsonOption,
    OriginalOption,
    OutputOption,
    PrivateOption,
    PushOption,
    RecipeOption,
    ReportToOption,
    RevisionOption,
    SeedOption,
    SetOption,
    TokenOption,
    base_name,
    place,
    read_recipe,
    show,
    tracking_of,
)
from ddgs_hub.core.staging import locked_for_launch


def train_scorer(
    original: OriginalOption,
    recipe: RecipeOption,
    output: OutputOption,
    seed: SeedOption = None,
    values: SetOption = None,
    report_to: ReportToOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a cross-fitted classifier to score difficulty with.

    It is for data that no public classifier knows.

    Example: ddgs-hub train-scorer --original ./my-images --recipe digits --output scorer --set score.training.folds=2
    """
    from ddgs_hub.stages import make_scorer, training_command

    command = training_command("train-scorer", recipe, original, output, values=values, seed=seed)
    settings = read_recipe(recipe, values, seed)
    with locked_for_launch(output), tracking_of(report_to, output, settings):
        show(make_scorer(settings, original, output, command=command), as_json)


def pretrain(
    original: OriginalOption,
    recipe: RecipeOption,
    output: OutputOption,
    seed: SeedOption = None,
    values: SetOption = None,
    report_to: ReportToOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a DiT from scratch, with its autoencoder.

    It is the base for data that is not ImageNet.

    Example: accelerate launch -m ddgs_hub pretrain --original runs/digits/original --recipe digits --output base
    """
    from ddgs_hub.stages import make_base

    settings = read_recipe(recipe, values, seed)
    with locked_for_launch(output), tracking_of(report_to, output, settings):
        show(make_base(settings, original, output), as_json)


def finetune(
    original: OriginalOption,
    recipe: RecipeOption,
    output: ContinuedOption,
    base: Annotated[
        str | None, typer.Option(callback=place, help="OWNER/NAME[@REV], folder or checkpoint, not the recipe's.")
    ] = None,
    revision: RevisionOption = None,
    push: PushOption = None,
    private: PrivateOption = False,
    token: TokenOption = None,
    seed: SeedOption = None,
    values: SetOption = None,
    report_to: ReportToOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a DiT with DiffFit and the Minimax losses.

    Example: accelerate launch -m ddgs_hub finetune --original runs/digits/original --recipe digits --output dit
    """
    from ddgs_hub.stages import finetune_and_publish, training_command

    settings = read_recipe(recipe, values, seed)
    at = revision or (None if base else settings.model.revision)
    model = replace(settings.model, base=base_name(settings, base), revision=at)
    command = training_command(
        "finetune", recipe, original, output, base=base, revision=revision, values=values, seed=seed
    )
    settings = replace(settings, model=model)
    with locked_for_launch(output), tracking_of(report_to, output, settings):
        made = finetune_and_publish(settings, original, output, command=command, push=push, private=private)
    show(made, as_json)
