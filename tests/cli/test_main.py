"""The command group: help, version, exit codes, former names, INDEX as an argument or with -i."""

import json
import re

import click
import pytest
from click.testing import CliRunner

import hpdsearch
from hpdsearch import IndexSpec, __version__
from hpdsearch.cli import main, output
from hpdsearch.cli.options import SPEC_FIELDS
from hpdsearch.encoder import DEFAULT_ENCODER


def leaves(command, words):
    """Yield the path of names and the command of every command that is no group."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, (*words, name))
    else:
        yield words, command


LEAVES = dict(leaves(main, ()))


def get_help(*words):
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return result.output


def test_help_lists_every_command_with_one_sentence_on_one_line():
    lines = get_help().splitlines()
    shown = dict(re.findall(r"^  ([\w-]+) +(\S.*)$", "\n".join(lines), flags=re.MULTILINE))
    for name, command in main.commands.items():
        sentence = command.help.split("\n\n")[0].strip()
        assert shown[name] == sentence
        assert re.fullmatch(r"[A-Z].*[.]", sentence)
    assert all(len(line) <= 80 for line in lines)
    assert "..." not in "".join(lines).replace("[ARGS]...", "")
    assert [name for name in shown if name in main.commands] == list(main.commands), "in a sensible order"


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_has_a_sentence_an_example_and_sentences_for_its_options(words):
    command = LEAVES[words]
    assert re.fullmatch(r"[A-Z][^\n]*[.]", command.help.split("\n\n")[0])
    assert re.search(rf"^ +(echo .* )?hpdsearch {' '.join(words)}\b", get_help(*words), flags=re.MULTILINE)
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert re.match(r"[A-Z].*[.]", str(option.help), flags=re.DOTALL), option.opts


def test_version_prints_the_version():
    assert CliRunner().invoke(main, ["--version"]).output == f"hpdsearch, version {__version__}\n"


def test_the_defaults_of_the_options_are_those_of_the_spec():
    defaults = {option.name: option.get_default(click.Context(main)) for option in main.commands["reindex"].params}
    set_fields = {name: defaults[name] for name in SPEC_FIELDS}
    assert set_fields | {"memory": int(set_fields["memory"])} == {
        name: getattr(IndexSpec(), name) for name in SPEC_FIELDS
    }
    (encoder,) = (option for option in main.commands["index"].params if option.name == "encoder")
    assert encoder.show_default == DEFAULT_ENCODER


def test_the_public_names_are_those_listed():
    classes = {
        "Codec",
        "Document",
        "EncodedDocument",
        "Encoder",
        "Explanation",
        "Hit",
        "HpdsearchError",
        "Index",
        "IndexSpec",
        "Kind",
        "Mode",
        "WeightedTeacher",
    }
    assert set(hpdsearch.__all__) == classes | {"__version__", "fit_queries", "read_encoded"}
    assert all(isinstance(getattr(hpdsearch, name), type) for name in classes)
    with pytest.raises(AttributeError, match="no attribute 'tune'"):
        _ = hpdsearch.tune


def test_distill_is_public_where_its_extra_is_installed():
    pytest.importorskip("torch")
    assert hpdsearch.distill.__module__ == "hpdsearch.distillation.pipeline"


# ---- INDEX


@pytest.mark.parametrize("command", ["info", "verify", "compact", "reindex"])
def test_an_index_is_an_argument_an_option_or_the_only_one(indexed, command):
    for words in (["words"], ["-i", "words"], ["--index", "indexes/words"], []):
        result = indexed(command, *words)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("indexes/words: ")
    twice = indexed(command, "words", "-i", "words")
    assert twice.exit_code == 2
    assert "expected one INDEX, got words and -i words" in twice.stderr


def test_add_and_delete_take_the_index_first_or_with_i(indexed, tmp_path):
    (tmp_path / "more.txt").write_text("one\ntwo\nthree\n")
    assert indexed("add", "words", "more.txt").exit_code == 0
    assert indexed("add", "more.txt", "-i", "words").exit_code == 0
    assert indexed("delete", "words", "more.txt:1").stdout == "indexes/words: 1 document deleted, 6 left\n"
    assert indexed("delete", "more.txt:2", "more.txt:3", "-i", "words").stdout.endswith("2 documents deleted, 4 left\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add"], "Missing argument 'INDEX'"),
        (["add", "words"], "Missing argument 'CORPUS...'"),
        (["add", "-i", "words"], "Missing argument 'CORPUS...'"),
        (["delete"], "Missing argument 'INDEX'"),
        (["delete", "words"], "expected a DOC_ID or --ids-file, got neither"),
    ],
)
def test_a_missing_argument_is_a_usage_error(indexed, words, message):
    result = indexed(*words)
    assert result.exit_code == 2
    assert message in result.stderr


# ---- former names


def test_former_names_of_commands_and_options_are_hidden_and_accepted(indexed, tiny_folder):
    result = indexed("tune", "words", "--kind", "flat", "--codec", "f32", "--recall", "0.9")
    assert result.stdout.startswith("indexes/words: reindexed\n")
    spec = json.loads(indexed("info", "--json").stdout)["spec"]
    assert (spec["kind"], spec["codec"], spec["ann_recall"]) == ("flat", "f32", 0.9)
    assert "\n  tune" not in get_help()
    for command, former in (
        ("reindex", ("--kind", "--recall")),
        ("index", ("--kind", "--recall")),
        ("query", ("--encoder", "--recall")),
    ):
        assert not set(former) & set(re.findall(r"--[\w-]+", get_help(command)))
    answers = [
        json.loads(indexed("query", "fear", "--json", "--recall", "0.5", option, tiny_folder).stdout)["hits"]
        for option in ("--encoder", "--query-encoder")
    ]
    assert answers[0] == answers[1]
    assert answers[0][0]["doc_id"]


@pytest.mark.parametrize(
    ("words", "former", "new"),
    [
        (["reindex", "words"], ["--recall", "0.9"], ["--ann-recall", "0.9"]),
        (["index", "words.jsonl"], ["--kind", "flat"], ["--index-type", "flat"]),
        (["query", "fear"], ["--encoder", "base"], ["--query-encoder", "base"]),
        (["evaluate", "retrieval", "."], ["--queries-encoder", "base"], ["--query-encoder", "base"]),
    ],
)
def test_a_former_name_beside_its_new_name_is_a_usage_error(indexed, words, former, new):
    for options in ([*former, *new], [*new, *former]):
        result = indexed(*words, *options)
        assert result.exit_code == 2
        assert f"{former[0]} is the former name of {new[0]}; give only one of them" in result.stderr


@pytest.mark.parametrize(
    ("words", "choices"),
    [(["query", "x", "--mode", "y"], "'hybrid', 'dense', 'lexical'"), (["reindex", "--kind", "y"], "'flat', 'ivf'")],
)
def test_a_wrong_choice_is_a_usage_error_that_lists_the_choices(indexed, words, choices):
    result = indexed(*words)
    assert result.exit_code == 2
    assert choices in result.stderr


# ---- -q and -v


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_quiet_and_verbose_are_options_of_every_command(words):
    text = get_help(*words)
    assert re.search(r"^  -v, --verbose +Log to stderr\.$", text, flags=re.MULTILINE)
    assert re.search(r"^  -q, --quiet +Hide progress bars\.$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("arguments", [("-q", "compact", "words"), ("compact", "words", "-q"), ("compact", "--quiet")])
def test_quiet_hides_progress_on_both_sides_of_the_command(indexed, monkeypatch, arguments):
    monkeypatch.setattr(output, "is_terminal", lambda stream: True)
    assert "committing" in indexed("compact", "words").stderr
    assert indexed(*arguments).stderr == ""


@pytest.mark.parametrize("arguments", [("-v", "info", "words"), ("info", "words", "-v"), ("-v", "info", "--verbose")])
def test_verbose_logs_on_both_sides_of_the_command(indexed, caplog, arguments):
    assert indexed("info", "words").exit_code == 0
    assert "opened generation" not in caplog.text
    assert indexed(*arguments).exit_code == 0
    assert "indexes/words: opened generation 1" in caplog.text
