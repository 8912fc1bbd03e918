"""Printing: no character of a document, a query or a name controls the terminal; styles; encodings."""

import io
import json
import subprocess
import sys
import unicodedata

import click
import pytest
from click.testing import CliRunner

from hpdsearch.cli import main
from hpdsearch.cli.output import Styled, echo, echo_json, echo_table, escape_controls, make_progress

# From the Unicode database, not from the code: control characters, and those that the Bidi_Control property names.
BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CONTROLS = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) == "Cc" and chr(code) not in "\n\t"]
HOSTILE = "".join([*CONTROLS, *BIDI_CONTROLS, "\u2028\u2029"])
WITHOUT_NUL = HOSTILE.replace("\0", "")


def find_controls(text):
    return sorted({character for character in text if character in HOSTILE})


@pytest.fixture
def hostile(run, tiny_folder, tmp_path):
    """Return `run`, with an index whose documents have such characters everywhere."""
    record = {"id": f"i{WITHOUT_NUL}d", "title": f"t{WITHOUT_NUL}", "text": f"a fear {WITHOUT_NUL} of spiders"}
    record |= {f"key{WITHOUT_NUL}": f"value{WITHOUT_NUL}", "nested": {"a": [WITHOUT_NUL]}}
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps(record) + "\n")
    assert run("index", path, "-o", "indexes/words", "--encoder", tiny_folder).exit_code == 0
    return run


# ---- characters that control a terminal


@pytest.mark.parametrize("character", [*CONTROLS, *BIDI_CONTROLS, chr(0xD800), chr(0xDC85)], ids=ascii)
def test_a_control_character_is_printed_as_its_escape(character, capsys):
    echo(f"a{character}b", Styled(character, "red"))
    echo_json({character: [character]})
    text, data = capsys.readouterr().out.splitlines()
    expected = r"\x85" if character == chr(0xDC85) else ascii(character)[1:-1]
    assert text == f"a{expected}b{expected}"
    assert data.isprintable()
    assert character not in data
    assert json.loads(data) == {character: [character]}


def test_text_of_all_scripts_is_printed_as_it_is(capsys):
    text = "naïve 地震 🙂 e\u0301 שלום نمی\u200cخواهم สวัสดี 👩\u200d👩\u200d👧\tx\ny"
    echo(text)
    echo_json(text)
    shown, data = capsys.readouterr().out.rsplit("\n", 2)[:2]
    assert shown == text
    assert data == json.dumps(text, ensure_ascii=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "fear"),
        ("query", "fear", "--json"),
        ("query", "fear", "--json", "--full"),
        ("query", "fear", "--full"),
        ("query", f"fear {WITHOUT_NUL}", "--json"),
        ("query", "fear", "--where", f"key = '{WITHOUT_NUL}"),
        ("query", "fear", "--where", f"{WITHOUT_NUL} = 3"),
        ("query", "fear", "-i", f"no{WITHOUT_NUL}"),
        ("query", "fear", "--mode", WITHOUT_NUL),
        ("query", f"--{WITHOUT_NUL}"),
        (f"{WITHOUT_NUL}",),
        (f"--{WITHOUT_NUL}",),
        ("info", "words"),
        ("info", "words", "--json"),
        ("delete", "words", f"no{WITHOUT_NUL}"),
        ("delete", "words", f"i{WITHOUT_NUL}d"),
        ("index", f"no{WITHOUT_NUL}.txt"),
        ("index", "corpus.jsonl", "--encoder", f"no{WITHOUT_NUL}"),
        ("index", "corpus.jsonl", "--text-field", f"no{WITHOUT_NUL}"),
        ("verify", f"no{WITHOUT_NUL}"),
        ("encode", f"no{WITHOUT_NUL}.txt"),
        ("evaluate", "sts", f"no{WITHOUT_NUL}"),
    ],
    ids=ascii,
)
def test_no_command_prints_a_control_character(hostile, arguments):
    result = hostile(*arguments)
    assert result.output
    assert find_controls(result.output) == []


def test_no_session_prints_a_control_character(hostile):
    lines = ["fear", ":open 1", ":info", f":where key{WITHOUT_NUL}", f":{WITHOUT_NUL}", f":open {WITHOUT_NUL}"]
    text = "".join(line.translate({0x0A: None, 0x0D: None}) + "\n" for line in lines)
    for options in ((), ("--json",)):
        result = hostile("query", *options, input=text)
        assert "spiders" in result.output
        assert find_controls(result.output) == []


def test_a_batch_and_file_names_print_no_control_character(hostile, tmp_path):
    name = f"q{WITHOUT_NUL.replace('/', '')}.txt"
    try:
        (tmp_path / name).write_text(f"fear {WITHOUT_NUL.translate({0x0D: None})} of\n", encoding="utf-8")
    except OSError:
        pytest.skip("the file system refuses such a name")
    for arguments in (("query", "--batch", name), ("add", "words", name), ("index", name), ("index", name)):
        result = hostile(*arguments)
        assert result.output
        assert find_controls(result.output) == []


def test_columns_of_a_table_stay_aligned_beside_wide_and_control_characters(capsys):
    echo_table([["地震\x1b", "1"], ["ab", "22"]], ["name", "n"])
    assert capsys.readouterr().out.splitlines() == ["name        n", "地震\\x1b    1", "ab         22"]


def test_log_lines_hold_no_control_character(hostile):
    done = subprocess.run(
        [sys.executable, "-m", "hpdsearch", "-v", "delete", "words", f"i{WITHOUT_NUL}d"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "committed generation" in done.stderr
    assert find_controls(done.stdout + done.stderr) == []


# ---- styles


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "on_terminal", "on_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "0"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("err", [False, True], ids=["stdout", "stderr"])
def test_styles_follow_the_environment(monkeypatch, environment, on_terminal, on_pipe, err):
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for stream, styled in ((Terminal(), on_terminal), (io.StringIO(), on_pipe)):
        monkeypatch.setattr(sys, "stderr" if err else "stdout", stream)
        echo("a ", Styled("b", "red"), err=err)
        assert stream.getvalue() == ("a \x1b[31mb\x1b[0m\n" if styled else "a b\n")


@pytest.mark.parametrize(
    ("term", "quiet", "shown"), [("xterm", False, True), ("xterm", True, False), ("dumb", False, False)]
)
def test_progress_bars_need_a_terminal_that_is_not_dumb(monkeypatch, term, quiet, shown):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with click.Context(main, obj=quiet):
        assert make_progress().enabled == shown


# ---- encodings


@pytest.mark.parametrize("charset", ["latin-1", "cp1252", "ascii", "utf-8", "utf-16", "cp932"])
def test_every_text_can_be_printed_in_every_encoding(indexed, charset, tmp_path, monkeypatch):
    (tmp_path / "q.txt").write_text("fear … 地震 🙂 naïve\n", encoding="utf-8")
    for options in ((), ("--json",)):
        result = CliRunner(charset=charset).invoke(main, ["query", "--batch", "q.txt", *options])
        assert result.exit_code == 0, result.output
        text = result.stdout_bytes.decode(charset)
        if options:
            assert json.loads(text)["query"] == "fear … 地震 🙂 naïve"
        else:
            shown = "fear … 地震 🙂 naïve".encode(charset, "backslashreplace").decode(charset)
            assert f"1: {shown}\n" in text


def test_the_escape_of_a_byte_that_is_not_utf8_names_the_byte():
    assert escape_controls("caf\udce9.txt") == r"caf\xe9.txt"
