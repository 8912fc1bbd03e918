"""`on_error`: documents that cannot be stored are left out and named; an update never deletes what was skipped."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hpdsearch.corpus import CorpusReader, OnError, ReadOptions, read_corpus
from hpdsearch.corpus.scope import CorpusScope
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.index import Index
from hpdsearch.indexer import ingest as ingest_module
from hpdsearch.records import Document

SKIP = ReadOptions(on_error=OnError.SKIP)
BAD = {
    "no document": "cat",
    "no doc_id": Document("", "cat"),
    "a float as doc_id": Document(7.0, "cat"),  # type: ignore[arg-type]
    "no text": Document("x", None),  # type: ignore[arg-type]
    "a number as title": Document("x", "cat", 5),  # type: ignore[arg-type]
    "half a surrogate pair": Document("x", "cat \ud83d"),
    "a set": Document("x", "cat", "", {"a": {1}}),
    "depth": Document("x", "cat", "", json.loads('{"a": ' + "[" * 900 + "]" * 900 + "}")),
    "a doc_id that came before": Document("a", "cat"),
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def contents(index: Index) -> dict[str, str]:
    assert index.verify() == []
    return {hit.doc_id: hit.text for hit in index.search("cat", 1000, mode="dense")}


def write(name: str, content: str | bytes) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def records(**texts: str) -> str:
    return "".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items())


@pytest.mark.parametrize("block", [1, 4096])
@pytest.mark.parametrize("name", BAD)
def test_a_document_that_cannot_be_stored_is_left_out_of_build_and_add(
    tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, name: str, block: int
) -> None:
    monkeypatch.setattr(ingest_module, "BLOCK_DOCUMENTS", block)
    documents = [Document("a", "one"), Document("b", "two"), BAD[name], Document("c", "three")]
    with Index.build("index", documents, encoder=tiny_encoder, on_error="skip") as index:  # type: ignore[arg-type]
        assert contents(index) == {"a": "one", "b": "two", "c": "three"}
        for report in (index.report, index.add(documents, on_error=OnError.SKIP)):  # type: ignore[arg-type]
            assert report is not None
            assert (report.n_documents, report.skipped.count, len(report.skipped.reasons)) == (3, 1, 1)
        assert contents(index) == {"a": "one", "b": "two", "c": "three"}
        with pytest.raises(CorpusError) as error:
            index.add(documents)  # type: ignore[arg-type]
        assert str(error.value) == report.skipped.reasons[0]


def test_the_first_of_two_documents_with_one_doc_id_stays(tiny_encoder: Encoder) -> None:
    write("a.jsonl", records(a="one") + records(a="two") + records(b="three"))
    with Index.build("index", read_corpus("a.jsonl"), encoder=tiny_encoder, on_error="skip") as index:
        assert contents(index) == {"a": "one", "b": "three"}
        write("a.jsonl", records(a="new") + records(a="two") + records(c="four"))
        report = index.update(read_corpus("a.jsonl"), under="a.jsonl", on_error="skip")
        assert contents(index) == {"a": "new", "c": "four"}
        (reason,) = report.skipped.reasons
        assert "a.jsonl:2: doc_id 'a' came before" in reason


def test_an_index_of_skipped_documents_alone_is_an_error(tiny_encoder: Encoder) -> None:
    with pytest.raises(CorpusError, match=r"got none \(0 empty ones, 1 skipped ones\)"):
        Index.build("index", [Document("", "a")], encoder=tiny_encoder, on_error="skip")
    assert not Path("index").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"on_error": "ignore"}, "on_error: expected stop, skip, got 'ignore'"),
     ({"on_error": "skip", "strict": True}, 'expected strict or on_error="skip", got both')],
)  # fmt: skip
def test_wrong_policies_are_refused(tiny_encoder: Encoder, options: dict[str, object], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        Index.build("index", [Document("a", "a")], encoder=tiny_encoder, **options)  # type: ignore[arg-type]


def test_a_title_of_none_is_no_title(tiny_encoder: Encoder) -> None:
    with Index.build("index", [Document("a", "cat", None)], encoder=tiny_encoder) as index:  # type: ignore[arg-type]
        assert [hit.title for hit in index.search("cat")] == [""]


# ---- update


def update_by_path(index: Index, *paths: str) -> None:
    index.update(read_corpus(paths, SKIP), under=list(paths), on_error="skip")


def update_by_scope(index: Index, *paths: str) -> None:
    reader: CorpusReader = read_corpus(paths, SKIP)
    scope = CorpusScope(paths, reader.stats.locations_read, reader.stats.locations_skipped)
    index.update(reader, under=scope, on_error="skip")


Update = Callable[..., None]


@pytest.fixture(params=[update_by_path, update_by_scope])
def update(request: pytest.FixtureRequest) -> Update:
    function: Update = request.param
    return function


@pytest.mark.parametrize("how", ["bytes of another encoding", "vanishes"])
def test_update_keeps_the_documents_of_a_page_that_is_skipped(tiny_encoder: Encoder, update: Update, how: str) -> None:
    for name in ("a", "b", "c"):
        write(f"notes/{name}.md", f"text {name}")
    with Index.build("index", read_corpus("notes"), encoder=tiny_encoder) as index:
        Path("notes/c.md").unlink()
        if how == "vanishes":
            reader = read_corpus("notes", SKIP)
            Path("notes/b.md").unlink()
            index.update(reader, under="notes", on_error="skip")
        else:
            write("notes/b.md", b"caf\xe9")
            update(index, "notes")
        assert contents(index) == {"a.md": "text a", "b.md": "text b"}
        write("notes/b.md", "new")
        update(index, "notes")
        assert contents(index) == {"a.md": "text a", "b.md": "new"}


def test_update_keeps_the_documents_of_paths_that_are_missing(tiny_encoder: Encoder, update: Update) -> None:
    write("notes/a.md", "text a")
    write("more/b.md", "text b")
    write("c.jsonl", records(c="text c"))
    with Index.build("index", read_corpus(["notes", "more", "c.jsonl"]), encoder=tiny_encoder) as index:
        Path("more").rename("elsewhere")  # as a volume that is not mounted
        Path("c.jsonl").rename("d")
        update(index, "notes", "more", "c.jsonl")
        assert contents(index) == {"a.md": "text a", "b.md": "text b", "c": "text c"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'{"id": "b", "text": 5}\n', "expected a"),
        (b"\xff\n", "expected UTF-8"),
        (b'{"id": "b", "text": "new", "x": ' + b"[" * 900 + b"]" * 900 + b"}\n", "nested more than 500 deep"),
        (b'{"id": "b", "text": "new", "x": ' + b"[" * 99_999 + b"]" * 99_999 + b"}\n", "nested too deeply"),
    ],
)
def test_update_keeps_the_stored_documents_of_a_file_of_which_a_record_is_skipped(
    tiny_encoder: Encoder, update: Update, bad: bytes, message: str
) -> None:
    write("a.jsonl", records(a="one", b="two", c="three"))
    with Index.build("index", read_corpus("a.jsonl"), encoder=tiny_encoder) as index:
        write("a.jsonl", records(a="changed").encode() + bad + records(d="four").encode())
        update(index, "a.jsonl")
        assert contents(index) == {"a": "changed", "b": "two", "c": "three", "d": "four"}
        write("a.jsonl", records(a="changed", d="four"))
        update(index, "a.jsonl")
        assert contents(index) == {"a": "changed", "d": "four"}


def test_update_keeps_the_documents_behind_the_end_of_a_truncated_file(tiny_encoder: Encoder, update: Update) -> None:
    write("a.json", json.dumps([{"id": key, "text": f"text {key}"} for key in "abc"]))
    with Index.build("index", read_corpus("a.json"), encoder=tiny_encoder) as index:
        write("a.json", Path("a.json").read_bytes()[:-20])
        update(index, "a.json")
        assert contents(index) == {key: f"text {key}" for key in "abc"}
