"""The command for a GPU, in its pieces; `make gpu GPU=--toy`, which CI calls, runs it whole."""

import json
import sys
import time

import pytest

from benchmarks.gpu import base
from benchmarks.gpu.__main__ import Call
from benchmarks.gpu.parts import GPU, TOY, all_parts
from benchmarks.gpu.record import RESULTS, TABLE, Record, last_object, read_report, run
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows
from ddgs_hub.diffusion import load_dit
from ddgs_hub.recipe import load_recipe

BASE_RECIPE = load_recipe(base.RECIPE)


def test_parts_have_plain_and_our_ways_and_fit_into_the_time(tmp_path):
    parts = all_parts(GPU, "cuda", tmp_path)
    ways = {part.name for part in parts}
    for benchmark in ("generation", "finetuning", "evaluation"):
        assert {f"{benchmark}/{way}" for way in ("plain", "eager", "compiled")} <= ways
    assert {"tests", "scoring/plain", "scoring/eager"} <= ways
    assert all(part.limit <= 300 for part in parts)  # a call of nine minutes can begin each
    assert [part.name for part in all_parts(TOY, "cpu", tmp_path)] == [part.name for part in parts]


def test_what_hangs_is_ended_with_all_that_it_started_and_what_fails_says_why():
    began = time.monotonic()
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    assert run([sys.executable, "-c", child], 0.5, {})["state"] == "too slow"
    assert time.monotonic() - began < 20
    failed = run([sys.executable, "-c", "raise SystemExit('broken')"], 20, {})
    assert (failed["state"], failed["output"].strip()) == ("failed", "broken")


def test_report_of_the_tests_counts_them_and_keeps_the_failures(tmp_path):
    (tmp_path / "r.xml").write_text(
        "<testsuites><testsuite><testcase classname='a' name='x'/>"
        "<testcase classname='a' name='y'><skipped/></testcase>"
        "<testcase classname='a' name='z'><failure>assert 1 == 2</failure></testcase></testsuite></testsuites>"
    )
    found = read_report(tmp_path / "r.xml")
    assert found == {"passed": 1, "failed": 1, "skipped": 1, "failures": {"a::z": "assert 1 == 2"}}


def plan_here(original, call):
    """What the process that plans comes back with, without the seconds that its start takes."""
    folder = str(call.work / "original")
    return base.plan(str(original), folder, 60.0, call.sizes.timed_steps, list(call.sizes.recipe))


def test_second_call_skips_what_is_done_and_goes_on_with_the_base(tmp_path):
    call = Call(TOY, tmp_path, None, 5, 25)
    result = {"state": "done", "seconds": 1.0, "result": {"seconds": 0.5, "peak_memory": 1.0}}
    parts = all_parts(TOY, "cpu", call.work)
    call.record.parts = {part.name: result | {"command": part.command[1:]} for part in parts}
    call.record.parts["tests"]["result"] = {"passed": 3, "failed": 0, "skipped": 1, "failures": {}}
    call.record.parts["finetuning/compiled"] |= {"state": "too slow", "seconds": 60.0, "output": "…", "result": None}
    original = tmp_path / "made-up"
    base.make_up(original)
    call.record.base = {"plan": plan_here(original, call), "state": "planned"}
    call.record.write(tmp_path)
    again = Call(TOY, tmp_path, str(original), 5, 99)
    assert again.work_off()
    found = json.loads((tmp_path / RESULTS).read_text())
    assert found["total_minutes"] == 25
    assert found["base"]["state"] == "done"
    assert found["base"]["result"]["steps"] == found["base"]["plan"]["steps"] == 40
    assert 0 < found["base"]["bytes"] <= base.MOST_BYTES
    assert again.failed == ["finetuning/compiled"]
    assert load_dit(str(tmp_path / "base")).config.num_layers == 2
    table = (tmp_path / TABLE).read_text()
    assert "| generation | compiled | 2 images/s | 1.00× | 1.00 GiB |" in table
    assert "| finetuning | compiled | too slow |" in table
    assert "3 passed, 0 failed, 1 skipped" in table
    with pytest.raises(InputError, match="choose another --output"):
        Call(GPU, tmp_path, None, 5, 25)
    assert Record.of(tmp_path) == again.record


def test_part_of_other_arguments_is_not_kept(tmp_path):
    call = Call(TOY, tmp_path, None, 5, 25)
    part = all_parts(TOY, "cpu", call.work)[-1]
    call.record.parts[part.name] = {"state": "done", "seconds": 1.0, "command": part.command[1:]}
    assert call._has(part)
    call.record.parts[part.name]["command"] = [*part.command[1:-1], "{}"]
    assert not call._has(part)


def test_folder_that_is_not_there_is_refused_before_the_benchmarks(tmp_path):
    with pytest.raises(InputError, match="is no folder: give one"):
        Call(TOY, tmp_path / "out", str(tmp_path / "none"), 5, 25)
    assert not (tmp_path / "out").exists()


def test_result_is_found_before_what_libraries_print_at_their_end():
    assert last_object('warning\n{"seconds": 1.5, "difficulty": [0.1]}\n{leaked}\nbye\n') == {"seconds": 1.5}
    assert last_object("bye\n") is None


def test_base_above_the_limit_counts_as_failed(tmp_path):
    call = Call(TOY, tmp_path, None, 5, 25)
    call.record.base = {"state": "done", "bytes": base.MOST_BYTES + 1, "fits": False}
    assert call.failed == ["base"]


def test_weights_of_the_recipe_are_brought_below_the_limit():
    training = BASE_RECIPE.model.pretraining
    assert base._depth(training, (4, 16, 16), 2**19) == 5  # of 8: a block is 2.3 MiB, and its embedder beside it
    assert base._depth(training, (4, 16, 16), 4 * 2**20) == 4


def test_packed_images_are_small_jpegs_of_the_same_classes(tmp_path):
    base.make_up(tmp_path / "source")
    base.pack(str(tmp_path / "source"), tmp_path / "packed")
    rows = read_rows(tmp_path / "packed", "validation")
    assert rows["wnid"] == read_rows(tmp_path / "source", "validation")["wnid"]
    assert (rows[0]["image"].size, rows[0]["image"].format) == ((64, 64), "JPEG")
