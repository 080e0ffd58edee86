"""The page itself, in gradio: controls, and what follows from them; all is made anew from the controls' values."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import one_line
from ddgs_hub.recipe import SampleSettings, parse_section
from ddgs_hub.sampling import DIVERGENCES, TARGETS
from ddgs_hub.stages.explore import saving, words
from ddgs_hub.stages.explore.drawing import histograms
from ddgs_hub.stages.explore.gallery import SELECTED, Gallery
from ddgs_hub.stages.explore.opened import Opened
from ddgs_hub.stages.explore.sampled import SampledClass, Sampler

ALL = -1  # in the place of a label: all classes together
CONTROLS = 8  # whose values say what is sampled; those that follow say where it goes
STYLE = Path(__file__).with_name("page.css")
Visibility = Literal["private"]
IMAGES = "images"  # one at a time, in the order they were asked for
HIDDEN: Visibility = "private"  # of the functions behind the page: they are for it alone
THEME = gr.themes.Default(
    font=[gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")],
    font_mono=[gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")],
)


class Page:
    """The page of a pool.

    Args:
        opened: what it shows.
        read_only: whether nothing can be saved or published from it.
    """

    def __init__(self, opened: Opened, *, read_only: bool) -> None:
        self.opened, self.read_only = opened, read_only
        self.sampler, self.gallery = Sampler(opened.scores), Gallery(opened)

    def blocks(self) -> gr.Blocks:
        """The components, and what happens when one is used."""
        title = f"ddgs-hub explore: {one_line(self.opened.name, 80)}"
        with gr.Blocks(title=title, analytics_enabled=False, fill_width=True) as blocks:
            gr.HTML(self._heading())
            with gr.Row():
                with gr.Column(scale=1, min_width=280, elem_id="controls"):
                    controls = self._controls()
                with gr.Column(scale=3, min_width=320):
                    refused, numbers = gr.HTML(elem_id="refused"), gr.HTML(elem_id="numbers")
                    drawn = gr.HTML(elem_id="histograms")
                    with gr.Accordion("What was left out, and why", open=True):
                        table = gr.HTML(elem_id="bins")
                    where, line = self._saving(controls)
                    with gr.Row():
                        kind = gr.Radio(self.gallery.kinds, value=SELECTED, label="Images", elem_id="kind")
                        number = _slider(1, 2, value=1, step=1, label="Page", visible=False, elem_id="page")
                    tiles = gr.HTML(elem_id="gallery")
            settled = [blocks.load, *(control.input for control in controls)]
            facts = [refused, numbers, drawn, table, number, *where[:1]]
            shown, images = [*controls, kind, number], [tiles, number]
            _on(settled, self.facts, [*controls, *where], facts).then(
                self.show, shown, images, show_progress="hidden", api_visibility=HIDDEN, concurrency_id=IMAGES
            )
            _on([kind.input, number.input], self.show, shown, images, concurrency_id=IMAGES)
            _on([*settled, *(field.change for field in where)], self.line, [*controls, *where], line)
        return blocks

    def _heading(self) -> str:
        scores = self.opened.scores
        counts = f"{len(scores.labels):,} images in the pool, {len(scores.original_labels):,} original ones"
        note = f"{counts}, {len(scores.names):,} classes"
        return f"<h1>{words.text(self.opened.name, 120)}</h1><p class='note'>{note}</p>"

    def _controls(self) -> list[Any]:
        sample, names = self.opened.sample, self.opened.scores.names
        choices = [("All classes", ALL), *((one_line(name, words.NAME_CHARACTERS), k) for k, name in enumerate(names))]
        numbered = self.opened.scores.numbers is not None
        most = self.opened.most_ipc
        return [
            gr.Dropdown(choices, value=ALL, label="Class", elem_id="class"),
            _slider(1, max(most, 2), value=sample.ipc, step=1, label="IPC, images per class", elem_id="ipc"),
            gr.Dropdown(list(TARGETS), value=sample.distribution, label="Distribution", elem_id="distribution"),
            _slider(
                -1,
                1,
                value=sample.mixture,
                step=0.05,
                label="α of the distribution mixture",
                info="0: the pool's own, 1: the original's",
                elem_id="mixture",
            ),
            _slider(0, 1, value=sample.weight, step=0.01, label="Weight λ of Eq. 9", elem_id="weight"),
            gr.Radio(list(DIVERGENCES), value=sample.divergence, label="Divergence of Eq. 9", elem_id="divergence"),
            _slider(
                0,
                max(most, 1),
                value=sample.pool_size or 0,
                step=1,
                label="Pool size n: the first n × IPC images",
                info="0: all images of the pool",
                visible=numbered,
                elem_id="pool-size",
            ),
            gr.Number(value=self.opened.seed, precision=0, minimum=0, label="Seed of the draw", elem_id="seed"),
        ]

    def _saving(self, controls: Sequence[Any]) -> tuple[list[Any], gr.Textbox]:
        """Where the set is to go, and the command line that writes it; on a page to look at the latter alone."""
        if self.read_only:
            line = gr.Textbox(label="The same set on the command line", lines=2, buttons=["copy"], elem_id="line")
            return [], line
        with gr.Accordion("Save this set, or publish it", open=True):
            folder = gr.Textbox(label="Folder, new or empty", elem_id="folder", value=_usual(self.opened.sample.ipc))
            with gr.Row():
                repo = gr.Textbox(label="Repository to publish to", placeholder="OWNER/NAME", elem_id="repo")
                private = gr.Checkbox(label="private", elem_id="private", scale=0, min_width=110)
            line = gr.Textbox(label="The same on the command line", lines=2, buttons=["copy"], elem_id="line")
            with gr.Row():
                save = gr.Button("Save", variant="primary", elem_id="save")
                publish = gr.Button("Publish", elem_id="publish")
            saved = gr.HTML(elem_id="saved")
        where = [folder, repo, private]
        for button, act in ((save, self.save), (publish, self.publish)):
            button.click(act, [*controls, *where], saved, api_visibility=HIDDEN, concurrency_id="saving")
        return where, line

    # What the components call. The first seven values are those of `_controls`, in its order.

    def facts(self, *values: Any) -> list[Any]:
        """Numbers, histograms and table of the settings; a refusal leaves the others as they are.

        The folder is named after the IPC, until somebody gives it a name.
        """
        try:
            classes, sample, _ = self._sampled(values)
        except InputError as error:
            return [words.refusal(str(error)), *(gr.skip() for _ in range(4 if self.read_only else 5))]
        made = ["", words.numbers(classes), histograms(classes), words.bins_table(classes), gr.Slider(value=1)]
        if self.read_only:
            return made
        folder = _folder(values[CONTROLS], sample)
        return [*made, gr.skip() if folder == values[CONTROLS] else folder]

    def show(self, *values: Any) -> list[Any]:
        """A page of the gallery, and the slider of pages where there are several."""
        *settings, kind, number = values
        try:
            classes, sample, _ = self._sampled(settings)
            page = self.gallery.page(kind, classes, sample, int(number or 1))
        except InputError as error:
            return [words.refusal(str(error)), gr.skip()]
        several = gr.Slider(maximum=max(page.pages, 2), value=page.number, visible=page.pages > 1)
        return [words.gallery(page, kind), several]

    def line(self, *values: Any) -> str:
        """The command lines that do the same."""
        try:
            sample, seed = _settings(values)
        except InputError:
            return ""
        folder, repo, private = values[CONTROLS:] or ("", "", False)
        folder = _folder(folder, sample)
        lines = [saving.sample_line(self.opened, sample, seed, folder)]
        if repo.strip():
            lines.append(saving.publish_line(folder, repo.strip(), private=private))
        return "\n".join(lines)

    def save(self, *values: Any) -> str:
        """Writes the set."""
        return _in_words(lambda sample, seed: saving.save(self.opened, sample, seed, values[CONTROLS]), values)

    def publish(self, *values: Any) -> str:
        """Publishes the set, and writes it first where that is to be done."""
        folder, repo, private = values[CONTROLS:]

        def work(sample: SampleSettings, seed: int) -> str:
            return saving.save_and_publish(self.opened, sample, seed, folder, repo, private=private)

        return _in_words(work, values)

    def _sampled(self, values: Sequence[Any]) -> tuple[list[SampledClass], SampleSettings, int]:
        sample, seed = _settings(values)
        label = int(values[0])
        labels = range(len(self.opened.scores.names)) if label == ALL else [label]
        return self.sampler.classes(labels, sample, seed), sample, seed


def _slider(least: float, most: float, **options: Any) -> gr.Slider:
    """A slider whose value the page judges, in words: gradio itself breaks on an empty field, or one out of range."""
    slider = gr.Slider(least, most, **options)
    slider.preprocess = lambda payload: payload  # type: ignore[method-assign]
    return slider


def _on(triggers: Sequence[Any], act: Callable[..., Any], inputs: Any, outputs: Any, **options: Any) -> Any:
    """Calls `act` when one of the triggers fires; of many in a row the last one counts."""
    quiet = {"trigger_mode": "always_last", "show_progress": "hidden", "api_visibility": HIDDEN}
    return gr.on(triggers, act, inputs, outputs, **quiet, **options)


def _settings(values: Sequence[Any]) -> tuple[SampleSettings, int]:
    """What the controls say.

    Raises:
        InputError: a value is missing or out of its range.
    """
    _, ipc, distribution, mixture, weight, divergence, pool_size, seed = values[:CONTROLS]
    if seed is None or seed < 0:
        raise InputError("the seed is no whole number of 0 or more: give one")
    if None in (ipc, mixture, weight, pool_size):
        raise InputError("a number is missing beside a slider: give one")
    wanted = {"ipc": int(ipc), "distribution": distribution, "mixture": float(mixture), "weight": float(weight)}
    wanted |= {"divergence": divergence, "pool_size": int(pool_size) or None}
    sample = parse_section(SampleSettings, wanted, "the settings of the page")
    return sample, int(seed)


def _in_words(work: Callable[[SampleSettings, int], str], values: Sequence[Any]) -> str:
    try:
        return words.done(work(*_settings(values)))
    except InputError as error:
        return words.refusal(str(error))


def _usual(ipc: int) -> str:
    return f"distilled-ipc{ipc}"


def _folder(given: str, sample: SampleSettings) -> str:
    """The folder that is given; one that is called after an IPC, or nothing, follows the settings."""
    follows = not given.strip() or re.fullmatch(r"distilled-ipc\d+", given)
    return _usual(sample.ipc) if follows else given
