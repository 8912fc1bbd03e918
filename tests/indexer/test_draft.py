"""Drafts: searchable at once, and after refinement the bytes that direct encoding makes, whatever came between."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from brute_force import make_documents
from tiny_encoder import make_tiny_encoder, make_tiny_static

from hpdsearch.common.progress import SILENT
from hpdsearch.encoder import Encoder
from hpdsearch.errors import IndexFolderError, LockedError
from hpdsearch.index import Index
from hpdsearch.index import index as index_module
from hpdsearch.indexer import ingest as ingest_module
from hpdsearch.indexer import refine as refine_module
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.indexer.transaction import REFINE_LOCK, lock_folder
from hpdsearch.indexer.vector_log import VectorLog
from hpdsearch.records import Document

POLICY = MergePolicy(min_draft_documents=10)
DOCUMENTS = make_documents(400)
QUERIES = ["cat dog", "the queen of the river", "old green war"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(make_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny"))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let blocks hold 32 documents, and let the tiny static encoder draft for the tiny Transformer."""
    static = Encoder.load(make_tiny_static(tmp_path_factory.mktemp("encoders") / "static"))
    monkeypatch.setattr(ingest_module, "BLOCK_DOCUMENTS", 32)
    monkeypatch.setattr(index_module, "find_draft_encoder", lambda _: static)
    monkeypatch.setattr(refine_module, "MIN_STEP_SECONDS", 0)


def build(folder: Path, encoder: Encoder, *, draft: bool = True, documents: list[Document] = DOCUMENTS) -> Index:
    return Index.build(folder, documents, encoder=encoder, draft=draft, merge_policy=POLICY)


def find(index: Index) -> dict[str, list[tuple[str, float]]]:
    return {query: [(hit.doc_id, hit.score) for hit in index.search(query, 50)] for query in QUERIES}


def vectors_bytes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("vectors-*"))]


def test_a_refined_draft_holds_the_bytes_of_direct_encoding(tmp_path: Path, encoder: Encoder) -> None:
    direct = build(tmp_path / "direct", encoder, draft=False)
    draft = build(tmp_path / "draft", encoder)
    assert draft.info().n_draft == draft.info().n_passages == 400
    assert len(find(draft)["cat dog"]) == 50
    assert find(draft) != find(direct)
    assert draft.refine() == 400
    assert draft.info().n_draft == 0
    assert find(draft) == find(direct)
    assert vectors_bytes(tmp_path / "draft") == vectors_bytes(tmp_path / "direct")
    assert draft.verify() == []
    assert not list((tmp_path / "draft").glob("refined-*"))
    assert draft.refine() == 0


def test_few_documents_are_encoded_directly(tmp_path: Path, encoder: Encoder) -> None:
    assert build(tmp_path / "few", encoder, documents=DOCUMENTS[:9]).info().n_draft == 0
    assert build(tmp_path / "more", encoder, documents=DOCUMENTS[:10]).info().n_draft == 10


class Interrupting(Encoder):
    """An encoder that counts its texts and is interrupted in one of its calls."""

    def __init__(self, encoder: Encoder, n_calls: int) -> None:
        self.__dict__ = dict(encoder.__dict__)
        self.n_calls = n_calls
        self.texts: list[str] = []

    def encode(self, texts, *, progress=SILENT):  # type: ignore[no-untyped-def]
        if not self.n_calls:
            raise KeyboardInterrupt
        self.n_calls -= 1
        self.texts += texts
        return super().encode(texts, progress=progress)

    def truncate(self, dim: int) -> Encoder:
        return self


@pytest.mark.parametrize("n_blocks", [0, 1, 5, 12])
def test_an_interrupted_refinement_encodes_no_block_again(tmp_path: Path, encoder: Encoder, n_blocks: int) -> None:
    build(tmp_path / "index", encoder)
    interrupting = Interrupting(encoder, n_blocks)
    with (
        Index.open(tmp_path / "index", document_encoder=interrupting) as index,
        pytest.raises(KeyboardInterrupt),
    ):
        index.refine()
    with Index.open(tmp_path / "index", document_encoder=encoder) as index:
        assert len(find(index)["cat dog"]) == 50
        assert index.verify() == []
        assert index.refine() == 400 - len(interrupting.texts) == 400 - 32 * n_blocks
        assert find(index) == find(build(tmp_path / "direct", encoder, draft=False))


def test_steps_become_visible(tmp_path: Path, encoder: Encoder) -> None:
    build(tmp_path / "index", encoder)
    for n_calls, n_draft in ((3, 400), (1, 272), (2, 272), (1, 176)):  # blocks of 32: steps of 25 and 50 %
        with (
            Index.open(tmp_path / "index", document_encoder=Interrupting(encoder, n_calls)) as index,
            pytest.raises(KeyboardInterrupt),
        ):
            index.refine()
        with Index.open(tmp_path / "index") as index:
            assert index.info().n_draft == n_draft


def test_a_quick_refinement_is_published_at_its_end(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refine_module, "MIN_STEP_SECONDS", 60)
    build(tmp_path / "index", encoder)
    for n_calls in (7, 3):
        with (
            Index.open(tmp_path / "index", document_encoder=Interrupting(encoder, n_calls)) as index,
            pytest.raises(KeyboardInterrupt),
        ):
            index.refine()
        with Index.open(tmp_path / "index") as index:
            assert index.info().n_draft == 400
    with Index.open(tmp_path / "index", document_encoder=encoder) as index:
        assert index.refine() == 400 - 320
        assert index.info().n_draft == 0


def test_a_torn_or_damaged_entry_is_encoded_again(tmp_path: Path, encoder: Encoder) -> None:
    build(tmp_path / "index", encoder)
    with (
        Index.open(tmp_path / "index", document_encoder=Interrupting(encoder, 3)) as index,
        pytest.raises(KeyboardInterrupt),
    ):
        index.refine()
    (path,) = (tmp_path / "index").glob("refined-*")
    whole = path.read_bytes()
    entry = len(whole) // 96
    for damaged, n_lost in ((whole[:-1], 32), (whole[: 40 * entry] + b"x" + whole[40 * entry + 1 :], 64), (b"", 96)):
        copy = tmp_path / f"copy{n_lost}"
        shutil.copytree(tmp_path / "index", copy)
        (copy / path.name).write_bytes(damaged)
        with Index.open(copy, document_encoder=encoder) as index:
            assert index.refine() == 400 - 96 + n_lost
            assert find(index) == find(build(tmp_path / f"direct{n_lost}", encoder, draft=False))


def test_the_index_is_changed_meanwhile(tmp_path: Path, encoder: Encoder) -> None:
    folder = tmp_path / "index"
    build(folder, encoder)
    new = make_documents(60, seed=1, first=380)  # 20 of them replace documents of the draft

    def changes() -> Iterator[None]:
        with Index.open(folder, document_encoder=encoder, merge_policy=POLICY) as other:
            other.delete([document.doc_id for document in DOCUMENTS[5:370:9]])
            yield
            other.add(new, draft=True)
            yield
            other.add([Document("direct", "the old green cat")])
            yield
            other.compact()
            yield

    class Changing(Interrupting):
        def encode(self, texts, *, progress=SILENT):  # type: ignore[no-untyped-def]
            next(steps, None)
            return super().encode(texts, progress=progress)

    steps = changes()
    with Index.open(folder, document_encoder=Changing(encoder, 99)) as index:
        index.refine()
        deleted = {document.doc_id for document in DOCUMENTS[5:370:9]} - {document.doc_id for document in new}
        expected = {
            document.doc_id: document for document in [*DOCUMENTS, *new, Document("direct", "the old green cat")]
        }
        kept = [document for doc_id, document in expected.items() if doc_id not in deleted]
        assert index.info().n_draft == 0
        assert index.verify() == []
        direct = build(tmp_path / "direct", encoder, draft=False, documents=kept)
        for query in QUERIES:
            found, wanted = (
                {hit.doc_id: hit.score for hit in each.search(query, len(kept), mode="dense")}
                for each in (index, direct)
            )
            assert found == pytest.approx(wanted, abs=1e-3)  # of other batches, and rounded to float16


def test_a_text_of_the_draft_is_not_reused(tmp_path: Path, encoder: Encoder) -> None:
    folder = tmp_path / "index"
    with build(folder, encoder) as index:
        report = index.add([Document("copy", DOCUMENTS[7].text)])
        assert report.n_reused == 0
        index.refine()
        scores = {hit.doc_id: hit.score for hit in index.search(DOCUMENTS[7].text, 400, mode="dense")}
        assert scores["copy"] == pytest.approx(scores[DOCUMENTS[7].doc_id], abs=1e-3)


def test_an_index_that_was_replaced_meanwhile_is_left_alone(tmp_path: Path, encoder: Encoder) -> None:
    folder = tmp_path / "index"
    build(folder, encoder)

    class Replacing(Interrupting):
        def encode(self, texts, *, progress=SILENT):  # type: ignore[no-untyped-def]
            if not self.texts:
                Index.build(folder, DOCUMENTS[:50], encoder=encoder, overwrite=True)
            return super().encode(texts, progress=progress)

    with (
        Index.open(folder, document_encoder=Replacing(encoder, 99)) as index,
        pytest.raises(IndexFolderError, match="replaced while its draft was refined"),
    ):
        index.refine()
    with Index.open(folder, document_encoder=encoder) as index:
        assert len(index) == 50
        assert index.verify() == []
        assert index.info().n_draft == 0


def test_one_process_refines(tmp_path: Path, encoder: Encoder) -> None:
    with build(tmp_path / "index", encoder) as index:
        lock = lock_folder(tmp_path / "index", name=REFINE_LOCK, action="refining")
        with pytest.raises(LockedError, match="is refining this index"):
            index.refine()
        lock.release()
        assert index.refine() == 400


def test_refined_vectors_are_found_by_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 4)).astype(np.float32)
    rows = rng.permutation(100)[:50].astype(np.int64)
    with VectorLog(tmp_path / "refined", 4) as refined:
        refined.append(rows[:20], vectors[:20])
        refined.append(rows[20:], vectors[20:])
        refined.append(rows[10:30], -vectors[10:30])  # the first entry of a row counts
        refined.append(rows[:0], vectors[:0])
    with VectorLog(tmp_path / "refined", 4) as refined:
        assert refined.contains(np.arange(100)).tolist() == [row in set(rows.tolist()) for row in range(100)]
        stored = np.zeros((100, 4), dtype="<f2")
        found = refined.replace(np.arange(100), stored)
        np.testing.assert_array_equal(found[rows], vectors.astype("<f2"))
        assert not stored.any()
        assert np.count_nonzero(found.any(axis=1)) == 50
