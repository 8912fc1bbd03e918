"""The command fit-queries."""

import json
from pathlib import Path

import pytest
from cli_documents import DOCUMENTS
from tiny_encoder import WORDS

from hpdsearch import Encoder


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return a file of queries and one of texts."""
    queries, texts = tmp_path / "asked.txt", tmp_path / "texts.jsonl"
    queries.write_text("".join(f"on {one} {other}\n" for one in WORDS[14:24] for other in WORDS[24:34]))
    lines = (f"the {one} and the {other}" for one in WORDS[14:24] for other in WORDS[24:34])
    texts.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return queries, texts


def test_the_new_encoder_queries_an_index_of_the_old_one(indexed, files, tiny_folder, tmp_path):
    queries, texts = files
    made = indexed("fit-queries", tiny_folder, "--queries", queries, "--texts", texts, "-o", tmp_path / "mine")
    assert made.exit_code == 0, made.output
    adapter = Encoder.load(tmp_path / "mine").query_adapter
    length = float(adapter.offset @ adapter.offset) ** 0.5
    assert made.stdout.splitlines() == [
        "fitted to:  100 queries and 100 texts",
        f"offset:     {length:.3f} of a vector's length",
        f"encoder:    {tmp_path / 'mine'}",
        f"use it:     hpdsearch query --query-encoder {tmp_path / 'mine'}",
    ]
    search = ("query", "king", "--mode", "dense", "-k", len(DOCUMENTS), "--json", "--query-encoder")
    old, new = (
        {hit["doc_id"]: hit["score"] for hit in json.loads(indexed(*search, encoder).stdout)["hits"]}
        for encoder in (tiny_folder, tmp_path / "mine")
    )
    assert old.keys() == new.keys()
    assert old != new


def test_json_and_errors(run, files, tiny_folder, tmp_path):
    queries, texts = files
    arguments = ("fit-queries", tiny_folder, "--queries", queries, "--texts", texts, "-o", tmp_path / "mine")
    made = json.loads(run(*arguments, "--json").stdout)
    assert made == {"folder": str(tmp_path / "mine"), "n_queries": 100, "n_texts": 100, "offset": made["offset"]}
    assert 0 < made["offset"] < 2
    again = run(*arguments)
    assert again.exit_code == 1
    assert again.stderr == f"Error: {tmp_path / 'mine'}: expected a new or empty folder; choose another one\n"
