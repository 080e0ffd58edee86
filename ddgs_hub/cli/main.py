"""The command line: one command per stage, which only parses and calls it."""

import json
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ddgs_hub import __version__
from ddgs_hub.cli import hub as cli_hub
from ddgs_hub.cli.options import (
    ContinuedOption,
    JsonOption,
    OriginalOption,
    OutputOption,
    PrivateOption,
    PushOption,
    RecipeOption,
    RevisionOption,
    SeedOption,
    SetOption,
    SourceOption,
    TokenOption,
    new_folder,
    say,
    show,
)
from ddgs_hub.cli.program import run_commands
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.folders import claimed
from ddgs_hub.core.processes import by_the_first
from ddgs_hub.recipe import Recipe, SampleSettings, load_recipe

app = typer.Typer(
    name="ddgs-hub",
    help="Difficulty-guided generative dataset distillation for the Hugging Face ecosystem.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe of the package, or a .yaml file.")],
    original: SourceOption = None,
    output: Annotated[Path | None, typer.Option(help="Run folder; default runs/<name>.")] = None,
    seed: SeedOption = None,
    values: SetOption = None,
    token: TokenOption = None,
) -> None:
    """All stages of a recipe in one run folder; finished ones are skipped.

    Example: ddgs-hub run imagenette64 --original ./imagenette224 --set evaluate.epochs=100
    """
    chosen = _recipe(recipe, values, seed, original)
    from ddgs_hub.stages.run import Run

    Run(chosen, output or Path("runs") / chosen.name)()


@app.command()
def demo() -> None:
    """The whole method on real handwritten digits, in minutes on two CPU cores: `run digits`.

    Example: ddgs-hub demo
    """
    run("digits")


@app.command()
def prepare(
    recipe: RecipeOption,
    output: OutputOption,
    original: SourceOption = None,
    values: SetOption = None,
    token: TokenOption = None,
) -> None:
    """Take the original dataset of a recipe out of its source.

    Example: ddgs-hub prepare --recipe imagewoof --output runs/imagewoof/original
    """
    from ddgs_hub.stages import original as stages

    with claimed(output):
        chosen = _recipe(recipe, values, original=original)
        say(by_the_first(lambda: stages.make_original(chosen, output)))


@app.command("train-scorer")
def train_scorer(
    original: OriginalOption,
    recipe: RecipeOption,
    output: OutputOption,
    seed: SeedOption = None,
    values: SetOption = None,
) -> None:
    """Train a cross-fitted classifier to score difficulty with, for data that no public classifier knows.

    Example: ddgs-hub train-scorer --original ./my-images --recipe digits --output scorer --set score.training.folds=2
    """
    from ddgs_hub.stages import finetune as models

    command = models.command_line(
        *("train-scorer", "--recipe", recipe, "--original", str(original), "--output", str(output)),
        values=values,
        seed=seed,
    )
    with claimed(output):
        say(models.train_scorer(_recipe(recipe, values, seed), original, output, command=command))


@app.command()
def pretrain(
    original: OriginalOption,
    recipe: RecipeOption,
    output: OutputOption,
    seed: SeedOption = None,
    values: SetOption = None,
    token: TokenOption = None,
) -> None:
    """Train a DiT from scratch, with its autoencoder: the base for data that is not ImageNet.

    Example: accelerate launch -m ddgs_hub pretrain --original runs/digits/original --recipe digits --output base
    """
    from ddgs_hub.stages import original as stages

    with claimed(output):
        say(stages.make_base(_recipe(recipe, values, seed), original, output))


@app.command()
def finetune(
    original: OriginalOption,
    recipe: RecipeOption,
    output: ContinuedOption,
    base: Annotated[str | None, typer.Option(help="Hub id, folder or checkpoint, instead of the recipe's.")] = None,
    revision: RevisionOption = None,
    push: PushOption = None,
    private: PrivateOption = False,
    token: TokenOption = None,
    seed: SeedOption = None,
    values: SetOption = None,
) -> None:
    """Fine-tune a DiT with DiffFit and the Minimax losses; with --push, publish it.

    Example: accelerate launch -m ddgs_hub finetune --original runs/digits/original --recipe digits --output dit
    """
    from ddgs_hub.stages import finetune as models

    chosen = _recipe(recipe, values, seed)
    model = replace(
        chosen.model, base=_base(chosen, base), revision=revision or (None if base else chosen.model.revision)
    )
    options = [("--recipe", recipe), ("--original", str(original)), ("--output", str(output))]
    options += [(name, value) for name, value in (("--base", base), ("--revision", revision)) if value is not None]
    command = models.command_line("finetune", *chain(*options), values=values, seed=seed)
    chosen = replace(chosen, model=model)
    with claimed(output):
        say(models.finetune(chosen, original, output, command=command, push=push, private=private))


@app.command()
def generate(
    recipe: RecipeOption,
    output: OutputOption,
    dit: Annotated[
        str | None, typer.Option(help="Hub id, folder, adapter or checkpoint; default: the recipe's base.")
    ] = None,
    per_class: Annotated[int | None, typer.Option(min=1, help="Images a class; default n × IPC of the recipe.")] = None,
    scorer: Annotated[
        str | None, typer.Option(help="Score the images on the way, with a Hub id or folder: saves `score`.")
    ] = None,
    revision: RevisionOption = None,
    seed: SeedOption = None,
    values: SetOption = None,
    token: TokenOption = None,
) -> None:
    """Generate a pool of images.

    Example: accelerate launch -m ddgs_hub generate --recipe digits --dit runs/digits/dit --output pool
    """
    from ddgs_hub.stages import original as stages

    chosen = _recipe(recipe, values, seed)
    count = per_class or chosen.pool.size * chosen.sample.ipc
    dit = _base(chosen, dit)
    with claimed(output):
        say(stages.make_pool(chosen, dit, output, per_class=count, revision=revision, scorer=scorer))


@app.command()
def score(
    data: Annotated[str, typer.Argument(help="Folder in Hub layout or Hub dataset id, with image and label.")],
    scorer: Annotated[
        str, typer.Option(help="timm or transformers Hub id, or a folder of `train-scorer`.")
    ] = "timm/resnet50.tv_in1k",
    output: Annotated[
        Path | None, typer.Option(help="Folder to write, new or empty; with --push runs/NAME where none is given.")
    ] = None,
    subset: Annotated[str | None, typer.Option(help="imagewoof, imagenette or imageidc, out of 1,000 classes.")] = None,
    split: Annotated[str, typer.Option(help="Which split to score.")] = "train",
    config: Annotated[str | None, typer.Option(help="Configuration of a Hub dataset that has several.")] = None,
    revision: RevisionOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images scored together.")] = 128,
    images: Annotated[
        bool | None,
        typer.Option(help="Write the images, too; default: yes, but not those of ImageNet or of a gated dataset."),
    ] = None,
    push: Annotated[str | None, typer.Option(help="Publish it: a dataset on the Hub, OWNER/NAME.")] = None,
    private: PrivateOption = False,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add the column `difficulty`, 1 − p(true class), to a dataset; image bytes stay as they are.

    Example: ddgs-hub score imagenet-1k --subset imagewoof --push org/imagewoof-difficulty
    """
    from ddgs_hub.stages import score as scoring

    if output is None:
        if push is None:
            raise InputError("there is nowhere to write to: give --output, or --push")
        output = Path("runs") / push.split("/")[-1]
    request = scoring.ScoreRequest(
        source=data,
        scorer=scorer,
        split=split,
        subset=subset,
        config=config,
        revision=revision,
        images=images,
        batch_size=batch_size,
    )
    with claimed(output):
        if push is None:
            show(scoring.score_source(request, output), as_json)
        else:
            show(scoring.score_and_publish(request, output, push, private=private), as_json)


@app.command()
def sample(
    pool: Annotated[str, typer.Option(help="Folder of the scored pool, or OWNER/NAME[@REVISION] of a published one.")],
    output: OutputOption,
    original: Annotated[
        str | None,
        typer.Option(
            help="Scored original: a folder or OWNER/NAME[@REVISION]. Default: what was published with the pool."
        ),
    ] = None,
    ipc: Annotated[int, typer.Option(min=1, help="Images per class.")] = 10,
    distribution: Annotated[
        Literal["scale", "hill", "ground", "slope", "cliff"], typer.Option(help="Target, by difficulty.")
    ] = "scale",
    divergence: Annotated[Literal["paper", "reference"], typer.Option(help="Direction of Eq. 9.")] = "paper",
    weight: Annotated[float, typer.Option(min=0, max=1, help="λ of Eq. 9.")] = 0.5,
    pool_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="n: choose among the first n × IPC images of each class, as if the pool had been generated for this "
            "IPC; sets of several IPCs from one pool then share images. Default: among all.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the draw; default: of the recipe of a published pool, else 0.")
    ] = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sample a distilled dataset from a scored pool by difficulty (Eq. 7–9); `publish` takes what a published one gave.

    Example: ddgs-hub sample --pool runs/digits/pool --original runs/digits/original --ipc 20 --output distilled-ipc20

    Example: ddgs-hub sample --pool org/imagewoof-ddgs-ipc10@v1.0.0 --ipc 20 --output distilled-ipc20
    """
    from ddgs_hub.stages.sample import sample_source

    settings = SampleSettings(
        ipc=ipc, distribution=distribution, divergence=divergence, weight=weight, pool_size=pool_size
    )
    with claimed(output):
        show(by_the_first(lambda: sample_source(settings, pool, original, output, seed=seed)), as_json)


@app.command()
def baseline(
    method: Annotated[Literal["random", "herding", "k-center"], typer.Argument(help="How to select.")],
    original: OriginalOption,
    output: OutputOption,
    ipc: Annotated[int, typer.Option(min=1, help="Images per class.")] = 10,
    scorer: Annotated[str | None, typer.Option(help="Whose features herding and k-center use.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random selection.")] = 0,
    token: TokenOption = None,
) -> None:
    """Select real images by a method that difficulty-guided sampling is compared with.

    Example: ddgs-hub baseline herding --original runs/digits/original --scorer runs/digits/scorer --output herding
    """
    from ddgs_hub.stages import original as stages

    with claimed(output):
        say(by_the_first(lambda: stages.make_baseline(method, original, output, ipc=ipc, scorer=scorer, seed=seed)))


@app.command()
def evaluate(
    data: Annotated[str, typer.Argument(help="Folder in Hub layout or Hub dataset id of training images.")],
    validation: Annotated[Path, typer.Option(help="Folder of the original dataset, whose validation split is used.")],
    recipe: RecipeOption,
    revision: RevisionOption = None,
    seed: SeedOption = None,
    values: SetOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train classifiers from scratch on a dataset and test them on real images.

    Example: ddgs-hub evaluate runs/digits/distilled-ipc10 --validation runs/digits/original --recipe digits
    """
    from ddgs_hub.stages import repository as report

    chosen = _recipe(recipe, values, seed)
    show(by_the_first(lambda: report.evaluate_source(chosen, data, validation, revision=revision)), as_json)


@app.command()
def figures(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    output: Annotated[Path | None, typer.Option(callback=new_folder, help="Default RUN/figures.")] = None,
    ipc: Annotated[int, typer.Option(min=1, help="Of the distilled dataset to show.")] = 10,
) -> None:
    """Draw the paper's Figures 2 and 3 of a run: difficulty distributions, and distilled images with theirs.

    Example: ddgs-hub figures runs/digits
    """
    from ddgs_hub.stages import repository as report

    folders = run_folder / "original", run_folder / "pool", run_folder / f"distilled-ipc{ipc}"
    output = output or run_folder / "figures"
    with claimed(output):
        say(by_the_first(lambda: report.make_figures(*folders, output)))


@app.command()
def version() -> None:
    """Print the version.

    Example: ddgs-hub version
    """
    print(__version__)


def _recipe(name: str, values: list[str] | None, seed: int | None = None, original: str | None = None) -> Recipe:
    """The recipe with what the command line gives in place of its values."""
    overrides = list(values or [])
    if seed is not None:
        overrides.append(f"seed={seed}")
    if original is not None:
        # Configuration and revision are those of the recipe's own source; `--set`, which comes after, can give others.
        source = [f"data.original={json.dumps(original)}", "data.config=null", "data.revision=null"]
        overrides = [*source, *overrides]
    return load_recipe(name, overrides)


def _base(recipe: Recipe, given: str | None) -> str:
    name = given or recipe.model.base
    if name is None:
        raise InputError(f"recipe {recipe.name} has no pretrained base: give the DiT's folder")
    return name


app.add_typer(cli_hub.app)


def _commands(program: str) -> Any:
    """All commands, with the examples in their help as they are to be typed."""
    group: Any = typer.main.get_command(app)
    for command in group.commands.values():
        command.help = command.help.replace("Example: ddgs-hub ", f"Example: {program} ")
    return group


def main() -> None:
    """Runs the command line."""
    program = "hf ddgs" if Path(sys.argv[0]).stem == "hf-ddgs" else "ddgs-hub"  # the former as an extension of `hf`
    run_commands(_commands(program), program)
