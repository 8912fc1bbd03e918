"""Test `python -m benchmarks`: its commands, its quick data, and the judged collections in a haystack."""

import importlib
import sys
from pathlib import Path

import pytest
from beir_folder import write_beir

from hpdsearch.evaluation import read_collections, read_sts

bench = importlib.import_module("benchmarks.__main__")
mixed = importlib.import_module("benchmarks.common.mixed_corpus")
quick_data = importlib.import_module("benchmarks.common.quick_data")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick") / "data"
    return folder, quick_data.make_quick_data(folder)


@pytest.mark.slow
def test_the_quick_collection_has_words_as_queries_and_definitions_as_documents(quick):
    folder, _ = quick
    (collection,) = read_collections(folder / "retrieval")
    documents = dict(collection.documents())
    assert len(documents) == quick_data.N_DOCUMENTS
    assert len(collection.queries) == quick_data.N_QUERIES
    assert all(len(relevant) == 1 and relevant.keys() <= documents.keys() for relevant in collection.qrels.values())
    assert not any('"' in text for text in documents.values()), "usage examples would contain the query"


def test_the_quick_sentence_pairs_range_from_equal_to_unrelated(quick):
    (task,) = read_sts(quick[0] / "sts")
    scores = [score for _, _, score in task.pairs]
    assert len(task.pairs) == 60
    assert max(scores) == 5
    assert min(scores) == 0
    assert len({text for pair in task.pairs for text in pair[:2]}) == 120


def test_the_quick_haystack_has_no_judged_document(quick):
    folder, (fill,) = quick
    (collection,) = read_collections(folder / "retrieval")
    assert not {text for _, text in collection.documents()} & set(fill.read_text().splitlines())


@pytest.fixture
def collections(tmp_path):
    write_beir(tmp_path / "retrieval" / "alpha")
    return read_collections(tmp_path / "retrieval")


@pytest.fixture
def fill(tmp_path):
    path = tmp_path / "fill.txt"
    lines = [f"a text to be mixed in, number {number}" for number in range(30)]
    path.write_text("\n".join([*lines, lines[0], "short", "long " * 30]) + "\n")
    return path


def test_judged_documents_come_first_and_keep_their_grades(collections, fill):
    made = mixed.mix_corpus(collections, [fill], 12)
    documents = list(collections[0].documents())
    assert len(made.documents) == 12
    assert made.n_judged == len(documents)
    assert list(made.documents.items())[: len(documents)] == [(f"alpha/{doc_id}", text) for doc_id, text in documents]
    assert made.queries == {f"alpha/{query_id}": text for query_id, text in collections[0].queries.items()}
    for query_id, judged in collections[0].qrels.items():
        assert made.qrels[f"alpha/{query_id}"] == {f"alpha/{doc_id}": grade for doc_id, grade in judged.items()}


def test_haystack_texts_are_short_distinct_and_reproducible(collections, fill):
    large, small = (mixed.mix_corpus(collections, [fill], n) for n in (30, 12))
    assert list(small.documents.items()) == list(large.documents.items())[:12]
    texts = list(large.documents.values())[large.n_judged :]
    assert len(set(texts)) == len(texts)
    assert all(text.startswith("a text to be mixed in") for text in texts)
    assert texts != sorted(texts)


def test_too_few_texts_or_too_many_judged_ones_are_errors(collections, fill):
    with pytest.raises(SystemExit, match="different short texts to mix in, got 30"):
        mixed.mix_corpus(collections, [fill], 100)
    with pytest.raises(SystemExit, match="expected collections of at most 2 documents"):
        mixed.mix_corpus(collections, [fill], 2)


def run_with(monkeypatch, *words):
    """Return the options of each started benchmark by its name."""
    started = []
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, words)])
    monkeypatch.setattr(bench, "write_report", lambda results, page: page)
    monkeypatch.setattr(
        bench, "make_quick_data", lambda folder: (folder / "retrieval" / "one").mkdir(parents=True) or []
    )
    monkeypatch.setattr(bench.subprocess, "run", lambda command, check, env: started.append(command) or bench_done())
    bench.main()
    names = {f"benchmarks.{module}": name for name, module in bench.NAMES.items()}
    return {names[command[2]]: command[3:] for command in started}


def bench_done():
    return type("Done", (), {"returncode": 0})()


def test_every_benchmark_gets_its_data_and_models(monkeypatch, tmp_path):
    words = [
        "all",
        "--data",
        "d",
        "--texts",
        "a.txt",
        "--teacher",
        "big",
        "--student",
        "mini",
        "--peers",
        "--output",
        tmp_path,
    ]
    started = run_with(monkeypatch, *words)
    assert list(started) == list(bench.NAMES)
    for name, options in started.items():
        assert options[:2] == ["--output", str(tmp_path / f"{name}.json")]
    assert {"--data", "--teacher", "--student", "--model2vec"} <= set(started["quality"])
    assert {"--fill", "a.txt", "--teacher"} <= set(started["retrieval"])
    assert started["encoding"][started["encoding"].index("--peers") :] == [
        "--peers",
        "model2vec",
        "fastembed",
        "sentence-transformers",
    ]


def test_without_peers_no_baseline_runs(monkeypatch, tmp_path):
    started = run_with(monkeypatch, "all", "--data", "d", "--output", tmp_path)
    assert not {"--model2vec", "--peers"} & {word for options in started.values() for word in options}


def test_quick_needs_no_model_and_has_a_results_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(bench, "QUICK", tmp_path / "quick")
    started = run_with(monkeypatch, "quick", "encoding", "retrieval")
    assert list(started) == ["encoding", "retrieval"]
    assert not {"--teacher", "--student"} & {word for options in started.values() for word in options}
    assert all(options[1].startswith(str(tmp_path / "quick")) for options in started.values())
    work = Path(started["retrieval"][started["retrieval"].index("--work") + 1])
    assert (tmp_path / "cache" / "quick" / "retrieval") not in work.parents, (
        "the collections folder must contain nothing else"
    )


@pytest.mark.parametrize(
    ("words", "message"), [(["sorting", "quick"], "got sorting"), (["all"], "expected --data FOLDER")]
)
def test_wrong_options_are_errors_with_the_expected_value(monkeypatch, capsys, words, message):
    with pytest.raises(SystemExit):
        run_with(monkeypatch, *words)
    assert message in capsys.readouterr().err


def test_a_failed_benchmark_stops_the_run_with_its_name(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "quality", "--data", "d", "--output", str(tmp_path)])
    failed = type("Failed", (), {"returncode": 3})()
    monkeypatch.setattr(bench.subprocess, "run", lambda command, check, env: failed)
    with pytest.raises(SystemExit, match="quality: expected exit code 0, got 3"):
        bench.main()
