import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation import ClassDifficulties, Difficulties, SheetRow, difficulty_figure, image_sheet, scored_figure
from ddgs_hub.evaluation.figures import CAPTION, CHARACTER, GAP, HEADER, TILE


def difficulties(original: list[float]) -> Difficulties:
    return Difficulties(original=original, pool=[0.05, 0.15, 0.95], distilled=[0.05])


def test_panels_show_means_and_counts_in_half_open_bins(tmp_path):
    before = difficulties([0.0, 0.05, 0.1, 0.3, 0.3, 0.3, 1.0])
    path = difficulty_figure([ClassDifficulties("church", before, difficulties([0.7] * 8))], tmp_path / "a" / "fig.svg")
    svg = path.read_text()
    comments = [line.split("<!-- ")[1].split(" -->")[0] for line in svg.splitlines() if "<!-- " in line]
    assert "church" in comments
    assert "original (7), mean 0.293" in comments
    assert "original (8), mean 0.700" in comments
    assert comments.count("pool (3), mean 0.383") == comments.count("distilled (1), mean 0.050") == 2
    # Counts above the bars of the first panel, before its title: 0.0 and 0.05; 0.1; three of 0.3; and the closed 1.0.
    panel = comments[: comments.index("original (7), mean 0.293")]
    assert panel[-4:] == ["2", "1", "3", "1"]
    assert "with log transformation" in svg
    assert "without log transformation" in svg


def test_scores_are_drawn_all_together_and_class_by_class(tmp_path):
    svg = scored_figure({"church": [0.0, 0.05, 0.95], "golf ball": [0.5]}, tmp_path / "fig.svg").read_text()
    comments = [line.split("<!-- ")[1].split(" -->")[0] for line in svg.splitlines() if "<!-- " in line]
    for title in ("all images", "church", "golf ball"):
        assert title in comments
    assert {"4 images, mean 0.375", "3 images, mean 0.333", "1 images, mean 0.500"} <= set(comments)
    many = scored_figure({str(k): [0.5] for k in range(21)}, tmp_path / "many.svg").read_text()
    assert "21 images, mean 0.500" in many
    assert "1 images, mean 0.500 -->" not in many.replace("21 images", "")
    with pytest.raises(InputError, match="give at least one class"):
        scored_figure({}, tmp_path / "none.svg")


def test_a_figure_of_several_classes_is_a_larger_image(tmp_path):
    one, two = (
        Image.open(difficulty_figure([ClassDifficulties("a", difficulties([0.5]), difficulties([0.5]))] * k, path))
        for k, path in ((1, tmp_path / "one.png"), (2, tmp_path / "two.png"))
    )
    assert two.width == one.width
    assert two.height == 2 * one.height


@pytest.mark.parametrize("bad", [[], [0.2, np.nan], [1.2], [-0.1]])
def test_values_that_are_no_difficulties_are_refused(tmp_path, bad):
    shown = ClassDifficulties("church", difficulties([0.5]), difficulties(bad))
    with pytest.raises(InputError, match="church: the original difficulties must be one or more numbers in 0 … 1"):
        difficulty_figure([shown], tmp_path / "fig.png")


def solid(color: str, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new("RGB", size, color)


def test_images_are_sorted_by_difficulty_and_enlarged_pixel_for_pixel(tmp_path):
    checks = Image.fromarray((np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8))
    row = SheetRow("7", [solid("red"), checks, solid("blue")], [0.9, 0.1, 0.5])
    sheet = np.asarray(Image.open(image_sheet([row], tmp_path / "sheet.png")).convert("RGB"))
    margin = 2 * GAP + CHARACTER
    tiles = [sheet[HEADER : HEADER + TILE, margin + k * (TILE + GAP) :][:, :TILE] for k in range(3)]
    np.testing.assert_array_equal(tiles[0][:, :, 0], np.kron(np.asarray(checks), np.ones((TILE // 16,) * 2)))
    assert (tiles[1] == (0, 0, 255)).all()
    assert (tiles[2] == (255, 0, 0)).all()
    assert sheet.shape[0] == HEADER + TILE + CAPTION


def test_long_rows_show_images_spread_over_the_difficulties(tmp_path):
    row = SheetRow("church", [solid("red")] * 50, np.arange(50)[::-1] / 50)
    svg = image_sheet([row], tmp_path / "sheet.svg", columns=8).read_text()
    shown = [f"<!-- {value:.3f} -->" in svg for value in np.arange(50) / 50]
    assert np.flatnonzero(shown).tolist() == [0, 7, 14, 21, 28, 35, 42, 49]


def test_images_of_other_shapes_fit_their_place(tmp_path):
    row = SheetRow("a long name of a class", [solid("red", (300, 100)), solid("red", (40, 70))], [0.1, 0.2])
    sheet = np.asarray(Image.open(image_sheet([row, row], tmp_path / "sheet.png")).convert("RGB")).astype(int)
    red = (sheet[:, :, 0] - sheet[:, :, 1]) > 200
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    assert columns[-1] - columns[0] < 2 * TILE + GAP
    assert rows[0] >= HEADER
    assert rows[-1] < sheet.shape[0] - CAPTION


def test_rows_that_cannot_be_drawn_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least one class"):
        image_sheet([], tmp_path / "sheet.png")
    with pytest.raises(InputError, match="at least one class"):
        difficulty_figure([], tmp_path / "sheet.png")
    with pytest.raises(InputError, match="row of 'church' has 1 images and 2 difficulties"):
        image_sheet([SheetRow("church", [solid("red")], [0.1, 0.2])], tmp_path / "sheet.png")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        image_sheet([SheetRow("church", [solid("red")], [0.1])], tmp_path / "file" / "sheet.png")


def test_pyplot_is_left_alone():
    code = "import sys; from ddgs_hub.evaluation import image_sheet; print('matplotlib.pyplot' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"
