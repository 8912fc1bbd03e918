"""The interactive session: next pages, files of hits, the prompt and completion, and the screen of a real terminal."""

import csv
import io
import json

import pytest

from hpdsearch import Index
from hpdsearch.cli.repl import Session
from hpdsearch.search import Mode


@pytest.fixture
def session(indexed):
    with Index.open("indexes/words") as index:
        yield Session(index, k=2, mode=Mode.HYBRID, where=None)


def complete(session, line):
    return [line[: len(line) - n_replaced] + text for text, n_replaced in session.complete(line)]


def test_more_shows_the_next_hits_and_numbers_them_on(indexed):
    lines = ["fear of spiders", ":more", ":more", ":open 3", ":more now"]
    result = indexed("query", "-k", 2, "--mode", "dense", "--json", input="\n".join(lines))
    first, second, *_ = map(json.loads, result.stdout.splitlines())
    whole = json.loads(indexed("query", "fear of spiders", "-k", 4, "--mode", "dense", "--json").stdout)
    assert first["hits"] + second["hits"] == whole["hits"]
    assert [hit["rank"] for hit in second["hits"]] == [3, 4]


def test_more_continues_after_like_and_needs_an_answer_first(indexed):
    result = indexed("query", "-k", 1, "--json", input=":more\nfear of spiders\n:like 1\n:more\n")
    error, _, like, more = map(json.loads, result.stdout.splitlines())
    assert error == {"error": ":more: expected a query first"}
    assert more["like"] == like["like"]
    assert [hit["rank"] for hit in like["hits"] + more["hits"]] == [1, 2]


def test_more_after_the_last_hit_says_so(indexed):
    assert "no more hits\n" in indexed("query", "-k", 50, "--mode", "dense", input="fear\n:more\n").stdout


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv"])
def test_export_writes_all_hits_that_were_shown(indexed, tmp_path, ending):
    path = tmp_path / f"hits.{ending}"
    result = indexed("query", "-k", 1, "--mode", "dense", input=f"fear of spiders\n:more\n:export {path}\n")
    assert f"{path}: 2 hits\n" in result.stdout, result.output
    text = path.read_text(encoding="utf-8")
    if ending in ("csv", "tsv"):
        rows = list(csv.DictReader(io.StringIO(text), delimiter="," if ending == "csv" else "\t"))
        found = [(int(row["rank"]), row["doc_id"], json.loads(row["metadata"])) for row in rows]
    else:
        hits = json.loads(text) if ending == "json" else list(map(json.loads, text.splitlines()))
        found = [(hit["rank"], hit["doc_id"], hit["metadata"]) for hit in hits]
    whole = json.loads(indexed("query", "fear of spiders", "-k", 2, "--mode", "dense", "--json").stdout)["hits"]
    assert found == [(hit["rank"], hit["doc_id"], hit["metadata"]) for hit in whole]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("", ":export: expected the name of a new file: hits.jsonl"),
        ("hits.xlsx", "hits.xlsx: expected a name that ends in .jsonl, .json, .csv, .tsv"),
        ("there.json", "there.json: exists"),
        ("indexes/words/hits.json", "indexes/words/hits.json"),
        ("no/such/folder/hits.json", "no/such/folder"),
    ],
)
def test_export_refuses_a_name_and_the_session_goes_on(indexed, tmp_path, argument, expected):
    (tmp_path / "there.json").write_text("mine")
    result = indexed("query", input=f"fear\n:export {argument}\nearthquakes\n")
    assert expected in result.stderr
    assert "seismograph" in result.stdout
    assert (tmp_path / "there.json").read_text() == "mine"


def test_the_prompt_shows_mode_and_filter(session):
    assert session.prompt() == "hybrid> "
    session.answer(":mode dense")
    session.answer(":where year > 1900")
    assert session.prompt() == "dense (filtered)> "


def test_commands_modes_fields_and_values_are_completed(session):
    assert complete(session, ":ex") == [":explain", ":export"]
    assert complete(session, "fear") == []
    assert complete(session, ":mode ") == [":mode hybrid", ":mode dense", ":mode lexical"]
    assert complete(session, ":mode L") == [":mode lexical"]
    assert ":where year" in complete(session, ":where ye")
    assert complete(session, ":where year = 1858 and ye") == [":where year = 1858 and year"]
    assert ':where year = "1858"' in complete(session, ":where year = ")
    assert complete(session, ':where year = "185') == [':where year = "1858"']
    assert complete(session, ":where year = 185") == [':where year = "1858"']


def test_a_session_in_a_terminal_finds_the_nearest_sentence_but_explains_only_if_asked(session, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    session.underline = True
    session.answer("fear of spiders")
    assert all(hit.explanation is not None for hit in session.hits)
    assert "nearest sentence" not in capsys.readouterr().out
    session.answer(":explain")
    session.answer("fear of spiders")
    assert "nearest sentence" in capsys.readouterr().out
