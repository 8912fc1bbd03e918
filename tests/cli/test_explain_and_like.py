"""The options --explain, --like and --min-score of query, and the commands :explain and :like of a session."""

import json

import pytest


def test_explain_shows_scores_words_and_a_sentence(indexed):
    result = indexed("query", "fear of spiders", "-k", 1, "--explain")
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[2].startswith("cosine 0.")
    assert lines[2].endswith("(rank 1)")
    assert lines[3].startswith("words: ")
    assert "spiders" in lines[3]
    assert "a morbid fear of spiders" in " ".join(lines[4:])


def test_explain_is_in_json(indexed):
    (hit,) = json.loads(indexed("query", "fear of spiders", "-k", 1, "--explain", "--json").stdout)["hits"]
    found = hit["explanation"]
    assert (found["dense_rank"], found["lexical_rank"]) == (2, 1)
    assert sum(word["weight"] for word in found["words"]) == pytest.approx(found["bm25"], abs=1e-3)
    words = 0.25 * found["coverage"] + 0.1 * found["bm25"] / found["best_bm25"]
    assert hit["score"] == pytest.approx(0.65 * found["cosine"] + words, abs=1e-4)
    assert "explanation" not in json.loads(indexed("query", "fear", "--json").stdout)["hits"][0]


def test_like_finds_other_documents(indexed):
    answer = json.loads(indexed("query", "--like", "a b", "--json").stdout)
    assert answer["like"] == "a b"
    assert "a b" not in {hit["doc_id"] for hit in answer["hits"]}
    shown = indexed("query", "--like", "a b", "-k", 1, "--min-score", "-1")
    assert shown.stdout.startswith("  1. ")
    unknown = indexed("query", "--like", "nothing")
    assert unknown.exit_code == 1
    assert "doc_id 'nothing' is not in the index" in unknown.stderr


@pytest.mark.parametrize("options", [["text"], ["--mode", "dense"], ["--explain"], ["--batch", "-"]])
def test_like_refuses_options_of_a_query(indexed, options):
    result = indexed("query", "--like", "a b", *options)
    assert result.exit_code == 2
    assert "--like" in result.stderr


def test_min_score_leaves_out_hits(indexed):
    assert json.loads(indexed("query", "fear", "--min-score", "9", "--json").stdout)["hits"] == []
    assert indexed("query", "fear", "--min-score", "nan").exit_code == 1


def test_a_session_explains_and_finds_like(indexed):
    lines = ":like 1\nfear of spiders\n:like 1\n:explain\nfear of spiders\n:explain\nfear of spiders\n"
    result = indexed("query", "--json", "-k", 2, input=lines)
    error, plain, like, on, explained, off, again = map(json.loads, result.stdout.splitlines())
    assert error == {"error": ":like: expected a query first, got '1'"}
    assert like["like"] == plain["hits"][0]["doc_id"]
    assert len(like["hits"]) == 2
    assert (on, off) == ({"explain": True}, {"explain": False})
    assert all("explanation" in hit for hit in explained["hits"])
    assert not any("explanation" in hit for hit in plain["hits"] + again["hits"])
