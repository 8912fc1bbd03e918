"""INDEX on a command line: a folder, a name under indexes/; `~` in every path."""

import os
import shutil
from pathlib import Path

import click
import pytest

from hpdsearch.cli import main
from hpdsearch.cli.parameters import expand_home

COMMANDS = {
    "query": ("query", "fear", "--mode", "lexical", "-i", "words"),
    "info": ("info", "words"),
    "verify": ("verify", "-i", "words"),
    "reindex": ("reindex", "words"),
    "compact": ("compact", "words"),
    "add": ("add", "words", "more.txt"),
    "delete": ("delete", "words", "s1"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("other", ["folder", "file", "link to nothing"])
def test_a_corpus_of_the_same_name_does_not_hide_an_index(indexed, command, other):
    Path("more.txt").write_text("one more document\n")
    if other == "folder":
        Path("words").mkdir()
        Path("words/note.md").write_text("# A note\n")
    elif other == "file":
        Path("words").write_text("a file\n")
    else:
        Path("words").symlink_to("nowhere")
    result = indexed(*COMMANDS[command])
    assert result.exit_code == 0, result.output
    assert "indexes/words: " in result.stdout or command == "query"
    assert result.stderr == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_indexes_that_cannot_be_listed_is_not_called_empty(indexed):
    Path("indexes").chmod(0o311)
    try:
        assert indexed("info").stderr == "Error: indexes: Permission denied\n"
        assert indexed("info", "words").exit_code == 0
        assert "there is no such folder" in indexed("info", "other").stderr
    finally:
        Path("indexes").chmod(0o755)


def test_of_two_indexes_of_a_name_the_path_is_used_and_named(indexed, corpus, tiny_folder):
    corpus.write_text('{"id": "x", "text": "another text"}\n')
    assert indexed("index", corpus, "-o", "words", "--encoder", tiny_folder).exit_code == 0
    result = indexed("info", "words")
    assert result.stdout.startswith("words: 1 document,")
    assert result.stderr == "words and indexes/words are both indexes; this command uses ./words\n"
    for name, n_documents in (("./words", 1), ("indexes/words", 4), (Path("words").absolute(), 1)):
        clear = indexed("info", name)
        assert f": {n_documents} document" in clear.stdout
        assert clear.stderr == ""


def test_one_index_under_two_names_is_no_choice(indexed):
    Path("words").symlink_to("indexes/words")
    assert indexed("info", "words").stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_index_lists_what_was_looked_at_and_what_there_is(indexed, command):
    Path("photos").mkdir()
    arguments = [argument.replace("words", "photos") for argument in COMMANDS[command]]
    result = indexed(*arguments)
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: photos: this is not an hpdsearch index (it holds no catalog.sqlite); indexes/photos: there is no such "
        "folder; make one with: hpdsearch index CORPUS, or name another (indexes/ holds words)\n"
    )
    Path("list").write_text("")
    assert "Error: list: this is a file, not an index folder; indexes/list: " in indexed("info", "list").stderr
    assert "indexes/" not in indexed("info", "/no/where").stderr.split("; ")[0]


# ---- ~

NO_PATHS = {  # the parameters of commands that hold text and are no paths
    *(
        "words",
        "where",
        "like",
        "k",
        "mode",
        "ann_recall",
        "id_field",
        "text_field",
        "title_field",
        "stdin_format",
        "include",
        "exclude",
        "on_error",
    ),
    *("encoding", "delimiter", "columns", "exclude_columns", "subset", "layers", "dim", "memory", "kind", "codec"),
    *("query_prompt", "document_prompt", "precision", "documents", "shards", "shard_passages"),
    *("device", "distractor_files"),  # the latter is FILE:N: test_evaluate.py
    *("host", "token", "cors", "to", "space_id", "language", "ray"),
    *(
        "index_argument",
        "index_option",
        "arguments",
        "corpus",
        "index",
        "folders",
    ),  # INDEX, CORPUS and DOC_ID: the tests below
}
COMMANDS_OF_GROUPS = {
    **{name: command for name, command in main.commands.items() if not isinstance(command, click.Group)},
    **{f"evaluate {name}": command for name, command in main.commands["evaluate"].commands.items()},
}
PATHS = [
    pytest.param(parameter, id=f"{words} {parameter.name}")
    for words, command in COMMANDS_OF_GROUPS.items()
    for parameter in command.params
    if parameter.name not in NO_PATHS
    and not isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType)
    and not getattr(parameter, "is_flag", False)
]


@pytest.mark.parametrize("parameter", PATHS)
def test_every_path_of_a_command_line_expands_the_home_folder(parameter, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "x").write_text("")
    context = click.Context(click.Command("command"))

    def convert(value):
        converted = parameter.type.convert(value, parameter, context)
        if hasattr(converted, "read"):
            converted.close()
            return Path(converted.name)
        return Path(converted)

    assert convert("~/x") == tmp_path / "x"
    monkeypatch.chdir(tmp_path)
    Path("~").mkdir()
    Path("~/x").write_text("")
    for unchanged in ("x", "./~/x", str(tmp_path / "x")):
        assert convert(unchanged) == Path(unchanged)


def test_the_folders_of_a_command_line_may_begin_with_home(run, corpus, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shutil.copytree(tiny_folder, "encoder")
    made = run("index", "~/words.jsonl", "--output=~/made", "--encoder=~/encoder")
    assert made.exit_code == 0, made.output
    assert (tmp_path / "made" / "catalog.sqlite").is_file()
    assert run("index", "~/words.jsonl", "--output=~/made", "--update").stdout.count("up to date") == 1
    Path("ids.txt").write_text("s1\n")
    Path("queries.txt").write_text("earthquakes\n")
    for arguments in (
        (
            "query",
            "--index=~/made",
            "--batch=~/queries.txt",
            "--query-encoder=~/encoder",
            "--mode=lexical",
            "--run-file=~/run",
        ),
        ("info", "~/made"),
        ("add", "~/made", "~/queries.txt"),
        ("delete", "-i~/made", "--ids-file=~/ids.txt"),
        ("encode", "~/queries.txt", "--encoder=~/encoder", "-o~/vectors.npy"),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
    assert not Path("~").exists()
    assert (tmp_path / "vectors.npy").is_file()


def test_a_name_that_is_no_home_folder_stays():
    assert expand_home("~no-such-user~/x") == "~no-such-user~/x"
    assert expand_home("a~/x") == "a~/x"
