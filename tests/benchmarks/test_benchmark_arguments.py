"""The benchmarks' command lines: what they say of themselves and of a user's mistake."""

import pytest

from benchmarks import auto_targets, guides, stable_draws
from benchmarks.measure import exit_after


def test_help_ends_without_measuring(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["stable_draws", "--help"])
    with pytest.raises(SystemExit, match="0"):
        stable_draws.main()
    assert "picks of 100" not in capsys.readouterr().out


def test_help_keeps_the_lines_of_a_table(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["auto_targets", "--help"])
    with pytest.raises(SystemExit, match="0"):
        auto_targets.main()
    assert "\n| tilt |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("benchmark", "arguments", "message"),
    [
        (auto_targets, ["a", "b", "none"], "'none' is neither a folder nor OWNER/NAME"),
        (guides, ["--set", "colour=1"], "unknown key 'colour'"),
    ],
)
def test_mistake_is_a_sentence_and_2(monkeypatch, capsys, benchmark, arguments, message):
    monkeypatch.setattr("sys.argv", ["benchmark", *arguments])
    with pytest.raises(SystemExit, match="2"):
        exit_after(benchmark.main)
    assert message in capsys.readouterr().err
