"""The states that an index goes through in these tests, as plain dictionaries, and checks of the state in a folder.

Operation n leads from state n - 1 to state n; operation 0 builds the index.
"""

import json
import random
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from brute_force import read_passages
from tqdm import tqdm

from hpdsearch.dense import IndexSpec, auto
from hpdsearch.dense.spec import Codec, Kind
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.records import Document

BUILD, ADD, DELETE, OVERWRITE, COMPACT, REINDEX = "build", "add", "delete", "overwrite", "compact", "reindex"
NOTHING = -1  # the state before the first build
PERIOD = (OVERWRITE, ADD, DELETE, COMPACT, ADD, REINDEX, ADD, DELETE)
GROWTH = 10_000  # from this number on: a build, then only adds of as many other documents, so that segments are merged
SHRINKING = 20_000  # from this number on: a build, then a deletion of most documents, so that the segment is rewritten
# These limits let dozens of documents cause the merges that thousands cause in production.
POLICY = MergePolicy(small_segment_rows=24, max_buffered_rows=16, max_tombstoned_rows=24)
LIMITS = ((auto, "IVF_MINIMUM", 60),)
N_MANY = 80  # documents of a segment that a smaller addition does not merge
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
    tqdm.set_lock(threading.RLock())  # tqdm's own lock is a semaphore of the system, which a killed process leaks


def operation_name(number: int) -> str:
    """Return the name of an operation."""
    if number >= SHRINKING:
        return BUILD if number == SHRINKING else DELETE
    if number >= GROWTH:
        return BUILD if number == GROWTH else ADD
    return BUILD if number == 0 else PERIOD[number % len(PERIOD)]


@cache
def make_documents(number: int) -> tuple[Document, ...]:
    """Return the documents that an operation writes, or deletes if it is a deletion."""
    rng = random.Random(number)
    if operation_name(number) in (COMPACT, REINDEX):
        return ()
    if operation_name(number) == DELETE:
        stored = sorted(expected_state(number - 1).values(), key=lambda document: document.doc_id)
        return tuple(rng.sample(stored, 5 if number < SHRINKING else N_MANY * 3 // 4))
    if number >= GROWTH:
        first = number % GROWTH * N_MANY
        ids = list(range(first, first + N_MANY))
    elif number // len(PERIOD) % 2:
        ids = rng.sample(range(2 * N_MANY), N_MANY if operation_name(number) == OVERWRITE else N_MANY // 2)
    else:
        ids = rng.sample(range(30), 12)
    return tuple(
        Document(f"d{i}", f"cat {rng.choice(('sun', 'moon', 'snow'))} {number}", metadata={"number": number, "id": i})
        for i in ids
    )


@cache
def expected_state(number: int) -> dict[str, Document]:
    """Return the documents by doc_id after an operation."""
    written = {document.doc_id: document for document in make_documents(number)}
    if operation_name(number) in (BUILD, OVERWRITE):
        return written
    if operation_name(number) == DELETE:
        previous = expected_state(number - 1)
        return {doc_id: document for doc_id, document in previous.items() if doc_id not in written}
    return expected_state(number - 1) | written


def perform(number: int, folder: Path, encoder: Encoder) -> None:
    """Bring a folder from state number - 1 to state number."""
    if operation_name(number) in (BUILD, OVERWRITE):
        documents = make_documents(number)
        Index.build(folder, documents, encoder=encoder, overwrite=number > 0, merge_policy=POLICY).close()
        return
    with Index.open(folder, encoder=encoder, merge_policy=POLICY) as index:
        perform_on(index, number)


def perform_on(index: Index, number: int) -> None:
    """Bring an open index from state number - 1 to state number."""
    name = operation_name(number)
    documents = make_documents(number)
    if name == ADD:
        index.add(documents)
    elif name == DELETE:
        index.delete([document.doc_id for document in documents])
    elif name == COMPACT:
        index.compact()
    else:
        index.reindex(_SPECS[number // len(PERIOD) % len(_SPECS)])


def find_documents(index: Index, modes: tuple[str, ...] = ("dense", "lexical", "hybrid")) -> dict[str, Document]:
    """Return all documents by doc_id; every mode must find the same ones, since every text holds the word cat."""
    answers = []
    for mode in modes:
        hits = index.search("cat", 1000, mode=mode, where="number >= 0" if mode == "hybrid" else None)
        answers.append({hit.doc_id: Document(hit.doc_id, hit.text, hit.title, hit.metadata) for hit in hits})
        assert len(hits) == len(answers[-1])
        assert answers[-1] == answers[0]
    return answers[0]


def find_state(documents: dict[str, Document], numbers: Iterable[int]) -> int:
    """Return the first of these states that holds exactly these documents; NOTHING if none does."""
    return next((number for number in numbers if expected_state(number) == documents), NOTHING)


def check_state(folder: Path, encoder: Encoder, numbers: range) -> int:
    """Check that the folder holds one of these states intact, and return its number; the last if several are equal.

    The check compares documents, metadata, vectors and the lexical index, and runs verify.
    """
    with Index.open(folder, encoder=encoder, merge_policy=POLICY) as index:
        documents = find_documents(index)
        assert len(index) == len(documents)
        number = find_state(documents, reversed(numbers))
        assert number != NOTHING, f"none of the states {numbers}: {sorted(documents.items())}"
        texts = {(document.doc_id, document.text) for document in documents.values()}
        assert read_passages(folder, encoder).keys() == texts
        for term in {document.text.split()[2] for document in documents.values()}:
            hits = index.search(term, 1000, mode="lexical")
            expected = {doc_id for doc_id, document in documents.items() if document.text.split()[2] == term}
            assert {hit.doc_id for hit in hits} == expected
        assert index.verify() == []
    return number


def read_generation(folder: Path) -> int:
    """Return the number of committed changes."""
    with Index.open(folder) as index:
        return index.info().generation


def check_next_writer(folder: Path, encoder: Encoder) -> None:
    """Change the index and change it back; afterwards the folder must hold only files that readers need."""
    with Index.open(folder, encoder=encoder, merge_policy=POLICY) as index:
        n_documents = len(index)
        index.add([Document("probe", "cat probe", metadata={"number": 0})])
        for mode in ("dense", "lexical"):
            assert index.search("cat probe", 1, mode=mode)[0].doc_id == "probe"
        index.delete("probe")
        assert len(find_documents(index, ("lexical",))) == len(index) == n_documents
        assert index.verify() == []
        segments = index.info().segments
    assert find_stray_files(folder, n_segments=len(segments)) == []


def find_stray_files(folder: Path, *, n_segments: int) -> list[str]:
    """Return the files that no reader needs."""
    names = {path.name for path in folder.iterdir()} - {"catalog.sqlite", "write.lock", "lexical"}
    names -= {"catalog.sqlite-wal", "catalog.sqlite-shm"}
    segment_files = {name for name in names if name.endswith((".f16", ".faiss"))}
    assert len(segment_files) == 2 * n_segments, segment_files
    (lexical,) = (folder / "lexical").iterdir()
    tantivy_meta = json.loads((lexical / "meta.json").read_text())
    segment_ids = {entry["segment_id"].replace("-", "") for entry in tantivy_meta["segments"]}
    lexical_names = {path.name for path in lexical.iterdir() if path.name.split(".")[0] not in segment_ids}
    lexical_names -= {"meta.json", ".managed.json", ".tantivy-meta.lock", ".tantivy-writer.lock"}
    return sorted(names - segment_files) + sorted(lexical_names)
