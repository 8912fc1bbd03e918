"""The commands export (of an index) and import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("to", ["parquet", "jsonl"])
def test_an_exported_index_is_imported(indexed, to):
    if to == "parquet":
        pytest.importorskip("pyarrow")
    exported = indexed("export", "words", f"x.{to}", "--to", to)
    assert exported.stdout == f"x.{to}: 4 documents\n", exported.output
    imported = indexed("import", f"x.{to}", "-o", "copy")
    assert "copy: imported 4 documents, 4 passages" in imported.stdout, imported.output
    first, second = (indexed("query", "fear", "--json", "-i", name).stdout for name in ("words", "copy"))
    assert json.loads(first)["hits"] == json.loads(second)["hits"]
    assert indexed("export", "words", f"x.{to}", "--to", to).exit_code == 1
    assert indexed("export", "words", f"x.{to}", "--to", to, "--overwrite").exit_code == 0


@pytest.mark.usefixtures("indexed")
def test_standard_output_holds_the_export_alone():
    command = [sys.executable, "-m", "hpdsearch", "export", "words", "-", "--to", "opensearch-bulk"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    actions = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(action) for action in actions[::2]] == [{"index"}] * 4
    assert done.stderr == "standard output: 4 documents\n"


def write_records(**changes: object) -> None:
    record = {"id": "x", "text": "joy", "vectors": [[1.0, 0.0]], "space": "sha256:1", **changes}
    kept = {name: value for name, value in record.items() if value is not None}
    Path("x.jsonl").write_text(json.dumps(kept) + "\n")


WRONG = {
    "x.jsonl:1: expected id, got text, vectors, space": {"id": None},
    "x.jsonl:1: expected text, got id, vectors, space": {"text": None},
    "x.jsonl:1: expected vectors (or vector), got id, text, space": {"vectors": None},
    "x.jsonl:1: expected vectors of numbers, all of the same length": {"vectors": [[1.0], [1.0, 0.0]]},
    "x.jsonl:1: expected metadata that is a JSON object, got": {"metadata": "[1]"},
    "x.jsonl:1: expected passages of the form": {"passages": [{"start": "0", "end": 3}]},
    "x.jsonl: does not name the space of its vectors; name it with --space": {"space": None},
    "document 'x': expected vectors of space": {},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_file_that_does_not_fit_is_refused(run, tiny_folder, message):
    write_records(**WRONG[message])
    result = run("import", "x.jsonl", "--encoder", tiny_folder)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not Path("indexes/x").exists()


def test_other_files_and_options_are_refused(indexed, corpus):
    Path("x.txt").write_text("joy")
    assert "expected a .parquet, .jsonl or .jsonl.gz file" in indexed("import", "x.txt").stderr
    assert "--dim goes with an encoder" in indexed("export", "words", "x", "--to", "jsonl", "--dim", 2).stderr
    assert "--overwrite goes with the formats of an index" in indexed("export", "words", "x", "--overwrite").stderr
