"""A small index of words, and functions that run the command line on it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_documents import DOCUMENTS
from click.testing import CliRunner, Result
from tiny_encoder import make_tiny_encoder

from hpdsearch import Encoder
from hpdsearch.cli import main

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an encoder whose window holds each document, although it splits words into letters."""
    return make_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny", max_tokens=120)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_folder: Path) -> Encoder:
    """Return this encoder, loaded. The fixture of all tests would keep the encoder of the test that needs it first."""
    return Encoder.load(tiny_folder)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "words.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty working directory; exceptions that are bugs are raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def call(*arguments: object, input: str | None = None) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def indexed(run: Run, corpus: Path, tiny_folder: Path) -> Run:
    """Return the same function, with indexes/words built."""
    assert run("index", corpus, "--encoder", tiny_folder).exit_code == 0
    return run
