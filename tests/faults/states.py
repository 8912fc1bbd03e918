"""The states that an index goes through in these tests, as plain dictionaries, and which of them a folder holds."""

import json
import random
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from brute_force import stored_passages
from tqdm import tqdm

from hpdsearch.dense import IndexSpec, auto
from hpdsearch.dense.spec import Codec, Kind
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.records import Document

BUILD, ADD, DELETE, OVERWRITE, COMPACT, TUNE = "build", "add", "delete", "overwrite", "compact", "tune"
NOTHING = -1  # before the first build
PERIOD = (OVERWRITE, ADD, DELETE, COMPACT, ADD, TUNE, ADD, DELETE)
GROWTH = 10_000  # from here on: a build, then only adds of as many other documents, so that segments are merged
# What thousands of documents do in real, dozens do in these tests.
POLICY = MergePolicy(small_segment_rows=24, max_buffered_rows=16)
LIMITS = ((auto, "IVF_MINIMUM", 60),)
MANY = 80  # documents that make a segment which a smaller addition leaves as it is
_SPECS = (
    IndexSpec(Kind.IVF, Codec.PQ),
    IndexSpec(codec=Codec.F32),
    IndexSpec(Kind.IVF, Codec.RABITQ),
    IndexSpec(codec=Codec.PQ),
)


def set_limits() -> None:
    """Set LIMITS in a process of its own."""
    for limit in LIMITS:
        setattr(*limit)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed process leaves behind


def operation(number: int) -> str:
    """Return what leads from state number - 1 to state number."""
    if number >= GROWTH:
        return BUILD if number == GROWTH else ADD
    return BUILD if number == 0 else PERIOD[number % len(PERIOD)]


@cache
def change(number: int) -> tuple[Document, ...]:
    """Return the documents that operation `number` writes; of a deletion, those that it removes."""
    chance = random.Random(number)
    if operation(number) in (COMPACT, TUNE):
        return ()
    if operation(number) == DELETE:
        return tuple(chance.sample(sorted(state(number - 1).values(), key=lambda document: document.doc_id), 5))
    if number >= GROWTH:
        first = (number - GROWTH) * MANY
        ids = list(range(first, first + MANY))
    elif number // len(PERIOD) % 2:
        ids = chance.sample(range(2 * MANY), MANY if operation(number) == OVERWRITE else MANY // 2)
    else:
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
    if operation(number) == DELETE:
        return {doc_id: document for doc_id, document in state(number - 1).items() if doc_id not in written}
    return state(number - 1) | written


def perform(number: int, folder: Path, encoder: Encoder) -> None:
    """Bring a folder from state number - 1 to state number."""
    if operation(number) in (BUILD, OVERWRITE):
        Index.build(folder, change(number), encoder=encoder, overwrite=number > 0, merge_policy=POLICY).close()
        return
    with Index.open(folder, encoder=encoder, merge_policy=POLICY) as index:
        perform_on(index, number)


def perform_on(index: Index, number: int) -> None:
    """Bring an open index from state number - 1 to state number."""
    what, documents = operation(number), change(number)
    if what == ADD:
        index.add(documents)
    elif what == DELETE:
        index.delete([document.doc_id for document in documents])
    elif what == COMPACT:
        index.compact()
    else:
        index.reindex(_SPECS[number // len(PERIOD) % len(_SPECS)])


def found(index: Index, modes: tuple[str, ...] = ("dense", "lexical", "hybrid")) -> dict[str, Document]:
    """Return what all ways of searching find in agreement: every text holds the word cat."""
    answers = []
    for mode in modes:
        hits = index.search("cat", 1000, mode=mode, where="number >= 0" if mode == "hybrid" else None)
        answers.append({hit.doc_id: Document(hit.doc_id, hit.text, hit.title, hit.metadata) for hit in hits})
        assert len(hits) == len(answers[-1])
        assert answers[-1] == answers[0]
    return answers[0]


def first_with(documents: dict[str, Document], among: Iterable[int]) -> int:
    """Return the first of these states that holds these documents; NOTHING if none does."""
    return next((number for number in among if state(number) == documents), NOTHING)


def state_of(folder: Path, encoder: Encoder, among: range) -> int:
    """Return which of the states the folder holds, whole: documents, metadata, vectors, words; the last if several."""
    with Index.open(folder, encoder=encoder, merge_policy=POLICY) as index:
        documents = found(index)
        assert len(index) == len(documents)
        number = first_with(documents, reversed(among))
        assert number != NOTHING, f"none of the states {among}: {sorted(documents.items())}"
        texts = {(document.doc_id, document.text) for document in documents.values()}
        assert stored_passages(folder, encoder).keys() == texts
        for word in {document.text.split()[2] for document in documents.values()}:
            hits = index.search(word, 1000, mode="lexical")
            expected = {doc_id for doc_id, document in documents.items() if document.text.split()[2] == word}
            assert {hit.doc_id for hit in hits} == expected
        assert index.verify() == []
    return number


def generation(folder: Path) -> int:
    """Return how many changes were committed."""
    with Index.open(folder) as index:
        return index.info().generation


def check_next_writer(folder: Path, encoder: Encoder) -> None:
    """Change the index and change it back; afterwards nothing may lie there that is not in force."""
    with Index.open(folder, encoder=encoder, merge_policy=POLICY) as index:
        n_documents = len(index)
        index.add([Document("probe", "cat probe", metadata={"number": 0})])
        for mode in ("dense", "lexical"):
            assert index.search("cat probe", 1, mode=mode)[0].doc_id == "probe"
        index.delete("probe")
        assert len(found(index, ("lexical",))) == len(index) == n_documents
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
