"""The states that an index goes through in these tests, as plain dictionaries, and which of them a folder holds."""

import json
import random
from functools import cache
from pathlib import Path

from brute_force import stored_passages

from hpdsearch.encoder import Encoder
from hpdsearch.engine import Index
from hpdsearch.records import Document

BUILD, ADD, DELETE, OVERWRITE = "build", "add", "delete", "overwrite"
NOTHING = -1  # before the first build
PERIOD = (OVERWRITE, ADD, DELETE, ADD)


def operation(number: int) -> str:
    """Return what leads from state number - 1 to state number."""
    return BUILD if number == 0 else PERIOD[number % len(PERIOD)]


@cache
def change(number: int) -> tuple[Document, ...]:
    """Return the documents that operation `number` writes; of a deletion, those that it removes."""
    chance = random.Random(number)
    if operation(number) == DELETE:
        return tuple(chance.sample(sorted(state(number - 1).values(), key=lambda document: document.doc_id), 5))
    ids = chance.sample(range(30), 12)
    return tuple(
        Document(
            f"d{i}", f"cat {chance.choice(('sun', 'moon', 'snow'))} {number}", metadata={"number": number, "id": i}
        )
        for i in ids
    )


@cache
def state(number: int) -> dict[str, Document]:
    """Return the documents by doc_id after operation `number`."""
    written = {document.doc_id: document for document in change(number)}
    if operation(number) in (BUILD, OVERWRITE):
        return written
    if operation(number) == ADD:
        return state(number - 1) | written
    return {doc_id: document for doc_id, document in state(number - 1).items() if doc_id not in written}


def perform(number: int, folder: Path, encoder: Encoder) -> None:
    """Bring a folder from state number - 1 to state number."""
    what, documents = operation(number), change(number)
    if what in (BUILD, OVERWRITE):
        Index.build(folder, documents, encoder=encoder, overwrite=what == OVERWRITE).close()
        return
    with Index.open(folder, encoder=encoder) as index:
        if what == ADD:
            index.add(documents)
        else:
            index.delete([document.doc_id for document in documents])


def found(index: Index) -> dict[str, Document]:
    """Return what all ways of searching find in agreement: every text holds the word cat."""
    answers = []
    for mode, where in (("dense", None), ("lexical", None), ("hybrid", "number >= 0")):
        hits = index.search("cat", 1000, mode=mode, where=where)
        answers.append({hit.doc_id: Document(hit.doc_id, hit.text, hit.title, hit.metadata) for hit in hits})
        assert len(hits) == len(answers[0])
    assert answers[0] == answers[1] == answers[2]
    return answers[0]


def state_of(folder: Path, encoder: Encoder, among: list[int]) -> int:
    """Return which of the states the folder holds, whole: documents, metadata, vectors, words."""
    with Index.open(folder, encoder=encoder) as index:
        documents = found(index)
        assert len(index) == len(documents)
        number = next((number for number in among if state(number) == documents), None)
        assert number is not None, f"neither of the states {among}: {sorted(documents.items())}"
        texts = {(document.doc_id, document.text) for document in documents.values()}
        assert stored_passages(folder, encoder).keys() == texts
        for word in {document.text.split()[2] for document in documents.values()}:
            hits = index.search(word, 1000, mode="lexical")
            expected = {doc_id for doc_id, document in documents.items() if document.text.split()[2] == word}
            assert {hit.doc_id for hit in hits} == expected
        assert index.verify() == []
    return number


def check_next_writer(folder: Path, encoder: Encoder) -> None:
    """Change the index and change it back; afterwards nothing may lie there that is not in force."""
    with Index.open(folder, encoder=encoder) as index:
        before = found(index)
        index.add([Document("probe", "cat probe", metadata={"number": 0})])
        assert found(index).keys() == before.keys() | {"probe"}
        index.delete("probe")
        assert found(index) == before
        assert index.verify() == []
        segments = index.info().segments
    assert stray_files(folder, n_segments=len(segments)) == []


def stray_files(folder: Path, *, n_segments: int) -> list[str]:
    """Return the files that no reader needs."""
    stray = {path.name for path in folder.iterdir()} - {"catalog.sqlite", "write.lock", "lexical"}
    stray -= {"catalog.sqlite-wal", "catalog.sqlite-shm"}
    in_force = {name for name in stray if name.endswith((".f16", ".faiss"))}
    assert len(in_force) == 2 * n_segments, in_force
    (lexical,) = (folder / "lexical").iterdir()
    names = {
        entry["segment_id"].replace("-", "") for entry in json.loads((lexical / "meta.json").read_text())["segments"]
    }
    words = {path.name for path in lexical.iterdir() if path.name.split(".")[0] not in names}
    words -= {"meta.json", ".managed.json", ".tantivy-meta.lock", ".tantivy-writer.lock"}
    return sorted(stray - in_force) + sorted(words)
