"""The command query: one query, a file of queries, an interactive session, and the choice of the index."""

import json
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from hpdsearch import Index
from hpdsearch.cli import repl


def test_query_prints_numbered_hits(indexed):
    result = indexed("query", "fear of spiders", "-k", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("  1. ")
    assert lines[0].endswith("arachnophobia  [a b]")
    assert lines[1] == "     a morbid fear of spiders"
    assert lines[-1].startswith("2 hits in ")
    assert "\x1b" not in result.stdout, "plain text when the output is no terminal"


def test_query_prints_json(indexed):
    answer = json.loads(indexed("query", "earthquakes measured", "--mode", "lexical", "--json").stdout)
    assert [hit["doc_id"] for hit in answer["hits"]] == ["s1"]
    hit = answer["hits"][0]
    assert [hit["passage"][a:b] for a, b in hit["highlights"]] == ["measuring", "earthquakes"]
    assert hit["metadata"] == {"year": 1858}
    assert answer["query"] == "earthquakes measured"


def test_where_filters_the_hits_and_its_error_points_at_the_character(indexed):
    answer = json.loads(indexed("query", "fear", "--where", 'year < 1900 and not tags = "good"', "--json").stdout)
    assert {hit["doc_id"] for hit in answer["hits"]} == {"c1", "s1"}
    wrong = indexed("query", "fear", "--where", "year => 1900")
    assert wrong.exit_code == 1
    assert wrong.stderr == (
        "Error: where: character 7: expected a literal (\"text\", number, date, true, false, null), got '>'\n"
        "  year => 1900\n        ^\n"
    )
    unknown = indexed("query", "fear", "--where", "yaer = 1")
    assert "no document has a field 'yaer'; fields: tags, year, @id, @title, @text, @source" in unknown.stderr


def test_batch_answers_every_query_and_writes_a_trec_run(indexed, tmp_path):
    (tmp_path / "q.tsv").write_text("id\ttext\nq1\tmeasuring earthquakes\nq2\tgreat happiness\n")
    result = indexed("query", "--batch", "q.tsv", "--run-file", "run.txt", "--mode", "lexical", "--json")
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(a["query_id"], a["hits"][0]["doc_id"]) for a in answers] == [("q1", "s1"), ("q2", "j1")]
    lines = [line.split() for line in Path("run.txt").read_text().splitlines()]
    assert [(line[0], line[1], line[2], line[3], line[5]) for line in lines] == [
        ("q1", "Q0", "s1", "1", "hpdsearch"),
        ("q2", "Q0", "j1", "1", "hpdsearch"),
    ]
    assert float(lines[0][4]) == pytest.approx(answers[0]["hits"][0]["score"], abs=1e-5)


def test_a_run_file_refuses_ids_with_white_space(indexed):
    result = indexed("query", "fear of spiders", "--run-file", "run.txt")
    assert result.exit_code == 1
    assert "doc_id 'a b' contains white space, which a TREC run cannot hold" in result.stderr


def test_a_batch_of_lines_is_named_by_line_number(indexed, tmp_path):
    (tmp_path / "q.txt").write_text("fear\nhappiness\n")
    answers = [json.loads(line) for line in indexed("query", "--batch", "q.txt", "--json").stdout.splitlines()]
    assert [answer["query_id"] for answer in answers] == ["1", "2"]


def test_without_an_index_the_error_says_how_to_make_one(run):
    result = run("query", "fear")
    assert result.exit_code == 1
    assert "indexes/: holds no index; make one" in result.stderr


def test_with_several_indexes_they_are_listed(indexed, corpus, tiny_folder):
    indexed("index", corpus, "-o", "indexes/second", "--encoder", tiny_folder)
    result = indexed("query", "fear")
    assert result.exit_code == 1
    assert "choose one with -i: indexes/second, indexes/words" in result.stderr
    assert indexed("query", "fear", "-i", "second").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [("query", "x", "--batch", "q"), ("query", "--run-file", "r"), ("query", "x", "-k", "0"), ("query", "--mode", "x")],
)
def test_wrong_options_are_usage_errors(indexed, arguments):
    assert indexed(*arguments).exit_code == 2


def test_a_session_reads_lines_from_a_pipe(indexed):
    before = ["earthquakes", ":open 1", ":k 1", ":mode lexical", ":where year > 1900", "fear", ":where", ":info"]
    lines = [*before, ":nonsense", ":open 9", "", ":quit", "fear"]
    result = indexed("query", input="".join(f"{line}\n" for line in lines))
    assert result.exit_code == 0, result.output
    out = result.stdout
    assert "seismograph" in out
    assert "year: 1858\n\na measuring instrument for detecting earthquakes\n" in out
    assert "1 hit per query\nmode lexical\nmatches 1 document\nwhere year > 1900\n" in out
    assert out.count("hit in ") + out.count("hits in ") == 2, "nothing is asked after :quit"
    assert "arachnophobia" in out.split("where year > 1900")[1]
    assert "claustrophobia" not in out.split("where year > 1900")[1]
    assert ":nonsense: no such command; :help lists the commands" in result.stderr
    assert ":open: expected a number from 1 to 1, got '9'" in result.stderr
    assert not any(line.startswith("> ") for line in out.splitlines())


def test_a_session_continues_after_an_error(indexed):
    result = indexed("query", input=":where yaer = 1\nearthquakes\n")
    assert "no document has a field 'yaer'" in result.stderr
    assert "seismograph" in result.stdout


def test_ctrl_c_clears_the_prompt_ctrl_d_ends_it_and_history_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for expected in (["fear of spiders", "joy"], ["joy"]):
        with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
            keys.send_text("half a li\x03fear of spiders\rjoy\r\x04" if len(expected) == 2 else "\x1b[A\r\x04")
            assert list(repl._read_prompt()) == expected
    assert repl.history_file().read_text().count("+joy") == 1


def test_python_api_and_command_line_give_the_same_hits(indexed):
    answer = json.loads(indexed("query", "morbid fear", "--json").stdout)
    with Index.open("indexes/words") as index:
        hits = index.search("morbid fear")
    assert [(hit["doc_id"], hit["score"]) for hit in answer["hits"]] == [(hit.doc_id, hit.score) for hit in hits]
