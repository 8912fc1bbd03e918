"""Test the comparison of programs: start, queries, reports of failures, and the adapter of hpdsearch."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from beir_folder import write_beir
from tiny_encoder import make_tiny_encoder

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
engines = importlib.import_module("benchmarks.engines.run")
queries = importlib.import_module("benchmarks.engines.queries")
indexing = importlib.import_module("benchmarks.engines.indexing")
processes = importlib.import_module("benchmarks.engines.processes")
protocol = importlib.import_module("protocol")

FAKE = """
import sys
sys.path.insert(0, {protocol!r})
import json
from protocol import main
def build(documents, folder, model):
    if model == "broken":
        raise ValueError("no such model")
    print("noise of a library")
    (folder / "ids.json").write_text(json.dumps([doc_id for doc_id, _ in documents]))
def open_index(folder, model):
    if model == "mute":
        raise RuntimeError("cannot open")
    if model == "silent":
        import time
        time.sleep(60)
    ids = json.loads((folder / "ids.json").read_text())
    queries = []
    def search(query):
        queries.append(query)
        if model == "tires" and len(queries) > 2:
            raise RuntimeError("tired")
        if model == "twice":
            return ids[:1] * 2, 0.25
        return ids[:2] if "green" in query else ids[2:3] if model != "empty" else [], 0.25
    return search
main(build, open_index)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Install an adapter of a program that finds its first two documents, or its third."""
    (tmp_path / "fake.py").write_text(FAKE.format(protocol=str(BENCHMARKS / "peers" / "engines")))
    monkeypatch.setattr(indexing, "ADAPTERS", tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    texts = {"a": "green tree", "b": "red fire", "c": "blue sea"}
    lines = [json.dumps({"id": doc_id, "text": text}) for doc_id, text in texts.items()]
    (work / "corpus.jsonl").write_text("\n".join(lines))
    return SimpleNamespace(
        work=work, n=3, threads=1, rebuild=False, index_repeats=1, repeats=2, n_queries=1, seconds=9, judge_seconds=9
    )


DATA = {"queries": {"q1": "green", "q2": "sea"}, "qrels": {"q1": {"a": 1, "b": 2}, "q2": {"a": 1}}}


def by_name(made):
    return {one["name"]: one for one in made}


def measured(options, listed):
    failed, versions = {}, {}
    ready = indexing.prepare_indexes(listed, options, failed, versions)
    made = indexing.index_rows(ready)
    for stage in (queries.interleave_queries, queries.cold_queries):
        made += stage(ready, options, DATA, failed)
    return by_name(made), failed


def test_ndcg_is_computed_from_the_ids_that_a_program_returns(fake):
    made, failed = measured(fake, [processes.Engine("fake", "fake", "")])
    assert not failed
    # q1: rank 1 has grade 1 (a), rank 2 grade 2 (b); q2 finds c, which is not relevant.
    first = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    assert made["fake: nDCG@10"]["median"] == pytest.approx(100 * first / 2, rel=1e-5)
    assert made["fake: encode p50"]["median"] == 250
    assert made["fake: on disk"]["median"] == pytest.approx(len('["a", "b", "c"]') / 1e6)
    assert len(made["fake: warm query p50"]["values"]) == len(made["fake: cold query"]["values"]) == 2
    assert made["fake: indexing"]["median"] > 0
    assert made["fake: cold query"]["median"] > 0.01


def test_an_index_is_reused_by_the_next_run_and_by_a_program_that_shares_it(fake):
    listed = [processes.Engine("fake", "fake", ""), processes.Engine("fake, another way", "fake", "", shares="fake")]
    made, _ = measured(fake, listed)
    assert made["fake: indexing"]["values"] == made["fake, another way: indexing"]["values"]
    again, _ = measured(fake, listed[:1])
    assert again["fake: indexing"]["values"] == made["fake: indexing"]["values"]
    fake.rebuild = True
    rebuilt, _ = measured(fake, listed[:1])
    assert rebuilt["fake: indexing"]["values"] != made["fake: indexing"]["values"]


def test_a_failure_while_indexing_is_reported_and_the_other_programs_continue(fake):
    listed = [processes.Engine(name, "fake", model) for name, model in (("a", "broken"), ("b", "mute"), ("c", ""))]
    made, failed = measured(fake, listed)
    assert failed == {
        "a": "indexing: ValueError: no such model",
        "b": "answering: RuntimeError: cannot open",
    }
    assert {one["system"] for one in made.values()} == {"b", "c"}
    assert "b: indexing" in made
    assert not [name for name in made if name.startswith("b: ") and ("query" in name or "nDCG" in name)]


def test_a_program_that_is_too_slow_is_timed_but_has_no_ndcg(fake):
    fake.judge_seconds, fake.seconds, fake.n_queries = 0, 0, 50
    made, failed = measured(fake, [processes.Engine("fake", "fake", "")])
    assert failed == {"fake: nDCG@10": "1 of 2 queries answered in 0 s"}
    assert made["fake: warm query p50"]["queries_a_round"] == 1
    assert "fake: warm query p95" not in made, "one query has no 95th percentile"
    assert "fake: nDCG@10" not in made
    assert "fake: warm query p50" in made


def test_a_failure_in_the_rounds_is_reported_and_the_other_programs_continue(fake):
    listed = [processes.Engine(name, "fake", model) for name, model in (("a", "tires"), ("b", ""))]
    made, failed = measured(fake, listed)
    assert failed == {"a: warm query": "RuntimeError: tired"}
    assert "a: warm query p50" not in made
    assert len(made["b: warm query p50"]["values"]) == 2


def test_a_ranking_with_a_duplicate_document_is_reported_and_timed(fake):
    made, failed = measured(fake, [processes.Engine("fake", "fake", "twice")])
    assert failed == {"fake: nDCG@10": "query q1: expected doc_ids that differ, got 'a' twice"}
    assert "fake: warm query p50" in made


def test_a_cold_answer_without_hits_is_a_failure(fake):
    made, failed = measured(fake, [processes.Engine("fake", "fake", "empty")])
    assert failed == {"fake: cold query": f"expected hits for {queries.COLD!r}, got none"}
    assert "fake: cold query" not in made
    assert "fake: warm query p50" in made


def test_a_program_that_hangs_is_stopped_and_reported(fake, monkeypatch):
    monkeypatch.setattr(processes, "TIMEOUT", 0.5)
    _, failed = measured(fake, [processes.Engine("fake", "fake", "silent")])
    assert failed == {"fake": "answering: expected an answer, got none in 0.5 s"}


def test_an_index_of_another_corpus_or_model_is_built_again(fake):
    listed = [processes.Engine("fake", "fake", "")]
    first, _ = measured(fake, listed)
    corpus = fake.work / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("red fire", "red rose"))
    other_corpus, _ = measured(fake, listed)
    assert other_corpus["fake: indexing"]["values"] != first["fake: indexing"]["values"]
    model = fake.work / "model"
    model.mkdir()
    listed = [processes.Engine("fake", "fake", str(model))]
    (model / "weights").write_text("1")
    of_one, _ = measured(fake, listed)
    again, _ = measured(fake, listed)
    (model / "weights").write_text("2")
    of_two, _ = measured(fake, listed)
    assert of_one["fake: indexing"]["values"] == again["fake: indexing"]["values"]
    assert of_one["fake: indexing"]["values"] != of_two["fake: indexing"]["values"]


def test_repeated_indexing_reports_the_time_with_and_without_start(fake):
    fake.index_repeats = 2
    made, _ = measured(fake, [processes.Engine("fake", "fake", "")])
    whole, inside = made["fake: indexing"], made["fake: indexing, program started"]
    assert len(whole["values"]) == len(inside["values"]) == len(made["fake: indexing peak memory"]["values"]) == 2
    assert all(0 < part < all_of_it for part, all_of_it in zip(inside["values"], whole["values"], strict=True))


def test_a_missing_shared_index_is_reported(fake):
    made, failed = measured(fake, [processes.Engine("fake", "fake", "", shares="other")])
    assert not made
    assert failed == {"fake": "expected the index of other, which is not in this run or failed"}


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc")
def test_resident_memory_includes_child_processes(tmp_path):
    before = protocol.resident_bytes()
    held = "import sys; kept = b'x' * 64_000_000; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert protocol.resident_bytes() - before > 64_000_000
        process.stdin.close()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_programs_are_pinned_to_as_many_cores_as_threads():
    before = os.sched_getaffinity(0)
    with processes.pin_to_cores(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_a_failed_installation_is_reported(fake, monkeypatch):
    monkeypatch.setitem(indexing.PACKAGES, "fake", ("package",))

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(indexing, "baseline_python", refuse)
    made, failed = measured(fake, [processes.Engine("fake", "fake", "")])
    assert not made
    assert failed == {"fake": "cannot be installed: no network"}


def test_an_error_is_shortened_to_its_last_line_without_the_home_folder():
    said = f"Traceback\n  File x\nOSError: {Path.home()}/models: not found\n\n"
    assert processes.last_error_line(said) == "OSError: ~/models: not found"
    assert processes.last_error_line("") == "ended without an error message"
    assert len(processes.last_error_line("x" * 1000)) == processes.MAX_ERROR_LENGTH + 3


def test_every_program_gets_equal_threads_and_no_network():
    made = indexing.environment(2)
    assert {made[name] for name in made if name.endswith("_NUM_THREADS")} == {"2"}
    assert made["HF_HUB_OFFLINE"] == "1"


def test_each_baseline_pins_the_versions_of_its_packages():
    for adapter, packages in indexing.PACKAGES.items():
        wanted = (indexing.ADAPTERS / f"{adapter}.txt").read_text()
        assert (indexing.ADAPTERS / f"{adapter}.py").exists()
        assert any(f"{name}==" in wanted for name in packages)
        lines = [line for line in wanted.splitlines() if line and not line.startswith("#")]
        assert all("==" in line for line in lines)
        assert ("torch==" in wanted) == ("torch" in packages), "torch without a version may install a GPU build"


def test_the_benchmark_runs_with_hpdsearch_only(tmp_path, monkeypatch):
    write_beir(tmp_path / "retrieval" / "alpha")
    (tmp_path / "fill.txt").write_text("".join(f"a text about a river, number {n}\n" for n in range(40)))
    tiny = make_tiny_encoder(tmp_path / "tiny")
    words = ["engines.py", "--data", tmp_path, "--mix", "alpha", "--fill", tmp_path / "fill.txt", "--n", 20]
    words += [
        "--encoders",
        tiny,
        "--engines",
        "hpdsearch",
        "--work",
        tmp_path / "work",
        "--repeats",
        1,
        "--n-queries",
        2,
    ]
    monkeypatch.setattr(sys, "argv", [*map(str, words), "--output", str(tmp_path / "engines.json")])
    engines.main()
    made = json.loads((tmp_path / "engines.json").read_text())
    whats = {one["what"] for one in made["measurements"] if one["system"] == "hpdsearch, tiny"}
    assert whats >= {"nDCG@10", "indexing", "on disk", "cold query", "warm query p50", "encode p50", "search p50"}
    assert {one["system"] for one in made["measurements"]} == {"hpdsearch, tiny", "hpdsearch, tiny, dense alone"}
    assert made["failed"] == {}
    assert made["settings"]["n"] == 20
    # The same queries through the Index, evaluated with hpdsearch's own metric.
    assert _own_ndcg(tmp_path) == pytest.approx(
        by_name(made["measurements"])["hpdsearch, tiny: nDCG@10"]["median"], 1e-5
    )


def _own_ndcg(folder: Path) -> float:
    from hpdsearch import Index
    from hpdsearch.evaluation.metrics import ndcg_at_k

    data = json.loads((folder / "work" / "queries.json").read_text())
    (index_folder,) = folder.glob("work/*/index")
    with Index.open(index_folder) as index:
        runs = {query_id: [hit.doc_id for hit in index.search(text, 10)] for query_id, text in data["queries"].items()}
    values = [ndcg_at_k(runs[query_id], judged, k=10) for query_id, judged in data["qrels"].items()]
    return 100 * sum(values) / len(values)
