"""The command query: one query, a file of queries, an interactive session, and the choice of the index."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from hpdsearch import Index
from hpdsearch.cli import prompt


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
            assert list(prompt._read_prompt(lambda: "> ", lambda line: [])) == expected
    assert prompt.history_file().read_text().count("+joy") == 1


def test_a_session_goes_on_if_its_history_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("fear\rspiders\rjoy\r\x04")
        lines = prompt._read_prompt(lambda: "> ", lambda line: [])
        assert next(lines) == "fear"
        shutil.rmtree(tmp_path / "state")
        assert list(lines) == ["spiders", "joy"]


@pytest.mark.parametrize("path", ["~/history", "/dev/null/history", "{tmp_path}"])
def test_a_history_that_cannot_be_kept_is_one_of_the_session(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    history = prompt._open_history(Path(path.format(tmp_path=tmp_path)))
    history.append_string("joy")
    assert history.get_strings() == ["joy"]
    assert list(tmp_path.iterdir()) == []


def test_python_api_and_command_line_give_the_same_hits(indexed):
    answer = json.loads(indexed("query", "morbid fear", "--json").stdout)
    with Index.open("indexes/words") as index:
        hits = index.search("morbid fear")
    assert [(hit["doc_id"], hit["score"]) for hit in answer["hits"]] == [(hit.doc_id, hit.score) for hit in hits]


# ---- one query


def test_words_without_quotes_get_the_quoted_command(indexed):
    result = indexed("query", "machine", "that", "measures", "-k", 1)
    assert result.exit_code == 2
    assert "expected one TEXT, got 3 words; quote them: hpdsearch query 'machine that measures'\n" in result.stderr
    assert "hpdsearch query 'it'\"'\"'s me'" in indexed("query", "it's", "me").stderr


def test_json_has_the_full_text_only_if_it_is_asked_for(run, tiny_folder):
    text = "A seismograph measures earthquakes. " + "More words follow here. " * 60
    Path("long.jsonl").write_text(json.dumps({"id": "1", "text": text}) + "\n")
    assert run("index", "long.jsonl", "--encoder", tiny_folder).exit_code == 0
    short, full = (
        json.loads(run("query", "seismograph", "--mode", "lexical", "--json", *options).stdout)["hits"][0]
        for options in ((), ("--full",))
    )
    assert set(full) - set(short) == {"text"}
    assert full["text"] == text
    assert len(short["passage"]) < len(text)
    shown = run("query", "seismograph", "--mode", "lexical", "--full").stdout
    assert "".join(shown.split()).count("Morewordsfollowhere.") == 60
    assert "Morewordsfollowhere." * 15 not in "".join(run("query", "seismograph").stdout.split())


# ---- --batch


def test_blank_queries_of_a_batch_are_answered_without_hits(indexed):
    Path("q.txt").write_text("fear\n\n   \nearthquakes\n\n")
    result = indexed("query", "--batch", "q.txt", "--json", "--mode", "lexical", "-k", 1)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["query_id"], len(answer["hits"])) for answer in answers] == [
        ("1", 1),
        ("2", 0),
        ("3", 0),
        ("4", 1),
        ("5", 0),
    ]
    assert result.stderr == "q.txt: 3 of the queries blank, answered without hits\n"
    assert "2: \nno hits" in indexed("query", "--batch", "q.txt").stdout
    Path("q.txt").write_text("earthquakes\n\nhappiness\n")
    assert indexed("query", "--batch", "q.txt", "--run-file", "run", "--mode", "lexical").exit_code == 0
    assert [line.split()[:3:2] for line in Path("run").read_text().splitlines()] == [["1", "s1"], ["3", "j1"]]


def test_a_batch_of_blank_queries_is_answered(indexed):
    Path("q.txt").write_text("\n\n")
    result = indexed("query", "--batch", "q.txt", "--json")
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["hits"] for line in result.stdout.splitlines()] == [[], []]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.jsonl", '{"number": "q7", "title": "x", "question": "earthquakes"}\n'),
        ("q.csv", "number,question\nq7,earthquakes\n"),
        ("q.tsv", "question\tnumber\nearthquakes\tq7\n"),
    ],
)
def test_a_batch_takes_the_names_of_its_fields(indexed, name, content):
    Path(name).write_text(content)
    fields = ("--id-field", "number", "--text-field", "question")
    (line,) = indexed("query", "--batch", name, "--json", *fields).stdout.splitlines()
    answer = json.loads(line)
    assert (answer["query_id"], answer["query"]) == ("q7", "earthquakes")
    assert indexed("query", "fear", *fields).exit_code == 2


def test_a_batch_may_come_from_standard_input(indexed):
    result = indexed("query", "--batch", "-", "--json", input="fear\n\nhappiness\n")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["query_id"], answer["query"]) for answer in answers] == [
        ("1", "fear"),
        ("2", ""),
        ("3", "happiness"),
    ]


# ---- sessions


def test_each_line_of_a_json_session_has_one_line_of_json(indexed):
    asked = {
        "fear": "hits",
        ":k 1": "k",
        ":mode lexical": "mode",
        ":where year > 1900": "n_documents",
        ":where": "where",
        "earthquakes": "hits",
        ":open 1": "text",
        ":info": "n_documents",
        ":help": "help",
        ":k none": "error",
        ":open 9": "error",
        ":where yaer = 1": "error",
        ":nonsense": "error",
        ":mode none": "error",
    }
    result = indexed("query", "--json", input="\n".join([*asked, "", ":quit", "fear"]))
    assert result.exit_code == 0
    assert result.stderr == ""
    values = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(values) == len(asked)
    for key, value in zip(asked.values(), values, strict=True):
        assert key in value
    assert values[1] == {"k": 1}
    assert values[3] == {"where": "year > 1900", "n_documents": 1}
    assert values[6]["doc_id"] == "s1"


@pytest.mark.parametrize("text", [":-)", ":)", ":D", ":", "::", ":: fear", ":thinking: fear", ":3", ":k5", "::1 fear"])
def test_text_that_begins_with_a_colon_and_is_no_command_is_a_query(indexed, text):
    result = indexed("query", "--json", input=f"{text}\n")
    assert json.loads(result.stdout)["query"] == text


def test_two_colons_search_for_the_name_of_a_command(indexed):
    assert json.loads(indexed("query", "--json", input="::mode fear\n").stdout)["query"] == ":mode fear"


def test_an_unknown_command_gets_a_suggestion(indexed):
    result = indexed("query", input=":mod lexical\n:Help\n:qiut\n")
    assert "did you mean :mode? ::mod searches for :mod" in result.stderr
    assert "did you mean :help?" in result.stderr
    assert "did you mean :quit?" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(
    ("lines", "exit_code"),
    [
        ([":where yaer = 1"], 1),
        ([":nonsense", ":k 0"], 1),
        ([], 0),
        (["", "  "], 0),
        ([":k 1"], 0),
        (["fear"], 0),
        ([":where yaer = 1", "fear"], 0),
        (["fear", ":nonsense"], 0),
    ],
)
def test_a_piped_session_fails_if_it_has_errors_and_no_answer(indexed, lines, exit_code, options):
    result = indexed("query", *options, input="".join(f"{line}\n" for line in lines))
    assert result.exit_code == exit_code, result.output


def test_a_session_in_which_every_query_fails_exits_with_1(indexed):
    result = indexed("query", "--where", "yaer = 1", input="fear\nearthquakes\n")
    assert result.exit_code == 1
    assert result.stderr.count("no document has a field 'yaer'") == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_session_on_a_dumb_terminal_prints_no_escape(indexed):
    import pty

    main_end, terminal = pty.openpty()
    command = [sys.executable, "-m", "hpdsearch", "query", "-i", "words", "-k", "1", "--mode", "lexical"]
    environment = {**os.environ, "TERM": "dumb"}
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        for awaited, typed in ((b"> ", b"earthquakes\r"), (b"1 hit in", b":nonsense\r"), (b"no such command", b"\x04")):
            while awaited not in shown:
                shown += os.read(main_end, 4096)
            os.write(main_end, typed)
        with contextlib.suppress(OSError):  # the other end is closed
            while chunk := os.read(main_end, 4096):
                shown += chunk
    os.close(main_end)
    assert process.returncode == 0
    assert b"seismograph" in shown
    assert b"\x1b" not in shown
