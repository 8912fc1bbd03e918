"""Ingest: counts, replacements and refusals of documents, in blocks of any size."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from brute_force import make_documents, read_passages
from tiny_encoder import WORDS

from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.index import Index
from hpdsearch.indexer import ingest as ingest_module
from hpdsearch.records import Document

LONG = " ".join(f"The {word} sleeps on the red house." for word in WORDS[:12])


@pytest.fixture(params=[1, 3, 4096])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Set the number of documents of a block."""
    monkeypatch.setattr(ingest_module, "BLOCK_DOCUMENTS", request.param)
    return int(request.param)


@pytest.fixture
def index(tmp_path: Path, tiny_encoder: Encoder) -> Iterator[Index]:
    """Return an index of the documents a, b and c, built in one block."""
    documents = [Document(doc_id, f"old {word}") for doc_id, word in (("a", "cat"), ("b", "dog"), ("c", "moon"))]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as made:
        yield made


def find_texts(index: Index) -> dict[str, str]:
    hits = index.search("old", 1000, mode="dense")
    assert len(hits) == len(index)
    return {hit.doc_id: hit.text for hit in hits}


def test_blocks_of_any_size_give_the_same_index(tmp_path: Path, tiny_encoder: Encoder, block: int) -> None:
    documents = [*make_documents(7), Document("long", LONG, "red sea")]
    with Index.build(tmp_path / "index", iter(documents), encoder=tiny_encoder) as index:
        assert find_texts(index) == {document.doc_id: document.text for document in documents}
        passages = read_passages(index.folder, tiny_encoder)
        assert index.report is not None
        assert index.report.n_passages == len(passages) == index.info().n_passages
        assert index.verify() == []
    found = {text for doc_id, text in passages if doc_id == "long"}
    assert len(found) > 3
    assert all(text in LONG for text in found)


def test_a_block_ends_at_its_character_limit(
    tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    run_add = ingest_module._IngestRun.add

    def record(self: Any, documents: Any, *others: Any) -> None:
        sizes.append(len(documents))
        run_add(self, documents, *others)

    monkeypatch.setattr(ingest_module._IngestRun, "add", record)
    monkeypatch.setattr(ingest_module, "BLOCK_CHARACTERS", 100)
    with Index.build(tmp_path / "index", [Document(str(i), "x" * 40) for i in range(7)], encoder=tiny_encoder) as index:
        assert len(index) == 7
    assert sizes == [3, 3, 1]


def test_the_report_counts_skipped_split_and_replaced_documents(
    tmp_path: Path, tiny_encoder: Encoder, block: int
) -> None:
    documents = [
        Document("a", "cat"),
        Document("empty", ""),
        Document("blank", " \n\u2003\t"),
        Document("twin", "cat"),
        Document("other title", "cat", "dog"),
        Document("long", LONG),
        Document("long title", "cat", "a very old king and queen " * 5),
    ]
    index = Index.build(tmp_path / "index", documents, encoder=tiny_encoder)
    summary = dataclasses.asdict(index.report)  # type: ignore[arg-type]
    assert summary.pop("seconds") >= summary.pop("encode_seconds") > 0
    n_passages = index.info().segments[0]["rows"]
    assert n_passages > 7
    assert summary == {
        "n_documents": 5,
        "n_replaced": 0,
        "n_replaced_others": 0,
        "n_moved": 0,
        "n_passages": n_passages,
        "n_empty": 2,
        "n_split": 1,
        "n_truncated_titles": 1,
        "n_duplicates": 1,
        "n_reused": 0,
        "n_resumed": 0,
        "n_unchanged": 0,
        "n_deleted": 0,
        "n_relocated": 0,
        "n_kept": 0,
        "n_withdrawn": 0,
        "n_files": 0,
        "skipped": {"count": 0, "reasons": []},
    }
    again = index.add([Document("a", "cat"), Document("long", "short"), Document("b", " ")])
    assert (again.n_documents, again.n_replaced, again.n_empty, again.n_duplicates) == (2, 2, 1, 1)
    assert (again.n_reused, again.n_unchanged, again.n_deleted) == (1, 0, 0)  # the index held the text of a
    assert index.report is again
    assert set(find_texts(index)) == {"a", "twin", "other title", "long", "long title"}


@pytest.mark.parametrize("n", [5, 150])  # buffered in the catalog; in a file
def test_a_stored_text_is_not_encoded_again(
    tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, block: int, n: int
) -> None:
    encoded: list[str] = []
    encode = Encoder.encode

    def record(self: Encoder, find_texts: Sequence[str], **others: Any) -> Any:
        encoded.extend(find_texts)
        return encode(self, find_texts, **others)

    monkeypatch.setattr(Encoder, "encode", record)
    stored = [*make_documents(n), Document("long", LONG, "red sea")]
    with Index.build(tmp_path / "index", make_documents(150, first=500, seed=5), encoder=tiny_encoder) as index:
        index.add(stored)
        encoded.clear()
        other_titles = [Document(f"titled {i}", document.text, "war") for i, document in enumerate(stored[:2])]
        again = [dataclasses.replace(document, doc_id=f"again {document.doc_id}") for document in stored]
        summary = index.add([*other_titles, *again, *stored])
        assert (summary.n_reused, summary.n_replaced, summary.n_documents) == (2 * n + 2, n + 1, 2 * n + 4)
        assert encoded == [f"war\n{document.text}" for document in stored[:2]]
        passages = read_passages(index.folder, tiny_encoder)  # each is compared with the encoder's vector
        cuts = [{text for doc_id, text in passages if doc_id == name} for name in ("long", "again long")]
        assert cuts[0] == cuts[1]
        assert len(cuts[0]) > 3
        assert index.verify() == []


def test_a_document_is_not_a_duplicate_of_the_one_it_replaces(index: Index, block: int) -> None:
    assert index.add([Document("a", "old cat")]).n_duplicates == 0
    assert index.add([Document("d", "old cat")]).n_duplicates == 1


def test_replacing_documents_leaves_the_others(index: Index, block: int) -> None:
    for turn in range(4):
        summary = index.add([Document("c", f"new {turn}"), Document("d", f"d {turn}"), Document("a", f"new {turn}")])
        assert summary.n_replaced == (2 if turn == 0 else 3)
        assert find_texts(index) == {"a": f"new {turn}", "b": "old dog", "c": f"new {turn}", "d": f"d {turn}"}
        assert index.verify() == []


@pytest.mark.parametrize("doc_id", ["a", "b", "c", "new"])
@pytest.mark.parametrize("between", [0, 1, 5])
def test_a_doc_id_that_comes_twice_is_refused_in_any_block(index: Index, block: int, doc_id: str, between: int) -> None:
    others = [Document(f"other {i}", "cat") for i in range(between)]
    documents = [
        Document(doc_id, "first", source="corpus.jsonl:3"),
        *others,
        Document(doc_id, "second", source="corpus.jsonl:9"),
    ]
    with pytest.raises(CorpusError, match=rf"corpus.jsonl:9: doc_id '{doc_id}' came before, at corpus.jsonl:3"):
        index.add(documents)
    assert find_texts(index) == {"a": "old cat", "b": "old dog", "c": "old moon"}
    assert index.verify() == []


def test_a_doc_id_that_comes_twice_without_source_is_refused_too(
    tmp_path: Path, tiny_encoder: Encoder, block: int
) -> None:
    with pytest.raises(CorpusError, match="doc_id 'a' came before, at an earlier document"):
        Index.build(tmp_path / "index", [Document("a", "x"), Document("a", "x")], encoder=tiny_encoder)
    assert not (tmp_path / "index" / "catalog.sqlite").exists()


STRICT = {
    "has no text": Document("wrong", " "),
    "is split into": Document("wrong", LONG),
    "title that is too long": Document("wrong", "cat", "a very old king and queen " * 5),
    "has the title and text of 'a'": Document("wrong", "old cat"),
}


@pytest.mark.parametrize("message", STRICT)
def test_strict_refuses_documents_that_would_be_counted(index: Index, block: int, message: str) -> None:
    generation = index.info().generation
    for source, place in (("", "document 'wrong': "), ("corpus.txt:4", "corpus.txt:4: ")):
        wrong = dataclasses.replace(STRICT[message], source=source)
        with pytest.raises(CorpusError) as caught:
            index.add([Document("fine", "fine"), wrong], strict=True)
        assert str(caught.value).startswith(place)
        assert message in str(caught.value)
    assert len(index) == 3
    assert index.info().generation == generation
    assert index.add([Document("fine", "fine")], strict=True).n_documents == 1


def nest(depth: int) -> dict[str, object]:
    """Return objects in one another."""
    value: dict[str, object] = {"x": 1}
    for _ in range(depth - 1):
        value = {"x": value}
    return value


def test_metadata_of_500_levels_is_stored_and_found(index: Index) -> None:
    index.add([Document("deep", "cat", metadata=nest(500))])
    (hit,) = index.search("cat", 1, where=f"{'.'.join('x' * 500)} = 1")
    assert (hit.doc_id, hit.metadata) == ("deep", nest(500))
    assert index.verify() == []


IMPROPER = {
    "no document": ("cat", "documents[1]: expected a Document, got str"),
    "no doc_id": (Document("", "cat"), "documents[1]: expected a doc_id that is an integer or a filled"),
    "a float as doc_id": (Document(7.0, "cat"), "documents[1]: expected a doc_id that is an integer"),  # type: ignore[arg-type]
    "a boolean as doc_id": (Document(True, "cat"), "documents[1]: expected a doc_id that is an integer"),
    "null as doc_id": (Document(None, "cat"), "documents[1]: expected a doc_id that is an integer"),  # type: ignore[arg-type]
    "no text": (Document("x", None), "documents[1]: expected a text string, got NoneType"),  # type: ignore[arg-type]
    "an unpaired surrogate in the text": (Document("x", "cat \ud83d"), "documents[1]: expected Unicode text"),
    "an unpaired surrogate in the doc_id": (Document("x\udcff", "cat"), "documents[1]: expected Unicode text"),
    "an unpaired surrogate in the metadata": (Document("x", "cat", "", {"a": ["\ud83d"]}), "expected Unicode text"),
    "an unpaired surrogate in the source": (Document("x", "cat", source="caf\udce9.txt"), "expected Unicode text"),
    "a set": (Document("x", "cat", "", {"a": {1}}), "documents[1]: expected metadata of JSON values, got: "),
    "not a number": (Document("x", "cat", "", {"a": float("nan")}), "expected metadata of JSON values"),
    "infinity": (Document("x", "cat", "", {"a": float("inf")}), "expected metadata of JSON values"),
    "depth": (Document("x", "cat", "", {"a": nest(500)}), "got: lists and objects that are nested more than 500 deep"),
    "great depth": (Document("x", "cat", "", nest(5_000)), "got: lists and objects that are nested more than 500 deep"),
    "a list": (Document("x", "cat", "", ["a"]), "expected metadata of JSON values"),  # type: ignore[arg-type]
    "no metadata": (Document("x", "cat", "", None), "expected metadata of JSON values"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", IMPROPER)
def test_an_invalid_document_is_refused(index: Index, name: str) -> None:
    document, message = IMPROPER[name]
    with pytest.raises(CorpusError) as caught:
        index.add([Document("fine", "fine"), document])  # type: ignore[list-item]
    assert message in str(caught.value)
    assert len(index) == 3


def test_an_error_in_the_middle_of_the_documents_changes_nothing(index: Index, block: int) -> None:
    def fail_in_the_middle() -> Iterator[Document]:
        yield from make_documents(5)
        raise RuntimeError("the disk is on fire")

    with pytest.raises(RuntimeError, match="the disk is on fire"):
        index.add(fail_in_the_middle())
    assert find_texts(index) == {"a": "old cat", "b": "old dog", "c": "old moon"}
    assert index.add(make_documents(5)).n_documents == 5
    assert len(index) == 8
    assert index.verify() == []


def test_adding_nothing_commits_nothing(index: Index) -> None:
    generation = index.info().generation
    for nothing in ([], [Document("x", "")], iter(())):
        assert index.add(nothing).n_documents == 0
    assert index.info().generation == generation
    assert {path.name for path in index.folder.glob("*-*")} >= {"vectors-000001.f16", "index-000001.faiss"}
    assert len(list(index.folder.glob("vectors*"))) == 1


@pytest.mark.parametrize("documents", [[], [Document("a", ""), Document("b", " \n")]])
def test_an_index_without_documents_is_refused(
    tmp_path: Path, tiny_encoder: Encoder, documents: list[Document]
) -> None:
    with pytest.raises(CorpusError, match=f"at least one document with text, got none \\({len(documents)} empty"):
        Index.build(tmp_path / "index", documents, encoder=tiny_encoder)
    assert not (tmp_path / "index").exists()
