"""Test the Markdown of result files."""

import importlib

import pytest

results = importlib.import_module("benchmarks.common.results")
show_results = importlib.import_module("benchmarks.report.show_results")


def test_targets_and_measurements_are_markdown_tables(latency_result):
    assert show_results.targets([latency_result]).splitlines() == [
        "| benchmark | target | limit | measured (median) | met |",
        "|---|---|---|---|---|",
        "| latency | query | at most 15.0 ms | 15.0 ms | yes |",
    ]
    section = show_results.section(latency_result).splitlines()
    assert section[:6] == [
        "### latency",
        "",
        "| measurement | unit | median | p95 | p99 | min | max | n |",
        "|---|---|---|---|---|---|---|---|",
        "| query | ms | 15.0 | 19.1 | 19.4 | 14.0 | 19.5 | 3 |",
        "| rate | documents/s | 3,150 |  |  | 3,150 | 3,150 | 1 |",
    ]
    assert "Settings: corpus c.txt, filters a = 1." in section[-1]


def test_a_missed_target_is_marked_no(latency_result):
    missed = {**latency_result, "targets": [results.target(latency_result["measurements"][0], at_most=1)]}
    assert show_results.targets([missed]).endswith("| NO |")


def test_a_result_of_another_format_is_an_error(tmp_path):
    (tmp_path / "old.json").write_text('{"format": 99}')
    with pytest.raises(SystemExit, match="expected format 1, got 99"):
        show_results.read_result(tmp_path / "old.json")
