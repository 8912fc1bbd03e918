"""Test the report, whose numbers all come from result files, and the Pareto front by hand."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
pareto = importlib.import_module("benchmarks.report.pareto")
report = importlib.import_module("benchmarks.common.results")
style = importlib.import_module("benchmarks.common.style")
write_report = importlib.import_module("benchmarks.report.write")
tables = importlib.import_module("benchmarks.report.tables")


def result_with(*measurements, name="retrieval", **more):
    return report.result(name, {"n": 1000}, measurements, []) | more


def measured(system, what, value, unit="", **about):
    return report.measurement(f"{system}: {what}", unit, [value]) | {"system": system, "what": what} | about


@pytest.mark.parametrize(
    "text", ["It takes 5 ms.", "About 97.9 % is kept.", "| base | 1,000 |", "- twice: +0.5 points"]
)
def test_a_number_in_the_template_is_an_error(text):
    with pytest.raises(SystemExit, match=r"REPORT.template.md:2: expected numbers from result files only"):
        write_report.require_no_numbers(f"# Title\n{text}\n")


def test_digits_in_names_code_and_links_are_not_numbers():
    words = "nDCG@10 of all-MiniLM-L6-v2 as f32, `k=10`, [here](results/a-1.svg), BM25, recall@100, {{quality}}"
    write_report.require_no_numbers(words)


def test_the_template_has_no_number_and_no_unknown_table():
    template = write_report.TEMPLATE.read_text()
    write_report.require_no_numbers(template)
    assert {name.strip() for name in write_report.PLACEHOLDER.findall(template)} <= tables.TABLES.keys()


def test_an_unknown_table_in_the_template_is_an_error():
    with pytest.raises(SystemExit, match=r"\{\{qualty\}\}: expected one of summary, quality"):
        write_report.fill_template("{{qualty}}", {"retrieval": result_with()})


def test_without_results_there_is_no_report(tmp_path):
    with pytest.raises(SystemExit, match="expected result files"):
        write_report.read_results(tmp_path)


def test_links_to_pictures_are_relative_to_the_page(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.svg").write_text("")
    words = "![one](results/a.svg) ![other](results/b.svg)"
    for page, link in ((tmp_path / "REPORT.md", "results/a.svg"), (tmp_path / "results" / "REPORT.md", "a.svg")):
        made = write_report.link_pictures(words, tmp_path / "results", page)
        assert made == f"![one]({link}) *(not drawn in this run)*"


def test_losses_list_every_column_in_which_another_program_is_better():
    here = [("hpdsearch base", 120, 60), ("bm25s", 5, 55), ("script", 400, 61)]
    engines = result_with(
        *(measured(name, "indexing", seconds, "s") for name, seconds, _ in here),
        *(measured(name, "nDCG@10", ndcg) for name, _, ndcg in here),
        name="engines",
    )
    assert tables.losses({"engines": engines}).splitlines() == [
        "- indexing s: bm25s 5.00; hpdsearch base 120.",
        "- nDCG@10: script 61.0; hpdsearch base 60.0.",
    ]


def test_losses_list_missed_targets():
    slow = report.measurement("query", "ms", [3.0])
    made = report.result("scale", {}, [slow], [report.target(slow, at_most=2)])
    assert tables.losses({"scale": made}) == "- Target missed (scale): query, at most 2.00 ms: 3.00 ms."


def systems():
    """Return name -> (encoder, index, nDCG@10, bytes, ms), for n = 1000."""
    return {
        "a": ("big", "flat f32", 60.0, 3072, 4.0),
        "b": ("base", "flat pq", 59.0, 64, 0.2),
        "c": ("base", "ivf pq", 58.0, 64, 0.1),
        "d": ("static", "flat f32", 50.0, 1024, 0.3),
    }


@pytest.fixture
def sources():
    listed = []
    for name, (encoder, index, ndcg, size, milliseconds) in systems().items():
        about = {"n": 1000, "encoder": encoder, "dim": 128, "index": index}
        listed.append(measured(name, "nDCG@10", ndcg, **about))
        listed.append(measured(name, "bytes a document", size, "B", **about))
        listed.append(measured(name, "query p50", milliseconds, "ms", **about))
    listed.append(measured("not judged", "query p50", 1, "ms", n=10, encoder="base", dim=128, index="flat f32"))
    single = {"teacher": 30.0, "base": 6.0, "static": 0.01}
    encoding = [measured(name, "single text", value, "ms", threads=1) for name, value in single.items()]
    encoding.append(measured("big, ONNX", "single text", 20.0, "ms", threads=1))
    return result_with(*listed), result_with(*encoding, name="encoding", settings={"teacher": "big"})


def test_points_are_joined_by_hand(sources):
    points = {one.system: one for one in pareto.join_results(*sources)}
    assert set(points) == set("abcd")
    assert points["b"].search_us == 200
    assert points["b"].whole_us == 6200
    assert points["d"].whole_us == pytest.approx(310)
    assert points["a"].size_bytes == 3072
    assert points["a"].whole_us == 24_000, "the fastest configuration of the teacher"


def test_the_pareto_front_by_hand(sources):
    points = pareto.join_results(*sources)
    assert [one.system for one in pareto.pareto_front(points, "size_bytes")] == ["b", "a"]
    assert [one.system for one in pareto.pareto_front(points, "search_us")] == ["c", "b", "a"]
    assert [one.system for one in pareto.pareto_front(points, "whole_us")] == ["d", "c", "b", "a"]


@pytest.mark.slow
def test_points_and_front_are_written_and_drawn(sources, tmp_path, monkeypatch):
    for name, made in zip(("retrieval", "encoding"), sources, strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps(made))
    words = ["pareto.py", "--results", str(tmp_path), "--output", str(tmp_path / "pareto.json")]
    monkeypatch.setattr(sys, "argv", words)
    pareto.main()
    made = json.loads((tmp_path / "pareto.json").read_text())
    assert [one["system"] for one in made["points"]] == list("abcd")
    assert made["settings"]["best"]["size_bytes"] == ["b", "a"]
    picture = (tmp_path / "pareto.svg").read_text()
    assert all(label in picture for label in ("bytes per document", "microseconds per query", "static"))


def test_a_result_without_ndcg_is_an_error(sources):
    with pytest.raises(SystemExit, match="expected systems with bytes a document"):
        pareto.join_results(result_with(), sources[1])


def test_a_system_has_one_color_under_all_its_names():
    assert style.color("all-mpnet-base-v2") == style.color("teacher")
    assert style.color("all-MiniLM-L6-v2") == style.color("MiniLM")
    assert style.color("hpdsearch") == style.color("base")
    assert style.color("all-mpnet-base-v2 projected") == style.color("teacher projected") != style.color("teacher")
    assert len(set(style.ENCODER_COLORS.values())) == len(style.ENCODER_COLORS)
