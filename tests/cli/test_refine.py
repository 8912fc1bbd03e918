"""The commands index, add, info and refine with a draft."""

import pytest
from tiny_encoder import WORDS, make_tiny_encoder, make_tiny_static

from hpdsearch import Index
from hpdsearch.encoder import Encoder
from hpdsearch.index import index as index_module
from hpdsearch.indexer import ingest as ingest_module
from hpdsearch.indexer import refine as refine_module


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Return a file of 2,000 lines, which the tiny static encoder drafts in blocks of 500."""
    static = Encoder.load(make_tiny_static(tmp_path / "static"))
    monkeypatch.setattr(ingest_module, "BLOCK_DOCUMENTS", 500)
    monkeypatch.setattr(index_module, "find_draft_encoder", lambda _: static)
    monkeypatch.setattr(refine_module, "MIN_STEP_SECONDS", 0)
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{WORDS[n % len(WORDS)]} {WORDS[n % 7]} {n}\n" for n in range(2000)))
    return path


@pytest.fixture
def tiny(tmp_path):
    return make_tiny_encoder(tmp_path / "tiny")


@pytest.fixture
def interrupted(monkeypatch):
    """Let every encoder be interrupted after so many blocks of 500 texts."""
    blocks = [99]
    encode = Encoder.encode

    def interrupt(self, texts, **options):
        if len(texts) == 500 and self.name == "tiny":
            if not blocks[0]:
                raise KeyboardInterrupt
            blocks[0] -= 1
        return encode(self, texts, **options)

    monkeypatch.setattr(Encoder, "encode", interrupt)
    return blocks


def test_index_drafts_and_refines(run, corpus, tiny, tmp_path):
    result = run("index", corpus, "--encoder", tiny, "-o", tmp_path / "a")
    assert result.exit_code == 0, result.output
    assert "(draft; 2,000 passages to refine)" in result.stdout
    assert "refined:    2,000 passages in " in result.stdout
    direct = run("index", corpus, "--encoder", tiny, "--no-draft", "-o", tmp_path / "b")
    assert "to refine" not in direct.stdout
    with Index.open(tmp_path / "a") as drafted, Index.open(tmp_path / "b") as encoded:
        assert drafted.search("cat dog", 30) == encoded.search("cat dog", 30)
    assert "is refined already" in run("refine", tmp_path / "a").stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", ["refine", "index", "add"])
def test_a_stopped_command_says_how_to_go_on(run, corpus, tiny, tmp_path, interrupted, command):
    interrupted[0] = 2
    result = run("index", corpus, "--encoder", tiny, "-o", tmp_path / "a")
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"stopped; it can be searched, and what is encoded is kept; go on with: hpdsearch refine {tmp_path / 'a'}\n"
    )
    assert "refined:    50 % of the passages" in run("info", tmp_path / "a").stdout
    interrupted[0] = 2
    if command == "refine":
        result = run("refine", tmp_path / "a")
    elif command == "index":
        result = run("index", corpus, "--encoder", tiny, "-o", tmp_path / "a")
        assert "going on with the draft of an earlier run" in result.stdout
    else:
        (tmp_path / "one.txt").write_text("one more\n")
        result = run("add", tmp_path / "a", tmp_path / "one.txt")
    assert result.exit_code == 0, result.output
    assert "refined:    1,000 passages in " in result.stdout
    with Index.open(tmp_path / "a") as index:
        assert index.info().n_draft == 0


def test_a_stopped_direct_build_goes_on(run, corpus, tiny, tmp_path, interrupted):
    command = ("index", corpus, "--encoder", tiny, "--no-draft", "-o", tmp_path / "a")
    interrupted[0] = 2
    result = run(*command)
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"{tmp_path / 'a'}: stopped; no index was made; what is encoded is kept, and the same command goes on\n"
    )
    interrupted[0] = 2
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert "1,000 passages that an interrupted run had encoded" in result.stdout


def test_another_encoder_does_not_go_on_with_a_draft(run, corpus, tiny, tmp_path, interrupted):
    interrupted[0] = 0
    assert run("index", corpus, "--encoder", tiny, "-o", tmp_path / "a").exit_code == 1
    result = run("index", corpus, "--encoder", "small", "-o", tmp_path / "a")
    assert result.exit_code == 1
    assert "holds an index already" in result.stderr
