"""The commands that write rows: original images, the pool, difficulties, the distilled set, and baselines."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ddgs_hub.cli.options import (
    ConfigOption,
    IpcOption,
    JsonOption,
    OptionalRecipeOption,
    OriginalOption,
    OutputOption,
    PrivateOption,
    PushOption,
    RecipeOption,
    ReportToOption,
    RevisionOption,
    SeedOption,
    SetOption,
    SourceOption,
    SubsetOption,
    TokenOption,
    base_name,
    folder_here,
    place,
    read_recipe,
    several_ipcs,
    show,
    tracking_of,
)
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import run_on_main
from ddgs_hub.core.staging import locked_for_launch
from ddgs_hub.recipe import SampleSettings, ScoreSettings, parse_section
from ddgs_hub.recipe.ranges import Distribution

SAMPLE, SCORE = SampleSettings(), ScoreSettings()  # the commands' defaults are the recipe's
DistributionOption = Annotated[
    Distribution,
    typer.Option(
        help="What the difficulties follow. scale and quantile: the original's; hill, ground, slope, cliff: a shape; "
        "mixture: between pool and original; curriculum: harder with more images; easy: the easiest; pool: nothing; "
        "auto: a mixture, or nothing, as small networks choose on original images."
    ),
]
MixtureOption = Annotated[
    float | None,
    typer.Option(
        min=-1,
        max=1,
        help=f"α of --distribution mixture: 0 is the pool's difficulties, 1 the original's. Default: {SAMPLE.mixture}.",
    ),
]


def prepare(
    recipe: RecipeOption,
    output: OutputOption,
    original: SourceOption = None,
    values: SetOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the original dataset of a recipe out of its source.

    Example: ddgs-hub prepare --recipe imagewoof --output runs/imagewoof/original
    """
    from ddgs_hub.stages import make_original

    with locked_for_launch(output):
        settings = read_recipe(recipe, values, original=original)
        show(run_on_main(lambda: make_original(settings, output)), as_json)


def generate(
    recipe: RecipeOption,
    output: OutputOption,
    dit: Annotated[
        str | None,
        typer.Option(
            callback=place, help="OWNER/NAME[@REV], folder, adapter or checkpoint; default: the recipe's base."
        ),
    ] = None,
    per_class: Annotated[int | None, typer.Option(min=1, help="Images a class; default n × IPC of the recipe.")] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            callback=place, help="OWNER/NAME[@REVISION] or folder: score the images while they are generated."
        ),
    ] = None,
    original: Annotated[
        Path | None, typer.Option(callback=folder_here, help="Folder that a guide (pool.guide) looks at.")
    ] = None,
    revision: RevisionOption = None,
    seed: SeedOption = None,
    values: SetOption = None,
    report_to: ReportToOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Generate a pool of images.

    Example: accelerate launch -m ddgs_hub generate --recipe digits --dit runs/digits/dit --output pool
    """
    from ddgs_hub.stages import make_pool

    settings = read_recipe(recipe, values, seed)
    count = per_class or settings.pool.size * settings.sample.ipc
    at = revision or (settings.model.revision if dit is None else None)
    dit = base_name(settings, dit)
    if original is not None and settings.pool.guide == "none":
        raise InputError("pool.guide is none, which looks at no original: leave out --original, or --set pool.guide=…")
    with locked_for_launch(output), tracking_of(report_to, output, settings):
        made = make_pool(settings, dit, output, per_class=count, revision=at, scorer=scorer, original=original)
        show(made, as_json)


def score(
    data: Annotated[
        str, typer.Argument(callback=place, help="Folder, or OWNER/NAME[@REVISION], with image and label.")
    ],
    scorer: Annotated[
        str, typer.Option(callback=place, help="OWNER/NAME[@REV] of timm or transformers, or a folder.")
    ] = str(SCORE.scorer),
    output: Annotated[
        Path | None, typer.Option(help="Folder to write, new or empty; default with --push: runs/NAME.")
    ] = None,
    subset: SubsetOption = None,
    split: Annotated[str, typer.Option(help="Which split to score.")] = "train",
    config: ConfigOption = None,
    revision: RevisionOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images scored together.")] = SCORE.batch_size,
    soft_labels: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Also write the K most probable classes and their probabilities."),
    ] = SCORE.soft_labels,
    images: Annotated[
        bool | None,
        typer.Option(help="Also write the images; default: yes, except those of ImageNet or of a gated dataset."),
    ] = None,
    push: PushOption = None,
    private: PrivateOption = False,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add the column `difficulty`, 1 − p(true class).

    Image bytes stay as they are. What is interrupted goes on with the same command.

    Example: ddgs-hub score imagenet-1k --subset imagewoof --push org/imagewoof-difficulty
    """
    from ddgs_hub.stages import ScoreRequest, score_and_publish, score_source

    if output is None:
        if push is None:
            raise InputError("there is nowhere to write to: give --output, or --push")
        output = Path("runs") / push.split("/")[-1]
    request = ScoreRequest(
        source=data,
        scorer=scorer,
        split=split,
        subset=subset,
        config=config,
        revision=revision,
        with_images=images,
        batch_size=batch_size,
        soft_labels=soft_labels,
    )
    with locked_for_launch(output):
        if push is None:
            show(score_source(request, output), as_json)
        else:
            show(score_and_publish(request, output, push, private=private), as_json)


def sample(
    pool: Annotated[
        str,
        typer.Option(callback=place, help="Folder of the scored pool, or OWNER/NAME[@REVISION] of a published one."),
    ],
    output: OutputOption,
    original: Annotated[
        str | None,
        typer.Option(
            callback=place,
            help="Scored original: a folder or OWNER/NAME[@REVISION]. Default: what was published with the pool.",
        ),
    ] = None,
    ipc: Annotated[
        str, typer.Option(metavar="N[,N...]", help="Images per class; of several, each set is a folder in --output.")
    ] = str(SAMPLE.ipc),
    distribution: DistributionOption = SAMPLE.distribution,
    mixture: MixtureOption = None,
    divergence: Annotated[Literal["paper", "reference"], typer.Option(help="Direction of Eq. 9.")] = SAMPLE.divergence,
    weight: Annotated[float, typer.Option(min=0, max=1, help="λ of Eq. 9.")] = SAMPLE.weight,
    pool_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="n: choose among the first n × IPC images of each class, as if the pool had been generated for this "
            "IPC; sets of several IPCs from one pool then share images. Default: among all.",
        ),
    ] = SAMPLE.pool_size,
    seed: SeedOption = None,
    generator: Annotated[
        str | None, typer.Option(help="For the card: what made the images of a pool that ddgs-hub did not generate.")
    ] = None,
    license_id: Annotated[
        str | None, typer.Option("--license", metavar="ID", help="Of these images, as the Hub names it: cc-by-4.0.")
    ] = None,
    pretty_name: Annotated[
        str | None, typer.Option(help="What these images are called; default: the name of the folder or dataset.")
    ] = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sample distilled datasets from a scored pool.

    They are sampled by difficulty, Eq. 7–9 of the paper, and each is a folder that `publish` takes.

    Example: ddgs-hub sample --pool runs/digits/pool --original runs/digits/original --ipc 20 --output distilled-ipc20

    Example: ddgs-hub sample --pool org/imagewoof-ddgs-ipc10@v1.0.0 --ipc 10,20,50 --output distilled

    Example: ddgs-hub sample --pool scored-pictures --original scored-photos --generator SDXL --output distilled
    """
    from ddgs_hub.stages import sample_sets

    how = {**_target(distribution, mixture), "divergence": divergence, "weight": weight}
    sizes = [{"ipc": number, "pool_size": pool_size} for number in several_ipcs(ipc)]
    samples = [parse_section(SampleSettings, {**how, **size}, "sample") for size in sizes]
    work = partial(sample_sets, samples, pool, original, output, seed=seed)
    work = partial(work, generator=generator, license=license_id, pretty_name=pretty_name)
    with locked_for_launch(output):
        show(run_on_main(work), as_json)


def _target(distribution: Distribution, mixture: float | None) -> dict[str, Any]:
    """The target's values of a recipe's section `sample`."""
    if mixture is None:
        return {"distribution": distribution}
    if distribution != "mixture":
        raise InputError(f"--mixture {mixture:g} has no effect on {distribution}: add --distribution mixture")
    return {"distribution": distribution, "mixture": mixture}


def baseline(
    method: Annotated[Literal["random", "herding", "k-center", "dm", "idc-1"], typer.Argument(help="Method.")],
    original: OriginalOption,
    output: OutputOption,
    ipc: IpcOption = SAMPLE.ipc,
    scorer: Annotated[
        str | None, typer.Option(callback=place, help="Classifier whose features herding and k-center use.")
    ] = None,
    recipe: OptionalRecipeOption = None,
    values: SetOption = None,
    seed: SeedOption = None,
    report_to: ReportToOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a set to compare with: images selected or learnt.

    Difficulty-guided sampling is compared with real images, selected by random, herding or k-center, and with images
    learnt by dm or idc-1. How those two learn is in the sections dm and idc of a recipe, which they need.

    Example: ddgs-hub baseline herding --original runs/digits/original --scorer runs/digits/scorer --output herding

    Example: accelerate launch -m ddgs_hub baseline dm --recipe digits --original runs/digits/original --output dm
    """
    from ddgs_hub.stages import make_baseline, make_matching, matching_command

    if method in ("dm", "idc-1"):
        if recipe is None:
            raise InputError(f"{method} learns its images as a recipe says: give --recipe")
        if scorer is not None:
            raise InputError(f"{method} uses no classifier: leave --scorer away")
        command = matching_command(method, recipe, original, output, ipc=ipc, values=values, seed=seed)
        settings = read_recipe(recipe, values, seed)
        with locked_for_launch(output), tracking_of(report_to, output, settings):
            show(make_matching(settings, method, original, output, ipc=ipc, command=command), as_json)
        return
    if report_to:
        raise InputError(f"{method} trains nothing that could be followed: leave --report-to away")
    if recipe is not None or values:
        raise InputError(f"{method} selects real images, whatever the recipe: leave --recipe and --set away")
    with locked_for_launch(output):
        made = run_on_main(lambda: make_baseline(method, original, output, ipc=ipc, scorer=scorer, seed=seed or 0))
    show(made, as_json)
