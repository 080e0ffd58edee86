"""What the paper's figures show, by matplotlib's own objects: axes, bars, titles, sizes; and what their SVG says."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation import (
    ClassDifficulties,
    Difficulties,
    ScoredImages,
    SheetRow,
    difficulty_figure,
    distributions_figure,
    image_sheet,
    save_figure,
    scored_figure,
    spread_indices,
)
from ddgs_hub.evaluation.figures.drawing import DISTILLED, FONT, ORIGINAL, POOL, PRESET, WIDTH
from ddgs_hub.evaluation.figures.sheet import CAPTION, GAP, HEADER, MIDDLE, NAME, TILE
from ddgs_hub.sampling import DISTRIBUTIONS

BEFORE = [0.0, 0.05, 0.1, 0.3, 0.3, 0.3, 1.0]


def difficulties(original: list[float]) -> Difficulties:
    return Difficulties(original=original, pool=[0.05, 0.15, 0.95], distilled=[0.05])


def church(name: str = "church") -> ClassDifficulties:
    why = "easiest of 10 classes"
    return ClassDifficulties(name, difficulties(BEFORE), difficulties([0.7] * 8), distilled=[0.1, 0.2], why=why)


def bars(ax) -> list[int]:
    [drawn] = ax.patches  # all bars are one shape, of five points each
    return [int(points[:, 1].max()) for points in drawn.get_path().vertices.reshape(10, 5, 2)]


def all_figures() -> dict[str, Figure]:
    images = ScoredImages([solid("red")] * 7, np.arange(7) / 7)
    counts = {ipc: {name: of(np.linspace(0, 1, 99), ipc) for name, of in DISTRIBUTIONS.items()} for ipc in (10, 50)}
    many = difficulties(BEFORE * 200)
    return {
        "difficulty": difficulty_figure([church(), ClassDifficulties("English springer", many, many, BEFORE)]),
        "distributions": distributions_figure(counts),
        "sheet": image_sheet([SheetRow("church", images, images)]),
        "sheet alone": image_sheet([SheetRow("church", images)]),
        "scored": scored_figure({"church": BEFORE * 200, "cassette player": BEFORE * 200}),
    }


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_panels_show_counts_in_half_open_bins():
    axes = difficulty_figure([church()]).axes
    assert [ax.get_title() for ax in axes] == [
        *("original (7)", "pool (3)", "distilled (1)"),
        *("original (8)", "pool (3)", "distilled (1)"),
    ]
    # 0.0 and 0.05; 0.1; three of 0.3; and the closed 1.0.
    assert bars(axes[0]) == [2, 1, 0, 3, 0, 0, 0, 0, 0, 1]
    assert bars(axes[3]) == [0, 0, 0, 0, 0, 0, 0, 8, 0, 0]


def test_over_the_panels_stand_the_class_why_it_is_shown_and_one_mean_of_each_stage():
    shown = ["church", "easiest of 10 classes", "mean difficulty: original 0.293, pool 0.383, distilled 0.150"]
    assert texts(difficulty_figure([church(), church()])) == [*shown, *shown]


def test_each_row_has_its_own_axis_and_all_panels_one_scale():
    axes = np.array(difficulty_figure([church(), church("dog")]).axes).reshape(2, 2, 3)
    for upper, lower in axes:
        assert upper[1].get_xlabel() == "difficulty (Eq. 6), easy → hard"
        assert lower[1].get_xlabel() == "transformed difficulty (Eq. 8), easy → hard"
        assert upper[0].get_ylabel() == "images, without\ntransformation"
        assert lower[0].get_ylabel() == "images, with\ntransformation"
    assert {ax.get_xlim() for ax in axes.flat} == {(0, 1)}
    assert len({ax.get_ylim() for ax in axes.flat}) == 1
    assert axes[0, 0, 0].get_ylim()[1] >= max(max(bars(ax)) for ax in axes.flat)


def test_sampling_distributions_are_a_row_an_ipc_with_one_scale():
    counts = {ipc: {name: of(np.linspace(0, 1, 99), ipc) for name, of in DISTRIBUTIONS.items()} for ipc in (10, 20, 50)}
    figure = distributions_figure(counts)
    axes = np.array(figure.axes).reshape(3, 5)
    assert [ax.get_title() for ax in axes[0]] == ["scale", "hill", "ground", "slope", "cliff"]
    assert [row[0].get_ylabel() for row in axes] == ["IPC 10\nimages", "IPC 20\nimages", "IPC 50\nimages"]
    for row, (ipc, by_name) in zip(axes, counts.items(), strict=True):
        assert len({ax.get_ylim() for ax in row}) == 1
        for ax, (_, wanted) in zip(row, by_name.items(), strict=True):
            assert bars(ax) == wanted.tolist()
            assert sum(bars(ax)) == ipc


def test_the_distribution_of_the_dataset_is_marked():
    counts = {ipc: {name: of(np.linspace(0, 1, 99), ipc) for name, of in DISTRIBUTIONS.items()} for ipc in (10, 20)}
    figure = distributions_figure(counts, (20, "hill"))
    marked = [ax for ax in figure.axes if ax.get_facecolor() != (1, 1, 1, 1)]
    assert marked == [figure.axes[5 + 1]]
    assert "scale: as all the originals together; grey: this dataset (IPC 20, hill)" in texts(figure)
    assert all(ax.get_facecolor() == (1, 1, 1, 1) for ax in distributions_figure(counts).axes)


@pytest.mark.parametrize("bad", [{}, {10: {}}, {10: {"hill": [1] * 9}}, {10: {"hill": [0.5] * 10}}])
def test_counts_that_are_no_distribution_are_refused(bad):
    with pytest.raises(InputError, match=r"give (at least one IPC|those of)"):
        distributions_figure(bad)


@pytest.mark.parametrize("name", ["difficulty", "distributions", "sheet", "sheet alone", "scored"])
def test_figures_are_a_column_wide_with_text_that_can_be_read_and_nothing_is_cut(name):
    figure = all_figures()[name]
    assert figure.get_figwidth() == pytest.approx(WIDTH, abs=0.01)
    figure.draw_without_rendering()
    assert all(text.get_fontsize() >= FONT for text in figure.findobj(Text))
    drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= -0.01
    assert drawn.x1 <= figure.get_figwidth() + 0.01
    assert drawn.y1 <= figure.get_figheight() + 0.01


def test_stages_differ_in_grey_and_for_colour_blind_readers():
    styles = [ORIGINAL, POOL, DISTILLED]
    assert len({style.get("hatch") for style in styles}) == 3
    assert ORIGINAL.get("hatch") != PRESET.get("hatch")
    okabe_ito = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert {style["color"] for style in [*styles, PRESET]} <= okabe_ito
    greys = sorted(float(np.dot(to_rgb(style["color"]), (0.299, 0.587, 0.114))) for style in styles)
    assert greys[-1] - greys[0] > 0.2


def test_pictures_have_the_same_bytes_every_time_and_the_text_of_an_svg_is_text(tmp_path):
    for part in ("a", "b"):
        for name, figure in all_figures().items():
            save_figure(figure, tmp_path / part / f"{name}.png", tmp_path / part / f"{name}.svg")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    svg = (tmp_path / "a" / "difficulty.svg").read_text()
    for words in ("English springer", "transformed difficulty (Eq. 8), easy → hard", "easiest of 10 classes"):
        assert f">{words}</" in svg
    assert "<dc:date>" not in svg
    assert ">church</text>" in (tmp_path / "a" / "sheet.svg").read_text()


def test_names_of_classes_are_shown_as_they_are(tmp_path):
    path = tmp_path / "fig.svg"
    save_figure(difficulty_figure([church("$x^2$ and \\frac")]), path)
    assert ">$x^2$ and \\frac</text>" in path.read_text()
    save_figure(difficulty_figure([church("a" * 300)]), path)
    assert ">" + "a" * 47 + "…</text>" in path.read_text()


def test_scores_are_drawn_all_together_and_class_by_class():
    titles = [ax.get_title() for ax in scored_figure({"church": [0.0, 0.05, 0.95], "golf ball": [0.5]}).axes]
    assert titles == [
        *("all images\n4 images\nmean 0.375", "church\n3 images\nmean 0.333", "golf ball\n1 images\nmean 0.500")
    ]
    assert len(scored_figure({str(k): [0.5] for k in range(21)}).axes) == 1
    with pytest.raises(InputError, match="give at least one class"):
        scored_figure({})


@pytest.mark.parametrize("bad", [[], [0.2, np.nan], [1.2], [-0.1]])
def test_values_that_are_no_difficulties_are_refused(bad):
    shown = ClassDifficulties("church", difficulties([0.5]), difficulties(bad), [0.5])
    with pytest.raises(InputError, match="church: the original difficulties must be one or more numbers in 0 … 1"):
        difficulty_figure([shown])


def solid(color: str, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new("RGB", size, color)


def pixels_of(rows: list[SheetRow], path) -> np.ndarray:
    save_figure(image_sheet(rows), path)
    return np.asarray(Image.open(path).convert("RGB"))


def test_images_are_sorted_by_difficulty_and_enlarged_pixel_for_pixel(tmp_path):
    checks = Image.fromarray((np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8))
    original = ScoredImages([solid("red"), checks, solid("blue")], [0.9, 0.1, 0.5])
    sheet = pixels_of([SheetRow("7", ScoredImages([solid("lime")], [0.3]), original)], tmp_path / "sheet.png")
    top, middle = HEADER + NAME, (sheet.shape[1] + MIDDLE) // 2
    tiles = [sheet[top : top + TILE, k * (TILE + GAP) :][:, :TILE] for k in range(3)]
    np.testing.assert_array_equal(tiles[0][:, :, 0], np.kron(np.asarray(checks), np.ones((TILE // 16,) * 2)))
    assert (tiles[1] == (0, 0, 255)).all()
    assert (tiles[2] == (255, 0, 0)).all()
    assert (sheet[top : top + TILE, middle : middle + TILE] == (0, 255, 0)).all()
    assert sheet.shape[0] == HEADER + NAME + TILE + CAPTION


def test_original_and_distilled_images_stand_side_by_side_with_their_difficulties():
    images = ScoredImages([solid("red")] * 50, np.arange(50)[::-1] / 50)
    paired = texts(image_sheet([SheetRow("church", images, images)], "1 of 10 classes"))
    spread = ["0.000", "0.240", "0.480", "0.740", "0.980"]
    how = "easy → hard, evenly spread by rank; difficulty under each image"
    assert paired == [how, "1 of 10 classes", "original", "distilled", "church", *spread, *spread]
    alone = texts(image_sheet([SheetRow("church", images)]))
    assert alone[:3] == [how, "distilled (original images are not at hand)", "church"]
    assert len(alone) == 3 + 10


def test_images_are_spread_over_the_ranks_of_their_difficulties():
    values = np.arange(50)[::-1] / 50
    assert values[spread_indices(values, 8)].tolist() == [k / 50 for k in (0, 7, 14, 21, 28, 35, 42, 49)]
    assert spread_indices([0.3, 0.1], 5).tolist() == [1, 0]


def test_images_of_other_shapes_fit_their_place(tmp_path):
    row = SheetRow("a name", ScoredImages([solid("red", (300, 100)), solid("red", (40, 70))], [0.1, 0.2]))
    sheet = pixels_of([row, row], tmp_path / "sheet.png").astype(int)
    red = (sheet[:, :, 0] - sheet[:, :, 1]) > 200
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    assert columns[-1] - columns[0] < 2 * TILE + GAP
    assert rows[0] >= HEADER + NAME
    assert rows[-1] < sheet.shape[0] - CAPTION


def test_rows_that_cannot_be_drawn_are_refused(tmp_path):
    one, uneven = ScoredImages([solid("red")], [0.1]), ScoredImages([solid("red")], [0.1, 0.2])
    with pytest.raises(InputError, match="at least one class"):
        image_sheet([])
    with pytest.raises(InputError, match="at least one class"):
        difficulty_figure([])
    with pytest.raises(InputError, match="row of 'church' has 1 distilled images and 2 difficulties"):
        image_sheet([SheetRow("church", uneven)])
    with pytest.raises(InputError, match="row of 'church' has 1 original images and 2 difficulties"):
        image_sheet([SheetRow("church", one, uneven)])
    with pytest.raises(InputError, match="one has no original images"):
        image_sheet([SheetRow("church", one, one), SheetRow("dog", one)])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        save_figure(image_sheet([SheetRow("church", one)]), tmp_path / "file" / "sheet.png")


def test_pyplot_is_left_alone():
    code = "import sys; from ddgs_hub.evaluation import image_sheet; print('matplotlib.pyplot' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"
