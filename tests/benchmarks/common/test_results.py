"""Test measurements, targets and result files by hand."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

results = importlib.import_module("benchmarks.common.results")
show_results = importlib.import_module("benchmarks.report.show_results")


def test_a_measurement_keeps_every_value_beside_its_median():
    assert results.measurement("query", "ms", [5, 1, 3, 2]) == {
        "name": "query",
        "unit": "ms",
        "median": 2.5,
        "min": 1,
        "max": 5,
        "values": [5, 1, 3, 2],
    }


def test_percentiles_of_0_to_100_are_their_own_value():
    made = results.measurement("query", "ms", range(101), percentiles=True)
    assert (made["median"], made["p95"], made["p99"]) == (50, 95, 99)


@pytest.mark.parametrize(
    ("bound", "met"),
    [({"at_most": 2}, True), ({"at_most": 1.9}, False), ({"at_least": 2}, True), ({"at_least": 2.1}, False)],
)
def test_a_target_is_met_up_to_its_limit(bound, met):
    made = results.target(results.measurement("time", "s", [1, 2, 9]), **bound)
    assert (made["measured"], made["met"]) == (2, met)


def test_ratios_are_taken_round_by_round():
    made = results.ratios("a / b", [6, 8, 10], [2, 4, 1])
    assert made["values"] == [3, 2, 10]
    assert made["median"] == 3  # the ratio of the medians would be 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.02134, "0.0213"), (0.6896, "0.690"), (9.96, "9.96"), (14.72, "14.7"), (3150.4, "3,150")],
)
def test_numbers_have_three_significant_digits(value, text):
    assert results.number_text(value) == text


def test_a_result_holds_date_machine_settings_and_versions(latency_result):
    assert latency_result["format"] == 1
    assert latency_result["benchmark"] == "latency"
    assert {"date", "commit", "settings", "machine", "versions", "measurements", "targets"} <= set(latency_result)
    assert {"processor", "cores", "features", "memory_bytes", "system", "python"} <= set(latency_result["machine"])
    assert latency_result["versions"]["numpy"] == np.__version__
    assert latency_result["versions"]["torch"] == "2.13.0"
    assert str(Path.home()) not in json.dumps(latency_result)


def test_a_result_file_round_trips_and_keeps_values_on_one_line(latency_result, tmp_path, capsys):
    results.write_result(latency_result, tmp_path / "new" / "latency.json")
    assert show_results.read_result(tmp_path / "new" / "latency.json") == latency_result
    assert '"values": [14.0, 15.0, 19.5]' in (tmp_path / "new" / "latency.json").read_text()
    assert "query        ms           15.0    19.1  19.4  14.0   19.5   3" in capsys.readouterr().out
