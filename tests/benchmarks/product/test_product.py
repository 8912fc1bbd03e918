"""The benchmark scripts: their arithmetic by hand, and a tiny run of what each of them measures."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_encoder import make_tiny_encoder

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.records import Document

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
common = importlib.import_module("benchmarks.common.harness")
report = importlib.import_module("benchmarks.common.results")
machine = importlib.import_module("benchmarks.common.machine")
table = importlib.import_module("benchmarks.report.show_results")
startup = importlib.import_module("benchmarks.product.startup")
query_latency = importlib.import_module("benchmarks.product.query_latency")
indexing = importlib.import_module("benchmarks.product.indexing")
indexing_round = importlib.import_module("benchmarks.product.indexing_round")
indexing_memory = importlib.import_module("benchmarks.product.indexing_memory")
st_query = importlib.import_module("sentence_transformers_query")

WORDS = ["cat and dog", "the green river", "old stone house", "song of the moon", "iron ship at sea", "red fire"]
QUERIES = ["a small cat", "ship", "old song"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    records = [{"id": f"d{i}", "text": f"{WORDS[i % 6]} {i}", "title": "book", "size": i} for i in range(30)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def index_folder(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    documents = [Document(f"d{i}", f"{WORDS[i % 6]} {i}", metadata={"size": i}) for i in range(30)]
    Index.build(tmp_path / "index", documents, encoder=tiny_encoder).close()
    return tmp_path / "index"


# ---- common


def test_cases_take_turns_and_every_other_round_runs_backwards():
    calls = []
    cases = {name: lambda number, name=name: calls.append((name, number)) or f"{name}{number}" for name in "ab"}
    results = common.run_interleaved(cases, 3)
    warm_up, rounds = [("a", -1), ("b", -1)], [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert calls == warm_up + rounds
    assert results == {"a": ["a0", "a1", "a2"], "b": ["b0", "b1", "b2"]}


def test_without_warm_up_nothing_runs_unrecorded():
    calls = []
    common.run_interleaved({"a": calls.append}, 2, warm_up=False)
    assert calls == [0, 1]


def test_a_process_is_timed_from_start_to_end():
    finished = common.run([sys.executable, "-c", "import time; time.sleep(0.3); print('done')"])
    assert finished.stdout == "done\n"
    assert 0.3 <= finished.seconds < 10


def test_a_process_that_fails_is_an_error_with_what_it_said():
    with pytest.raises(SystemExit, match=r"expected exit code 0, got 3:\nno such thing"):
        common.run([sys.executable, "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(3)"])


def test_json_is_read_from_the_last_line_of_a_process():
    assert common.run_json([sys.executable, "-c", "print('loading'); print('[1, 2]')"]) == [1, 2]


def test_environment_variables_are_added_to_those_that_are_there():
    finished = common.run(
        [sys.executable, "-c", "import os; print(os.environ['A'], 'PATH' in os.environ)"], env={"A": "1"}
    )
    assert finished.stdout == "1 True\n"


def test_peak_memory_is_that_of_the_process():
    # From a process of its own: on Linux a child's peak begins with its parent's, and pytest's may be large.
    code = (
        "import json, sys; from benchmarks.common.harness import run; "
        "print(json.dumps([run([sys.executable, '-c', f'x = b\"1\" * {n}']).peak_bytes for n in (1, 200_000_000)]))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], env={**os.environ, **common.module_environment()})
    small, large = json.loads(printed)
    assert 200_000_000 <= large < 300_000_000
    assert small < 100_000_000


def test_fewer_documents_than_asked_for_are_an_error(corpus):
    assert [document.doc_id for document in common.first_documents(corpus, 2)] == ["d0", "d1"]
    assert len(common.first_documents(corpus)) == 30
    with pytest.raises(SystemExit, match="expected at least 31 documents, got 30"):
        common.first_documents(corpus, 31)


def test_a_file_is_told_by_name_and_sum_but_not_by_its_folder(tmp_path):
    (tmp_path / "abc.txt").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert common.file_identity(tmp_path / "abc.txt") == {"name": "abc.txt", "bytes": 3, "sha256": sha256}


def test_there_are_two_hundred_different_queries():
    queries = common.read_queries()
    assert len(queries) == len({query.lower() for query in queries}) == 200


@pytest.mark.parametrize("repeats", ["0", "-1"])
def test_no_rounds_at_all_cannot_be_asked_for(repeats, capsys):
    with pytest.raises(SystemExit):
        common.argument_parser("", "name").parse_args(["--repeats", repeats])
    assert f"expected 1 or more, got {repeats}" in capsys.readouterr().err


# ---- report, machine, table


def test_a_measurement_keeps_every_value_beside_its_median():
    assert report.measurement("query", "ms", [5, 1, 3, 2]) == {
        "name": "query",
        "unit": "ms",
        "median": 2.5,
        "min": 1,
        "max": 5,
        "values": [5, 1, 3, 2],
    }


def test_percentiles_lie_where_they_should():
    made = report.measurement("query", "ms", range(101), percentiles=True)
    assert (made["median"], made["p95"], made["p99"]) == (50, 95, 99)


@pytest.mark.parametrize(
    ("bound", "met"),
    [({"at_most": 2}, True), ({"at_most": 1.9}, False), ({"at_least": 2}, True), ({"at_least": 2.1}, False)],
)
def test_a_target_is_met_up_to_its_limit(bound, met):
    made = report.target(report.measurement("time", "s", [1, 2, 9]), **bound)
    assert (made["measured"], made["met"]) == (2, met)


def test_ratios_are_taken_round_by_round():
    made = report.ratios("a / b", [6, 8, 10], [2, 4, 1])
    assert made["values"] == [3, 2, 10]
    assert made["median"] == 3  # the ratio of the medians would be 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.02134, "0.0213"), (0.6896, "0.690"), (9.96, "9.96"), (14.72, "14.7"), (3150.4, "3,150")],
)
def test_numbers_are_shown_with_three_significant_digits(value, text):
    assert report.number_text(value) == text


@pytest.fixture
def made():
    query = report.measurement("query", "ms", [14, 15, 19.5], percentiles=True)
    rate = report.measurement("rate", "documents/s", [3150.4])
    return report.result(
        "latency",
        {"corpus": {"name": "c.txt", "sha256": "12"}, "filters": ["a = 1"]},
        [query, rate],
        [report.target(query, at_most=15)],
        versions={"torch": "2.13.0"},
    )


def test_a_result_says_when_where_and_with_what_it_was_measured(made):
    assert made["format"] == 1
    assert made["benchmark"] == "latency"
    assert {"date", "commit", "settings", "machine", "versions", "measurements", "targets"} <= set(made)
    assert {"processor", "cores", "features", "memory_bytes", "system", "python"} <= set(made["machine"])
    assert made["versions"]["numpy"] == np.__version__
    assert made["versions"]["torch"] == "2.13.0"
    assert str(Path.home()) not in json.dumps(made)


def test_a_result_file_gives_back_the_result_and_keeps_values_on_one_line(made, tmp_path, capsys):
    report.write_result(made, tmp_path / "new" / "latency.json")
    assert table.read_result(tmp_path / "new" / "latency.json") == made
    assert '"values": [14.0, 15.0, 19.5]' in (tmp_path / "new" / "latency.json").read_text()
    assert "query        ms           15.0    19.1  19.4  14.0   19.5   3" in capsys.readouterr().out


def test_the_report_shows_targets_and_measurements_as_markdown(made):
    assert table.targets([made]).splitlines() == [
        "| benchmark | target | wanted | measured (median) | met |",
        "|---|---|---|---|---|",
        "| latency | query | at most 15.0 ms | 15.0 ms | yes |",
    ]
    section = table.section(made).splitlines()
    assert section[:6] == [
        "### latency",
        "",
        "| measurement | unit | median | p95 | p99 | min | max | n |",
        "|---|---|---|---|---|---|---|---|",
        "| query | ms | 15.0 | 19.1 | 19.4 | 14.0 | 19.5 | 3 |",
        "| rate | documents/s | 3,150 |  |  | 3,150 | 3,150 | 1 |",
    ]
    assert "Settings: corpus c.txt, filters a = 1." in section[-1]


def test_a_missed_target_is_seen(made):
    missed = {**made, "targets": [report.target(made["measurements"][0], at_most=1)]}
    assert table.targets([missed]).endswith("| NO |")


def test_a_result_of_another_format_is_an_error(tmp_path):
    (tmp_path / "old.json").write_text('{"format": 99}')
    with pytest.raises(SystemExit, match="expected format 1, got 99"):
        table.read_result(tmp_path / "old.json")


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
def test_memory_and_features_are_those_that_the_kernel_names():
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    assert machine.machine()["memory_bytes"] == pytest.approx(kib * 1024, rel=0.01)
    words = Path("/proc/cpuinfo").read_text().split()
    assert all(feature in words for feature in machine.features())


# ---- startup


def test_whole_processes_are_timed_with_a_query_of_their_round(index_folder):
    commands = {
        **startup.own_commands(index_folder),
        startup.PEER: [sys.executable, "-c", "import sys, time; time.sleep(0.2); print(sys.argv[1])", "{query}"],
    }
    seconds = startup.measure(commands, QUERIES, 1)
    assert list(seconds) == [startup.PYTHON, startup.HELP, startup.QUERY, startup.PEER]
    assert all(len(values) == 1 for values in seconds.values())
    assert seconds[startup.PYTHON][0] < seconds[startup.QUERY][0]
    assert seconds[startup.PEER][0] >= 0.2


def test_a_program_that_answers_nothing_is_not_measured():
    with pytest.raises(SystemExit, match="expected hits, got no output"):
        startup.measure({"silent": [sys.executable, "-c", "pass", "{query}"]}, QUERIES, 1)


def test_start_up_figures_by_hand():
    seconds = {startup.HELP: [0.2, 0.3], startup.QUERY: [0.5, 0.25], startup.PEER: [4, 3]}
    measurements, targets = startup.figures(seconds)
    assert measurements[-1]["values"] == [8, 12]
    assert [(item["measured"], item["met"]) for item in targets] == [(0.25, True), (0.375, True), (10, True)]


def test_the_index_and_the_peer_must_hold_as_many_documents(index_folder, tmp_path):
    (tmp_path / "documents.json").write_text(json.dumps([{}] * 30))
    assert startup.require_same_count(index_folder, tmp_path / "documents.json") == 30
    (tmp_path / "documents.json").write_text(json.dumps([{}] * 29))
    with pytest.raises(SystemExit, match="expected the 29 documents of --corpus, got 30"):
        startup.require_same_count(index_folder, tmp_path / "documents.json")


def test_random_embeddings_have_the_peers_shape_and_unit_length():
    vectors = startup.random_embeddings(7)
    assert vectors.shape == (7, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


class AxisModel:
    """Stands for a sentence-transformers model: text number i of those it knows is the i-th axis."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def encode(self, texts: list[str], **_: bool) -> np.ndarray:
        return np.eye(len(self.texts), dtype=np.float32)[[self.texts.index(text) for text in texts]]


def test_the_peer_encodes_title_and_text_and_ranks_by_cosine():
    documents = [{"id": str(i), "title": "", "text": f"text {i}"} for i in range(11)]
    documents.append({"id": "11", "title": "title", "text": "text 11"})
    model = AxisModel([*(f"text {i}" for i in range(11)), "title\ntext 11"])
    embeddings = st_query.embed(model, documents)
    np.testing.assert_array_equal(embeddings, np.eye(12))
    embeddings[3, 5], embeddings[7, 5] = 0.5, -0.5
    found = st_query.best(model, documents, embeddings, "text 5")
    assert len(found) == 10
    assert [(score, document["id"]) for score, document in found[:2]] == [(1.0, "5"), (0.5, "3")]
    assert all(score == 0 for score, _ in found[2:])
    assert len(st_query.best(model, documents[:3], embeddings[:3], "text 0")) == 3


# ---- query latency


def test_every_mode_filter_and_stage_is_measured_for_every_query(index_folder, tiny_encoder):
    made = query_latency.measure(index_folder, tiny_encoder, QUERIES, ["size >= 10"], k=3, repeats=2)
    values = {item["name"]: item["values"] for item in made}
    passes = ["dense", "lexical", "hybrid", "hybrid where size >= 10", "first use of size >= 10"]
    stages = ["total", "encode", "search", "fetch"]
    expected = {f"{name}, {stage}" for name in passes for stage in stages} - {"lexical, encode"}
    assert set(values) == expected
    for name in passes[:4]:
        assert len(values[f"{name}, total"]) == 2 * len(QUERIES)
    assert len(values["first use of size >= 10, total"]) == 2
    for position, total in enumerate(values["hybrid, total"]):
        parts = [values[f"hybrid, {stage}"][position] for stage in stages[1:]]
        assert all(part > 0 for part in parts)
        assert math.isclose(sum(parts), total, rel_tol=1e-3)


def test_the_stage_clock_leaves_no_trace(index_folder, tiny_encoder):
    with Index.open(index_folder, encoder=tiny_encoder) as index:
        before = index.search(QUERIES[0], 5)
        query_latency.time_query(index, tiny_encoder, QUERIES[0], query_latency.Case("hybrid"), 5)
        assert "encode" not in vars(tiny_encoder)
        assert index.search(QUERIES[0], 5) == before


# ---- indexing


@pytest.mark.parametrize("order", [("build", "encode"), ("encode", "build")])
def test_a_round_builds_and_encodes_the_same_texts(corpus, tiny_encoder, order):
    found = indexing_round.measure_round(corpus, 20, tiny_encoder, order)
    assert (found["n_documents"], found["n_passages"]) == (20, 20)
    assert 0 < found["encode_seconds_in_build"] < found["build_seconds"]
    assert found["encode_seconds"] > 0


def test_the_texts_encoded_alone_are_those_that_indexing_encodes(corpus, tiny_encoder):
    texts = indexing_round.passage_texts(indexing_round.iterate_documents(corpus, 2), tiny_encoder)
    assert texts == ["book\ncat and dog 0", "book\nthe green river 1"]


def test_indexing_figures_by_hand():
    own = [
        {"build_seconds": b, "encode_seconds": e, "encode_seconds_in_build": e, "n_documents": 100, "n_passages": 120}
        for b, e in [(12, 10), (10, 8), (6, 5)]
    ]
    teacher = [{"n_texts": 10, "seconds": {"float32": s}} for s in (4, 5, 10)]
    probe = {"n_texts": 8, "seconds": {"float32": 2, "bfloat16": 16}}
    measurements, targets = indexing.figures(own, teacher, probe, "float32")
    medians = {item["name"]: item["median"] for item in measurements}
    assert medians["index: corpus file to open index"] == 10
    assert medians["indexing rate"] == 10
    assert medians["teacher's encoding rate, float32"] == 2
    assert medians["probe of 8 texts: teacher, bfloat16"] == 0.5
    assert medians["indexing / encoder alone"] == 1.2  # of 1.2, 1.25, 1.2
    assert medians["indexing rate / teacher's encoding rate"] == 6  # of 10 / 2.5, 12 / 2, 20 / 1
    assert [item["met"] for item in targets] == [True, True]


def test_a_sample_is_taken_evenly_from_the_whole_corpus():
    assert indexing.sample_evenly(list("abcdefghij"), 4) == ["a", "c", "f", "h"]
    assert indexing.sample_evenly(["a", "b"], 4) == ["a", "b"]


def test_the_teacher_is_mean_pooled_without_padding_in_the_order_of_the_texts():
    import torch

    teacher_encode = importlib.import_module("teacher_encode")
    table_of_states = np.random.default_rng(0).normal(size=(128, 8)).astype(np.float32)

    def tokenize(texts, *, max_length, **_):
        lists = [[ord(character) for character in text][:max_length] for text in texts]
        width = max(map(len, lists))
        return {
            "input_ids": torch.tensor([ids + [0] * (width - len(ids)) for ids in lists]),
            "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in lists]),
        }

    def model(input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=torch.from_numpy(table_of_states)[input_ids])

    texts = ["cat", "a longer text", "dog", "x", "a text that is cut"]
    found = teacher_encode.encode(model, tokenize, texts, "float32", batch=2, max_tokens=10).numpy()
    for text, vector in zip(texts, found, strict=True):
        mean = table_of_states[[ord(character) for character in text[:10]]].mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


# ---- memory


def test_the_first_lines_with_text_are_copied(tmp_path):
    (tmp_path / "all.txt").write_text("one\n\ntwo\n \nthree\nfour\n")
    indexing_memory.copy_lines(tmp_path / "all.txt", tmp_path / "some.txt", 3)
    assert (tmp_path / "some.txt").read_text() == "one\ntwo\nthree\n"
    with pytest.raises(SystemExit, match="expected at least 5 lines with text, got 4"):
        indexing_memory.copy_lines(tmp_path / "all.txt", tmp_path / "some.txt", 5)


def test_indexing_is_measured_in_a_process_of_its_own(tmp_path):
    encoder = make_tiny_encoder(tmp_path / "tiny")
    (tmp_path / "all.txt").write_text("".join(f"{WORDS[i % 6]} {i}\n" for i in range(20)))
    command = common.module_command("product.indexing_memory", "--corpus", tmp_path / "all.txt")
    options = ["--lines", "10", "20", "--encoder", encoder, "--output", tmp_path / "out.json"]
    common.run([*command, *options], env=common.module_environment())
    made = table.read_result(tmp_path / "out.json")
    peaks = {item["name"]: item["median"] for item in made["measurements"]}
    assert 50 < peaks["peak memory, 10 lines"] < 500
    assert made["settings"]["lines"] == [10, 20]
    assert str(tmp_path) not in json.dumps(made)


def test_memory_figures_by_hand():
    finished = {
        200: [common.ProcessRun(2.0, 400_000_000, ""), common.ProcessRun(4.0, 600_000_000, "")],
        1000: [common.ProcessRun(9.0, 800_000_000, ""), common.ProcessRun(9.0, 900_000_000, "")],
    }
    measurements, targets = indexing_memory.figures(finished)
    assert [item["median"] for item in measurements] == [500, 850, 3, 9, 1.75]
    assert [item["met"] for item in targets] == [True, True, False]


def test_one_size_alone_says_nothing_about_growth():
    measurements, targets = indexing_memory.figures({200: [common.ProcessRun(2.0, 1_600_000_000, "")]})
    assert len(measurements) == 2
    assert [item["met"] for item in targets] == [False]


def test_a_peak_that_may_be_the_starters_own_is_refused():
    with pytest.raises(SystemExit, match="expected peaks above"):
        indexing_memory.require_bigger_than_starter([10**12, 1])
