"""The command `plan`: the sheet, JSON, other figures, errors."""

import json

import pytest
from click.testing import CliRunner, Result

from hpdsearch.cli import main
from hpdsearch.cluster.figures import SHIPPED

BILLION = ("plan", "--documents", "1e9", "--words", "120")


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def sheet(*words: str) -> dict[str, float]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return {line["key"]: line["value"] for line in json.loads(result.output)["lines"]}


def test_the_sheet_names_machine_sources_and_the_basis_of_each_line() -> None:
    result = run(*BILLION, "--codec", "rabitq", "--qps", "200")
    assert result.exit_code == 0, result.output
    table, _, rest = result.output.partition("measured on: ")
    for line in table.splitlines()[2:]:
        assert line.split()[-1] in ("computed", "measured", "interpolated", "extrapolated"), line
    assert "516.0 GB" in table
    assert "1,000,000,000 documents of 120 words" in table
    assert json.loads(SHIPPED.read_text())["machine"] in rest
    assert rest.count("commit") >= 5


def test_json_is_one_object_with_the_same_numbers() -> None:
    values = sheet(*BILLION)
    assert values["passages"] == 10**9
    assert values["vectors_bytes"] == 516 * 10**9
    assert values["shards"] == 100


def test_the_issue_s_options_are_taken() -> None:
    values = sheet(*BILLION, "--dim", "128", "--codec", "pq", "--kind", "ivf", "--recall", "0.97", "--cores", "64")
    assert values["vectors_bytes"] == 260 * 10**9
    assert sheet(*BILLION, "--shards", "200")["shards"] == 200
    assert sheet(*BILLION, "--memory", "1GB")["shards"] > 100
    assert sheet(*BILLION, "--mode", "dense")["core_ms"] < sheet(*BILLION)["core_ms"]


def test_figures_of_another_machine_replace_those_that_ship(tmp_path) -> None:
    values = json.loads(SHIPPED.read_text())
    for rate in values["encoding"]:
        rate["texts_per_second"] *= 2
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values))
    assert sheet(*BILLION, "--figures", str(path))["encode_hours"] == pytest.approx(sheet(*BILLION)["encode_hours"] / 2)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--documents", "-5", "--words", "10"), 2, "expected a whole number from 1"),
        (("--documents", "many", "--words", "10"), 2, "expected a whole number from 1"),
        (("--documents", "1.5", "--words", "10"), 2, "expected a whole number from 1"),
        (("--documents", "1e400", "--words", "10"), 2, "expected a whole number from 1"),
        (("--documents", "10", "--words", "-1"), 1, "words: expected more than 0"),
        (("--documents", "10", "--words", "10", "--codec", "zip"), 2, "'zip' is not one of"),
        (("--documents", "1e7", "--words", "10", "--ann-recall", "0.99999"), 1, "ann_recall: expected at most"),
        (("--documents", "10", "--words", "10", "--dim", "9999"), 1, "dim: expected at most 256"),
        (("--documents", "10", "--words", "10", "--encoder", "nobody"), 1, "nobody"),
        (("--documents", "10", "--words", "10", "--memory", "1MB"), 1, "memory: expected more than"),
        (("--documents", "10", "--words", "10", "--gpus", "1"), 1, "base on cuda"),
        (("--documents", "10", "--words", "10", "--figures", "missing.json"), 2, "missing.json"),
    ],
)
def test_bad_input_is_an_error_without_a_traceback(options, code, message) -> None:
    result = run("plan", *options)
    assert result.exit_code == code, result.output
    assert message in result.output
    assert "Traceback" not in result.output
