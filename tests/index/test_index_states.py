"""An index goes through random changes, and is compared with a plain dictionary after each of them."""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from brute_force import assert_best, compute_dense_scores, read_passages
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import hpdsearch.search.searcher as search_module
from hpdsearch.dense import Codec, IndexSpec, Kind
from hpdsearch.dense import segment as segment_module
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError, QueryError
from hpdsearch.index import Index
from hpdsearch.indexer import ingest
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.records import Document

# With these limits, merges and writes of vectors and lexical rows happen often.
POLICY = MergePolicy(small_segment_rows=2, max_buffered_rows=5, max_unpurged_rows=5)
WORDS = ("cat", "dog", "moon", "queen", "river")
doc_ids = st.integers(0, 14).map(str)
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)
long = words.map(lambda some: " ".join(f"{word} sleeps by the sea." for word in some * 4))
documents = st.builds(
    lambda doc_id, text, title, number: Document(doc_id, text, title, {"number": number} if number else {}),
    doc_ids,
    words.map(" ".join) | long | st.just(" "),
    st.sampled_from(("", "", "war", "fire bird")),
    st.integers(0, 3),
)
blocks = st.lists(documents, max_size=8)
first_blocks = st.lists(documents, min_size=4, max_size=24)


def set_source(document: Document) -> Document:
    """Return the document as read from the file of its first letter."""
    return replace(document, source=f"{document.text[:1]}.txt:{document.doc_id}")


def find_file(document: Document) -> str:
    """Return the file that a document was read from; "" for one that was added."""
    return document.source.partition(":")[0]


def get_content(document: Document) -> tuple[object, ...]:
    """Return what an update compares."""
    return document.text, document.title, document.metadata


modes = st.sampled_from(("dense", "lexical", "hybrid"))


def make_machine(encoder: Encoder) -> type[RuleBasedStateMachine]:
    """Return the state machine.

    Its `model` holds the documents that the index must hold, its `withdrawn`, by file and doc_id, the contents of those
    that `delete` removed, or another source replaced, although their files held them.
    """

    class IndexStates(RuleBasedStateMachine):
        @initialize(some=first_blocks.filter(lambda some: any(document.text.strip() for document in some)))
        def build(self, some: list[Document]) -> None:
            self.work_folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self.folder = Path(self.work_folder.name) / "index"
            self.model: dict[str, Document] = {}
            self.withdrawn: dict[tuple[str, str], tuple[object, ...]] = {}
            self.changed = True
            some = list({document.doc_id: document for document in some if document.text.strip()}.values())
            self.index = Index.build(self.folder, some, encoder=encoder, merge_policy=POLICY)
            self.model = {document.doc_id: document for document in some}

        @rule(some=blocks)
        def add(self, some: list[Document]) -> None:
            stored = [document for document in some if document.text.strip()]
            ids = [document.doc_id for document in stored]
            if len(set(ids)) < len(ids):
                with pytest.raises(CorpusError, match="came before"):
                    self.index.add(iter(some))
            else:
                report = self.index.add(iter(some))
                assert (report.n_documents, report.n_empty) == (len(stored), len(some) - len(stored))
                assert report.n_replaced == len(self.model.keys() & set(ids))
                self.withdraw(ids)
                self.model |= {document.doc_id: document for document in stored}
            self.changed = True

        @rule(doc_id=doc_ids, text=words.map(" ".join))
        def add_one(self, doc_id: str, text: str) -> None:
            self.add([Document(doc_id, text)])

        @rule(ids=st.lists(doc_ids, max_size=5))
        def delete(self, ids: list[str]) -> None:
            if set(ids) <= self.model.keys():
                assert self.index.delete(ids) == len(set(ids))
                self.withdraw(ids)
                self.model = {key: document for key, document in self.model.items() if key not in ids}
            else:
                with pytest.raises(QueryError, match="are not in the index"):
                    self.index.delete(ids)
            self.changed = True

        @rule(some=blocks, again=st.sets(doc_ids, max_size=10))
        def update(self, some: list[Document], again: set[str]) -> None:
            """Update from the files of `some`; earlier documents are still in them if `again` holds the doc_id.

            A document of a source that was not read stays in place of a new one with its doc_id.
            """
            new = {document.doc_id: document for document in map(set_source, some) if document.text.strip()}
            under = sorted({find_file(document) for document in new.values()})
            read = {key: stored for key, stored in self.model.items() if find_file(stored) in under}
            kept = {key: stored for key, stored in read.items() if key in again and key not in new}
            report = self.index.update([*kept.values(), *new.values()], under=under)
            same = {
                key
                for key, document in new.items()
                if key in self.model and get_content(self.model[key]) == get_content(document)
            }
            corrected = {key for key in new.keys() - same if key in self.model and key not in read}
            left_out = {
                key
                for key in new.keys() - self.model.keys()
                if self.withdrawn.get((find_file(new[key]), key)) == get_content(new[key])
            }
            indexed = new.keys() - same - corrected - left_out
            gone = read.keys() - kept.keys() - new.keys()
            assert (report.n_unchanged, report.n_deleted) == (len(kept) + len(same), len(gone))
            assert (report.n_kept, report.n_withdrawn) == (len(corrected), len(left_out))
            assert (report.n_documents, report.n_replaced) == (len(indexed), len(indexed & self.model.keys()))
            self.withdraw(
                key for key in indexed & self.model.keys() if find_file(self.model[key]) != find_file(new[key])
            )
            for key in indexed:
                self.withdrawn.pop((find_file(new[key]), key), None)
            self.withdrawn = {place: content for place, content in self.withdrawn.items() if place[1] not in gone}
            moved = indexed | (same & read.keys())
            self.model = {key: stored for key, stored in self.model.items() if key not in gone}
            self.model |= {key: new[key] for key in moved}
            self.changed = True

        def withdraw(self, ids: Iterable[str]) -> None:
            """Remember the stored documents of these ids that files hold."""
            stored = [self.model[key] for key in ids if key in self.model and self.model[key].source]
            self.withdrawn |= {(find_file(document), document.doc_id): get_content(document) for document in stored}

        @precondition(lambda self: len(self.index.info().segments) + self.index.info().n_buffered > 1)
        @rule()
        def compact(self) -> None:
            self.index.compact()
            described = self.index.info()
            assert (len(described.segments), described.n_deleted) == (min(1, len(self.model)), 0)
            self.changed = True

        @rule(kind=st.sampled_from(Kind), codec=st.sampled_from(Codec), dim=st.sampled_from((0, 5)))
        def reindex(self, kind: Kind, codec: Codec, dim: int) -> None:
            before = self.index.search("cat", 20, mode="dense")
            self.index.reindex(IndexSpec(kind, codec, dim=dim))
            assert self.index.search("cat", 20, mode="dense") == before
            for segment in self.index.info().segments:
                assert segment["codec"] == (codec.value if codec is not Codec.AUTO else "sq8")
            self.changed = True

        @precondition(lambda self: self.model)
        @rule()
        def overwrite(self) -> None:
            half = dict(sorted(self.model.items())[::2])
            other = Index.build(self.folder, half.values(), encoder=encoder, overwrite=True, merge_policy=POLICY)
            assert len(self.index) == len(self.model)  # it answers from the snapshot that it opened
            self.index.close()
            self.index = other
            self.model = half
            self.withdrawn = {}
            self.changed = True

        @rule()
        def reopen(self) -> None:
            self.index.close()
            self.index = Index.open(self.folder, encoder=encoder, merge_policy=POLICY)
            self.changed = True

        @rule(query=words.map(" ".join), k=st.integers(1, 20), mode=modes, number=st.integers(0, 3))
        def search(self, query: str, k: int, mode: str, number: int) -> None:
            numbered = {key for key, document in self.model.items() if document.metadata.get("number") == number}
            where = f"number = {number}" if numbered else None
            matching = numbered or self.model.keys()
            hits = self.index.search(query, k, mode=mode, where=where)
            for hit in hits:
                document = self.model[hit.doc_id]
                assert (hit.text, hit.title, hit.metadata) == (document.text, document.title, document.metadata)
                assert hit.passage in document.text
            if mode == "dense":
                passages = read_passages(self.folder, encoder)
                scores = compute_dense_scores(passages, encoder.encode([query])[0])
                assert_best(hits, {key: score for key, score in scores.items() if key in matching}, k)
                return
            found = {hit.doc_id for hit in hits}
            sharing = {
                key
                for key in matching
                if set(query.split()) & set(f"{self.model[key].title} {self.model[key].text}".split())
            }
            assert len(hits) == len(found) == min(k, len(sharing if mode == "lexical" else matching))
            assert found <= (sharing if mode == "lexical" else matching)

        @invariant()
        def is_intact(self) -> None:
            if not getattr(self, "changed", False):
                return
            self.changed = False
            assert len(self.index) == len(self.model) == self.index.info().n_documents
            assert self.index.verify() == []
            passages = read_passages(self.folder, encoder)
            assert {doc_id for doc_id, _ in passages} == self.model.keys()
            for word in WORDS:
                hits = self.index.search(word, 100, mode="lexical")
                holding = {key for key, document in self.model.items() if word in document.text.split()}
                assert sorted(hit.doc_id for hit in hits) == sorted(holding)

        def teardown(self) -> None:
            if hasattr(self, "index"):
                self.index.close()
                self.work_folder.cleanup()

    return IndexStates


@pytest.mark.slow
@pytest.mark.parametrize("paths", ["few rows", "many rows"])
def test_an_index_holds_the_documents_that_a_dictionary_holds(
    tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, paths: str
) -> None:
    monkeypatch.setattr(ingest, "BLOCK_DOCUMENTS", 3)
    if paths == "many rows":
        monkeypatch.setattr(search_module, "EXACT_ROWS", 0)
        monkeypatch.setattr(search_module, "MAX_ROWS_IN_QUERY", 0)
        monkeypatch.setattr(segment_module, "EXACT_ROWS", 0)
    run_state_machine_as_test(
        make_machine(tiny_encoder),
        settings=settings(
            max_examples=10,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
