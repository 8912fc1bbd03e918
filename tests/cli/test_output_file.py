"""The output files of all commands: refused before the work, complete or not there after it."""

import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import Result

from hpdsearch.cli import main
from hpdsearch.cli.parameters import OutputPath
from hpdsearch.encoder import Encoder

Run = Callable[..., Result]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other kinds of files and signals")

WRITERS = {  # the output file comes last
    "encode": ("encode", "words.jsonl", "--encoder", "encoder", "-o"),
    "encode --ids": ("encode", "words.jsonl", "--encoder", "encoder", "-o", "unused.npy", "--ids"),
    "query": ("query", "fear of spiders", "--mode", "lexical", "--run-file"),
    "query --batch": ("query", "--batch", "queries.txt", "--mode", "lexical", "--run-file"),
}
INPUTS = {
    "encode": ("words.jsonl", "encoder/tokenizer.json", "encoder/new"),
    "encode --ids": ("words.jsonl", "encoder/tokenizer.json"),
    "query": ("indexes/words/catalog.sqlite", "indexes/words/new"),
    "query --batch": ("queries.txt", "indexes/words/catalog.sqlite"),
}


@pytest.fixture
def ready(indexed: Run, corpus: Path, tiny_folder: Path) -> Run:
    """Return `run`, in a folder with an index without white space in its ids, an encoder and queries."""
    Path("words.jsonl").write_text('{"id": "s1", "text": "fear of spiders"}\n{"id": "s2", "text": "joy"}\n')
    Path("encoder").symlink_to(tiny_folder)
    Path("queries.txt").write_text("fear\njoy\n")
    assert indexed("index", "words.jsonl", "--encoder", "encoder", "--overwrite").exit_code == 0
    return indexed


def is_complete(path: Path) -> bool:
    data = path.read_bytes()
    if data.startswith(b"\x93NUMPY"):
        return len(np.load(path)) == 2
    return data.endswith(b"\n")


def test_every_output_file_of_every_command_is_tried_here() -> None:
    options = {
        (command.name, option.opts[0])
        for command in main.commands.values()
        for option in command.params
        if isinstance(option.type, OutputPath)
    }
    tried = {(words[0], words[-1]) for words in WRITERS.values()} | {("info", "--plot")}
    assert options == tried
    for name, option in options:
        assert "--overwrite" in [each for param in main.commands[name].params for each in param.opts], option
    named_file = {  # each other option with a file reads it
        option.opts[0]
        for command in main.commands.values()
        for option in command.params
        if isinstance(option, click.Option) and option.metavar == "FILE" and not isinstance(option.type, OutputPath)
    }
    assert named_file == {"--batch", "--ids-file", "--token-file", "--figures", "--parallel"}


@pytest.mark.parametrize("writer", WRITERS)
def test_an_existing_file_is_replaced_only_with_overwrite(ready: Run, writer: str) -> None:
    Path("out").write_bytes(b"old")
    refused = ready(*WRITERS[writer], "out")
    assert refused.exit_code == 1
    assert refused.stderr == "Error: out: exists already; name another file, or replace it with --overwrite\n"
    assert Path("out").read_bytes() == b"old"
    assert ready(*WRITERS[writer], "out", "--overwrite").exit_code == 0
    assert is_complete(Path("out"))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_refused_output_stops_the_command_before_its_work(
    ready: Run, writer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        pytest.fail("the work began")

    monkeypatch.setattr(Encoder, "load", fail)
    monkeypatch.setattr("hpdsearch.index.Index.open", fail)
    Path("folder").mkdir()
    Path("old").write_bytes(b"old")
    for path in ("folder", ".", "folder/", "no/out", "old", "old/out", "x" * 300, ""):
        assert ready(*WRITERS[writer], path).exit_code in (1, 2), path
    for path in INPUTS[writer]:
        refused = ready(*WRITERS[writer], path, "--overwrite")
        assert refused.exit_code == 1, path
        assert "which this command reads" in refused.stderr or "is read by this command" in refused.stderr


@pytest.mark.parametrize("writer", WRITERS)
def test_links_are_followed_and_fifos_written_through(ready: Run, writer: str) -> None:
    Path("target").write_bytes(b"old")
    Path("link").symlink_to("target")
    Path("dangling").symlink_to("new")
    os.mkfifo("fifo")
    assert ready(*WRITERS[writer], "link", "--overwrite").exit_code == 0
    assert ready(*WRITERS[writer], "dangling", "--overwrite").exit_code == 0
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(Path("fifo").read_bytes()))
    reader.start()
    assert ready(*WRITERS[writer], "fifo", "--overwrite").exit_code == 0
    reader.join()
    assert Path("link").is_symlink()
    assert Path("dangling").is_symlink()
    assert stat.S_ISFIFO(Path("fifo").lstat().st_mode)
    assert Path("new").read_bytes() == Path("target").read_bytes() == received[0]
    assert is_complete(Path("new"))


def test_a_run_without_hits_is_an_empty_file(ready: Run) -> None:
    Path("out").write_bytes(b"old")
    arguments = ("query", "xyzzy", "--mode", "lexical", "--run-file", "out", "--overwrite")
    assert ready(*arguments).exit_code == 0
    assert Path("out").read_bytes() == b""


def list_files() -> list[Path]:
    """Return all files but the logs of SQLite, which the last reader removes."""
    return [path for path in sorted(Path().rglob("*")) if not path.name.endswith(("-wal", "-shm"))]


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["encode", "encode --ids", "query --batch"])
@pytest.mark.parametrize("old", [True, False])
def test_a_failure_leaves_the_old_file(ready: Run, writer: str, old: bool) -> None:
    """The first blocks are written before the record that is no text."""
    Path("words.jsonl").write_text('{"id": "a", "text": "joy"}\n' * 20_000 + '{"id": "b", "text": 3}\n')
    Path("queries.txt").write_bytes(b"joy\n" * 600 + b"\xff\n")
    if old:
        Path("out").write_bytes(b"old")
    before = list_files()
    assert ready(*WRITERS[writer], "out", "--overwrite").exit_code == 1
    assert list_files() == before
    assert not old or Path("out").read_bytes() == b"old"


def test_two_outputs_have_two_files(ready: Run) -> None:
    arguments = ("encode", "words.jsonl", "--encoder", "encoder", "-o", "out", "--ids")
    refused = ready(*arguments, "./out")
    assert refused.exit_code == 1
    assert refused.stderr == "Error: out: is the file of another output too; name another one\n"
    assert not Path("out").exists()
    assert ready("encode", "words.jsonl", "--encoder", "encoder", "--ids", "-").exit_code == 2
    assert ready("encode", "words.jsonl", "--encoder", "encoder", "-o", "-", "--ids", "/dev/stdout").exit_code == 2
    assert ready("query", "joy", "--json", "--run-file", "-").exit_code == 2


def start(*arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "hpdsearch", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("old", [True, False])
def test_a_signal_leaves_the_old_file(ready: Run, number: signal.Signals, old: bool) -> None:
    if old:
        Path("out").write_bytes(b"old")
    with start("encode", "-", "--encoder", "encoder", "-o", "out", "--overwrite") as process:
        while not list(Path().glob(".*.partial")):
            assert process.poll() is None
            time.sleep(0.01)
        assert process.stdin is not None
        process.stdin.write(b"joy\n" * 5000)
        process.stdin.flush()
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == (1 if number == signal.SIGINT else 128 + number)
    assert b"Traceback" not in errors
    assert not list(Path().glob(".*.partial"))
    assert Path("out").exists() == old
    assert not old or Path("out").read_bytes() == b"old"


@pytest.mark.slow
def test_standard_output_is_a_file_for_programs(ready: Run) -> None:
    with start("encode", "words.jsonl", "--encoder", "encoder", "-o", "-") as process:
        out, errors = process.communicate(timeout=60)
    Path("vectors.npy").write_bytes(out)
    assert len(np.load("vectors.npy")) == 2
    assert re.fullmatch(rb"standard output: 2 x \d+ float32\n", errors)
    with start("query", "fear", "--mode", "lexical", "--run-file", "-") as process:
        out, errors = process.communicate(timeout=60)
    assert re.fullmatch(rb"1 Q0 s1 1 [\d.]+ hpdsearch\n", out)
    assert errors == b""
