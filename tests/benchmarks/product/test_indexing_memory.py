"""Test the memory benchmark: inputs, a run in a process of its own, and its figures by hand."""

import importlib
import json

import pytest
from tiny_encoder import make_tiny_encoder

pytestmark = pytest.mark.slow

harness = importlib.import_module("benchmarks.common.harness")
show_results = importlib.import_module("benchmarks.report.show_results")
indexing_memory = importlib.import_module("benchmarks.product.indexing_memory")

TEXTS = ["cat and dog", "the green river", "old stone house", "song of the moon", "iron ship at sea", "red fire"]


def test_the_first_lines_with_text_are_copied(tmp_path):
    (tmp_path / "all.txt").write_text("one\n\ntwo\n \nthree\nfour\n")
    indexing_memory.copy_lines(tmp_path / "all.txt", tmp_path / "some.txt", 3)
    assert (tmp_path / "some.txt").read_text() == "one\ntwo\nthree\n"
    with pytest.raises(SystemExit, match="expected at least 5 lines with text, got 4"):
        indexing_memory.copy_lines(tmp_path / "all.txt", tmp_path / "some.txt", 5)


def test_indexing_is_measured_in_a_process_of_its_own(tmp_path):
    encoder = make_tiny_encoder(tmp_path / "tiny")
    (tmp_path / "all.txt").write_text("".join(f"{TEXTS[i % 6]} {i}\n" for i in range(20)))
    command = harness.module_command("product.indexing_memory", "--corpus", tmp_path / "all.txt")
    options = ["--lines", "10", "20", "--encoder", encoder, "--output", tmp_path / "out.json"]
    harness.run([*command, *options], env=harness.module_environment())
    made = show_results.read_result(tmp_path / "out.json")
    peaks = {item["name"]: item["median"] for item in made["measurements"]}
    assert 50 < peaks["peak memory, 10 lines"] < 500
    assert made["settings"]["lines"] == [10, 20]
    assert str(tmp_path) not in json.dumps(made)


def test_figures_by_hand():
    finished = {
        200: [harness.ProcessRun(2.0, 400_000_000, ""), harness.ProcessRun(4.0, 600_000_000, "")],
        1000: [harness.ProcessRun(9.0, 800_000_000, ""), harness.ProcessRun(9.0, 900_000_000, "")],
    }
    measurements, targets = indexing_memory.figures(finished)
    assert [item["median"] for item in measurements] == [500, 850, 3, 9, 1.75]
    assert [item["met"] for item in targets] == [True, True, False]


def test_one_size_gives_no_growth():
    measurements, targets = indexing_memory.figures({200: [harness.ProcessRun(2.0, 1_600_000_000, "")]})
    assert len(measurements) == 2
    assert [item["met"] for item in targets] == [False]


def test_a_peak_that_may_be_the_parents_is_an_error():
    with pytest.raises(SystemExit, match="expected peaks above"):
        indexing_memory.require_above_parent_peak([10**12, 1])
