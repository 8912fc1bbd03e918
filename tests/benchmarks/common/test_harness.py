"""Test interleaved rounds, measured processes, inputs and options."""

import importlib
import json
import os
import subprocess
import sys

import pytest

harness = importlib.import_module("benchmarks.common.harness")


def test_cases_are_interleaved_and_every_other_round_runs_backwards():
    calls = []
    cases = {name: lambda number, name=name: calls.append((name, number)) or f"{name}{number}" for name in "ab"}
    results = harness.run_interleaved(cases, 3)
    warm_up, rounds = [("a", -1), ("b", -1)], [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert calls == warm_up + rounds
    assert results == {"a": ["a0", "a1", "a2"], "b": ["b0", "b1", "b2"]}


def test_without_warm_up_every_call_is_recorded():
    calls = []
    harness.run_interleaved({"a": calls.append}, 2, warm_up=False)
    assert calls == [0, 1]


def test_a_process_is_timed_from_start_to_end():
    finished = harness.run([sys.executable, "-c", "import time; time.sleep(0.3); print('done')"])
    assert finished.stdout == "done\n"
    assert 0.3 <= finished.seconds < 10


def test_a_process_that_fails_is_an_error_with_its_output():
    with pytest.raises(SystemExit, match=r"expected exit code 0, got 3:\nno such thing"):
        harness.run([sys.executable, "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(3)"])


def test_json_is_read_from_the_last_line_of_a_process():
    assert harness.run_json([sys.executable, "-c", "print('loading'); print('[1, 2]')"]) == [1, 2]


def test_environment_variables_are_added_to_the_existing_ones():
    finished = harness.run(
        [sys.executable, "-c", "import os; print(os.environ['A'], 'PATH' in os.environ)"], env={"A": "1"}
    )
    assert finished.stdout == "1 True\n"


def test_peak_memory_is_that_of_the_process():
    # From a process of its own: on Linux a child's peak begins with its parent's, and pytest's may be large.
    code = (
        "import json, sys; from benchmarks.common.harness import run; "
        "print(json.dumps([run([sys.executable, '-c', f'x = b\"1\" * {n}']).peak_bytes for n in (1, 200_000_000)]))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], env={**os.environ, **harness.module_environment()})
    small, large = json.loads(printed)
    assert 200_000_000 <= large < 300_000_000
    assert small < 100_000_000


def test_a_corpus_with_too_few_documents_is_an_error(corpus):
    assert [document.doc_id for document in harness.first_documents(corpus, 2)] == ["d0", "d1"]
    assert len(harness.first_documents(corpus)) == 30
    with pytest.raises(SystemExit, match="expected at least 31 documents, got 30"):
        harness.first_documents(corpus, 31)


def test_a_file_is_identified_by_name_and_checksum_without_its_folder(tmp_path):
    (tmp_path / "abc.txt").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert harness.file_identity(tmp_path / "abc.txt") == {"name": "abc.txt", "bytes": 3, "sha256": sha256}


def test_there_are_two_hundred_different_queries():
    queries = harness.read_queries()
    assert len(queries) == len({query.lower() for query in queries}) == 200


@pytest.mark.parametrize("repeats", ["0", "-1"])
def test_zero_rounds_are_refused(repeats, capsys):
    with pytest.raises(SystemExit):
        harness.argument_parser("", "name").parse_args(["--repeats", repeats])
    assert f"expected 1 or more, got {repeats}" in capsys.readouterr().err
