"""The commands that show what a distilled set is worth: accuracies and figures."""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ddgs_hub.cli.options import (
    JsonOption,
    ReportToOption,
    SeedOption,
    SetOption,
    TokenOption,
    completes,
    new_folder,
    place,
    read_recipe,
    show,
    tracking_of,
)
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.processes import run_on_main
from ddgs_hub.core.staging import locked_for_launch
from ddgs_hub.recipe import Protocol, recipe_names

SetsArgument = Annotated[
    list[str],
    typer.Argument(callback=place, metavar="DATA...", help="Training images: folders in Hub layout, OWNER/NAME[@REV]."),
]
ProtocolOption = Annotated[
    str,
    typer.Option(
        metavar="RECIPE",
        autocompletion=completes(recipe_names),
        help="Whose `evaluate` is followed: of the package, a .yaml file, OWNER/NAME[@REV].",
    ),
]
ValidationOption = Annotated[
    list[str] | None,
    typer.Option(
        callback=place,
        metavar="SOURCE",
        help="Where the split to test on is: a folder, or OWNER/NAME[@REV]; can be repeated. Default: the recipe's "
        "original.",
    ),
]
NetworkOption = Annotated[
    list[str] | None,
    typer.Option(help="Instead of the protocol's, whose width is of its own alone; can be repeated."),
]
LabelsOption = Annotated[
    Literal["hard", "soft"] | None,
    typer.Option(help="Train on classes, or on a scorer's probabilities; default: the protocol's."),
]
RobustOption = Annotated[
    bool, typer.Option("--robust", help="Label- and augmentation-robust scores (DD-Ranking) instead; needs --original.")
]
RobustOriginalOption = Annotated[
    str | None,
    typer.Option(
        callback=place, help="Of --robust: real images to draw random ones from, a folder or OWNER/NAME[@REVISION]."
    ),
]
FullAccuracyOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        metavar="PERCENT",
        help="Of --robust: of networks trained on all of these on hard labels; default: they are trained.",
    ),
]


def evaluate(
    data: SetsArgument,
    protocol: ProtocolOption,
    validation: ValidationOption = None,
    network: NetworkOption = None,
    labels: LabelsOption = None,
    robust: RobustOption = False,
    original: RobustOriginalOption = None,
    full_accuracy: FullAccuracyOption = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to keep results in; what is there already is not made again.")
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Add the results to the cards of DATA, folders that are to be published.")
    ] = False,
    seed: SeedOption = None,
    values: SetOption = None,
    report_to: ReportToOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train networks from scratch on datasets, and test them.

    They are tested on real images. IPC and with it the number of epochs are those of each dataset; the full one is one
    of them.

    Example: ddgs-hub evaluate org/woof-ddgs-ipc10@v1.0.0 --protocol imagewoof

    Example: ddgs-hub evaluate org/woof-ddgs-ipc10@v1.0.0 original --validation original --protocol imagewoof --network
    convnet6 --network resnet18

    Example: ddgs-hub evaluate distilled --robust --labels soft --original scored --protocol digits
    """
    from ddgs_hub.stages import evaluate_sources

    recipe = read_recipe(protocol, values, seed)
    followed = replace(recipe.evaluate, labels=labels) if labels else recipe.evaluate
    sets = (recipe, _protocols(followed, network, values), data, validation or ())
    if robust:
        work = _robust_work(sets, original, full_accuracy, output, card=card)
    elif original is not None or full_accuracy is not None:
        raise InputError("--original and --full-accuracy are of robust scores: leave them away, or give --robust")
    else:
        work = partial(evaluate_sources, *sets, output=output, cards=card)
    lock = locked_for_launch(output) if output else nullcontext()
    with lock, tracking_of(report_to, output or Path("evaluation"), recipe):
        show(run_on_main(work), as_json)


def _robust_work(
    sets: tuple[Any, ...], original: str | None, full_accuracy: float | None, output: Path | None, *, card: bool
) -> Callable[[], Made]:
    """What `evaluate --robust` does with sets, as `evaluate_sources` takes them."""
    from ddgs_hub.stages import evaluate_robust

    if original is None:
        raise InputError("robust scores compare with random real images: give --original, where these are")
    if card:
        raise InputError("a card has accuracies, and --robust makes other scores: leave --card away")
    return partial(evaluate_robust, *sets, original=original, full_accuracy=full_accuracy, output=output)


def _protocols(protocol: Protocol, networks: list[str] | None, values: list[str] | None) -> list[Protocol]:
    """The protocol with each network once; a width that `--set` gives is that of all."""
    width = protocol.width if any(value.startswith("evaluate.width=") for value in values or []) else None
    return [protocol.with_network(name, width) for name in dict.fromkeys(networks or [protocol.network])]


def figures(
    source: Annotated[
        str,
        typer.Argument(
            callback=place,
            metavar="RUN|OWNER/NAME[@REVISION]|FOLDER",
            help="A run folder, a dataset that was published with its pool, or the folder of a repository.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(callback=new_folder, help="Default RUN/figures, or figures-NAME here.")
    ] = None,
    ipc: Annotated[
        int | None, typer.Option(min=1, help="Images per class of the set, where a run has several.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Show this class in Figures 2 and 3; can be repeated."),
    ] = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the paper's Figures 2, 3 and 4.

    They show difficulties, images with theirs, and sampling distributions.

    Example: ddgs-hub figures runs/digits --class 3 --class 8
    """
    from ddgs_hub.stages import figures_folder, find_rows, make_figures

    folder = output or figures_folder(source, ipc)
    with locked_for_launch(folder):
        show(run_on_main(lambda: make_figures(find_rows(source, ipc), folder, classes or ())), as_json)


def explore(
    source: Annotated[
        str,
        typer.Argument(
            callback=place,
            metavar="RUN|OWNER/NAME[@REVISION]|FOLDER",
            help="A run folder, a dataset that was published with its pool, or the folder of a scored pool.",
        ),
    ],
    original: Annotated[
        str | None,
        typer.Option(
            callback=place,
            help="Scored original: a folder or OWNER/NAME[@REVISION]. Default: the run's, or what was published.",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first from 7860 on that is free.")
    ] = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a scored pool on a page in the browser.

    Difficulties, images from easy to hard, and at once what another IPC, distribution, weight or seed selects. The set
    can be saved or published from there. The page is served to this machine alone.

    Example: ddgs-hub explore runs/digits
    """
    from ddgs_hub.stages.explore import serving

    with serving(source, original, port=port) as address:
        show(Made(f"{address} shows {source}; Ctrl-C ends it", {"url": address, "source": source}), as_json)
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):  # the way it ends
            while True:
                time.sleep(3600)
