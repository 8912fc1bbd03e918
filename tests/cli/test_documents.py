"""Folders of documents on the command line: what is left out, and where a hit lies."""

import json

import pytest

pytest.importorskip("pypdfium2")


@pytest.fixture
def folder(run, tmp_path, tiny_folder):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "install.md").write_text("---\nlang: en\n---\n# Install\n\n## From source\n\nBuild the harbour.\n")
    (notes / "lines.txt").write_text("one\n\nthe moon\n")
    (notes / "wave.ipynb").write_text(json.dumps({"cells": [{"source": "x"}, {"source": "spiders"}]}))
    (notes / "bad.pdf").write_bytes(b"rubbish")
    (notes / "left.log.md").write_text("out")
    result = run("index", "notes", "-o", "indexes/n", "--encoder", tiny_folder, "--exclude", "*.log.md")
    assert result.exit_code == 0, result.output
    return result


def test_a_damaged_document_is_named_and_what_is_excluded_is_counted(folder):
    assert "skipped:    1\n  notes/bad.pdf: expected a PDF, got a damaged or other file" in folder.stderr
    assert "1 records and files skipped because of errors" in folder.output
    assert "1 files and folders excluded by patterns" in folder.output


@pytest.mark.parametrize(
    ("query", "location"), [("harbour", "Install > From source"), ("moon", "line 1"), ("spiders", "cell 2")]
)
def test_a_hit_names_its_place_in_every_output(folder, run, query, location):
    arguments = ("query", "-i", "n", "--mode", "lexical", "-k", 1)
    answer = json.loads(run(*arguments, query, "--json").stdout)
    assert answer["hits"][0]["location"] == location
    assert f"]  {location}\n" in run(*arguments, query).stdout or f"  {location}\n" in run(*arguments, query).stdout
    assert f"location: {location}\n" in run(*arguments, input=f"{query}\n:open 1\n").stdout


def test_documents_are_filtered_by_the_fields_of_their_files(folder, run):
    where = 'extension = "md" and modified > "2001-01-01" and lang = "en"'
    answer = json.loads(run("query", "-i", "n", "harbour", "--where", where, "--json").stdout)
    assert [hit["doc_id"] for hit in answer["hits"]] == ["install.md"]
