"""Every command on an index in shards: it does what it does on an index without shards, or says what to use."""

import json
import shutil
from pathlib import Path

import pytest
from cli_documents import DOCUMENTS
from click.testing import CliRunner
from tiny_encoder import make_tiny_static
from watching import wait_until, watching

from hpdsearch import Index
from hpdsearch.cli import main

QUERY = "a morbid fear of earthquakes"


def build_both(run, corpus, folder) -> None:
    """Build indexes/words in 3 shards and indexes/single without, in a folder."""
    encoder = make_tiny_static(folder / "static", max_tokens=120)
    indexes = folder / "indexes"
    for options in (("-o", indexes / "words", "--shards", 3, "--processes", 1), ("-o", indexes / "single")):
        built = run("index", corpus, "--encoder", encoder, "--index-type", "flat", "--codec", "f32", *options)
        assert built.exit_code == 0, built.output


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return a folder with both indexes, which are built once; tests work on copies."""
    folder = tmp_path_factory.mktemp("both")
    corpus = folder / "words.jsonl"
    corpus.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    build_both(lambda *arguments: CliRunner().invoke(main, [str(each) for each in arguments]), corpus, folder)
    return folder / "indexes"


@pytest.fixture
def sharded(run, both, tmp_path):
    """Return the function that runs commands, with indexes/words in 3 shards and indexes/single without."""
    shutil.copytree(both, tmp_path / "indexes")
    return run


@pytest.fixture
def sharded_here(run, corpus, tmp_path):
    """Return the same function, with indexes that were built from the corpus in the working directory."""
    build_both(run, corpus, tmp_path)
    return run


def succeed(run, *arguments) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("options", [(), ("--explain",), ("-k", 3, "--full"), ("--min-score", 0.01)])
def test_query_prints_the_hits_of_one_index(sharded, mode, options) -> None:
    def hits(name):
        return json.loads(succeed(sharded, "query", QUERY, "-i", name, "--mode", mode, "--json", *options))["hits"]

    assert hits("words") == hits("single")
    assert hits("words")


def test_query_like_and_batches_are_those_of_one_index(sharded, tmp_path) -> None:
    doc_id = str(DOCUMENTS[0]["id"])
    (tmp_path / "queries.txt").write_text(f"{QUERY}\nqueen moon\n")
    for options in (("--like", doc_id, "--json"), ("--batch", "queries.txt", "--json")):
        answers = [succeed(sharded, "query", "-i", name, *options) for name in ("words", "single")]
        hits = [[json.loads(line)["hits"] for line in answer.splitlines()] for answer in answers]
        assert hits[0] == hits[1]


def test_the_session_opens_documents(sharded) -> None:
    result = sharded("query", "-i", "words", input="cat\n:open 1\n")
    assert result.exit_code == 0, result.output


def test_info_counts_all_shards(sharded) -> None:
    assert "shards:     3" in succeed(sharded, "info", "words")
    described = json.loads(succeed(sharded, "info", "words", "--json"))
    single = json.loads(succeed(sharded, "info", "single", "--json"))
    same = ("n_documents", "n_passages", "fields", "encoder", "space", "dim", "languages", "spec")
    assert [described[name] for name in same] == [single[name] for name in same]
    assert [shard["name"] for shard in described["shards"]] == ["shard-00000", "shard-00001", "shard-00002"]
    assert "shards:" not in succeed(sharded, "info", "single")


def test_a_shard_is_an_index_of_its_own(sharded) -> None:
    counts = [
        json.loads(succeed(sharded, "info", f"indexes/words/shard-0000{n}", "--json"))["n_documents"] for n in range(3)
    ]
    assert sum(counts) == len(DOCUMENTS)
    assert "intact" in succeed(sharded, "verify", "indexes/words/shard-00001")


def test_add_delete_and_update_change_the_shards(sharded_here, tmp_path, corpus) -> None:
    (tmp_path / "more.jsonl").write_text('{"id": "new", "text": "a red ship of gold"}\n')
    assert "indexed 1 document" in succeed(sharded_here, "add", "words", "more.jsonl")
    assert "1 document deleted" in succeed(sharded_here, "delete", "words", "new")
    assert "up to date" in succeed(sharded_here, "index", corpus, "--update", "-o", "indexes/words")
    lines = corpus.read_text().splitlines()
    corpus.write_text("\n".join(lines[1:]) + '\n{"id": "last", "text": "the moon and the wind"}\n')
    output = succeed(sharded_here, "index", corpus, "--update", "-o", "indexes/words")
    assert "indexed 1 document" in output
    assert "1 documents deleted" in output
    assert "intact" in succeed(sharded_here, "verify", "words")


def test_delete_of_an_unknown_id_deletes_nothing(sharded) -> None:
    doc_id = str(DOCUMENTS[0]["id"])
    result = sharded("delete", "words", doc_id, "unknown")
    assert result.exit_code == 1
    assert "1 of 2 doc_ids are not in the index: 'unknown'" in result.output
    with Index.open("indexes/words") as index:
        assert index.get(doc_id) is not None


def test_compact_reindex_refine_and_verify_work(sharded) -> None:
    assert "segment:" in succeed(sharded, "compact", "words")
    assert "reindexed" in succeed(sharded, "reindex", "words", "--index-type", "flat", "--codec", "rabitq")
    assert json.loads(succeed(sharded, "info", "words", "--json"))["spec"]["codec"] == "rabitq"
    assert "is refined already" in succeed(sharded, "refine", "words")
    assert "intact" in succeed(sharded, "verify", "words")


def test_a_damaged_shard_is_named(sharded) -> None:
    vectors = next(Path("indexes/words/shard-00001").glob("vectors-*.f16"))
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"x")
    result = sharded("verify", "words")
    assert result.exit_code == 1
    assert "shard-00001" in result.output


@pytest.mark.parametrize("to", ["jsonl", "qdrant-jsonl", "opensearch-bulk"])
def test_export_writes_the_records_of_one_index(sharded, to) -> None:
    lines = [sorted(succeed(sharded, "export", name, "-", "--to", to).splitlines()) for name in ("words", "single")]
    assert lines[0] == lines[1]


def test_import_and_a_build_without_shards_do_not_replace_shards(sharded_here, corpus, tmp_path) -> None:
    (tmp_path / "out.jsonl").write_text(succeed(sharded_here, "export", "words", "-", "--to", "jsonl"))
    commands = (
        ("import", "out.jsonl", "--encoder", tmp_path / "static"),
        ("index", corpus, "--encoder", tmp_path / "static"),
    )
    for command in commands:
        result = sharded_here(*command, "-o", "indexes/words", "--overwrite")
        assert result.exit_code == 1
        assert "holds an index in shards" in result.output
        assert "--shards N" in result.output


def test_shards_do_not_replace_an_index_without_shards(sharded, corpus) -> None:
    result = sharded("index", corpus, "-o", "indexes/single", "--shards", 2, "--overwrite")
    assert result.exit_code == 1
    assert "holds an index without shards" in result.output


def test_a_second_build_needs_overwrite(sharded_here, corpus, tmp_path) -> None:
    options = (
        "index",
        corpus,
        "-o",
        "indexes/words",
        "--shards",
        2,
        "--processes",
        1,
        "--encoder",
        tmp_path / "static",
    )
    result = sharded_here(*options)
    assert result.exit_code == 1
    assert "holds an index already" in result.output
    succeed(sharded_here, *options, "--overwrite")
    names = sorted(path.name for path in Path("indexes/words").iterdir() if path.is_dir())
    assert names == ["shard-00000.2", "shard-00001.2"]
    assert "intact" in succeed(sharded_here, "verify", "words")


def test_options_that_need_shards_say_so(sharded, corpus) -> None:
    assert "--processes goes with --shards" in sharded("index", corpus, "--processes", 2).output
    result = sharded("index", corpus, "--update", "-o", "indexes/words", "--shards", 2)
    assert "--shards does not go with --update" in result.output


@pytest.mark.slow
def test_watch_keeps_shards_up_to_date(sharded, tmp_path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("the tide")
    out = tmp_path / "out.txt"
    with watching(tmp_path / "indexes/words", notes, out):
        wait_until(lambda: "indexed" in out.read_text())
        (notes / "b.md").write_text("a red moon")
        wait_until(lambda: out.read_text().count("indexed") == 2)
    with Index.open("indexes/words") as index:
        assert index.get("b.md") is not None
