"""Builds of an index in shards: what is stored, what errors leave, and how an interrupted build goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sharding import EXACT, make_corpus

from hpdsearch.catalog import Catalog
from hpdsearch.corpus import read_corpus
from hpdsearch.dense import Codec, IndexSpec, Kind
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError, CorruptIndexError, IndexFolderError, ShapeError
from hpdsearch.index import Index
from hpdsearch.index.shards import build as building
from hpdsearch.index.shards import jobs, processes
from hpdsearch.index.shards.cluster_file import choose_shard, name_shards
from hpdsearch.index.shards.jobs import BuildJob
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.records import Document, EncodedDocument


def build(folder: Path, documents, encoder, **options):
    return Index.build(folder, documents, encoder=encoder, **{"spec": EXACT, "shards": 3, "processes": 1, **options})


def test_the_shard_of_a_document_never_changes() -> None:
    # blake2b, 8 bytes, little endian, modulo: computed with `b2sum -l 64`.
    assert [choose_shard(doc_id, 7) for doc_id in ("a", "doc-1", "ü")] == [_shard(i, 7) for i in ("a", "doc-1", "ü")]


def test_shards_are_about_equal() -> None:
    counts = np.bincount([choose_shard(f"d{number}", 8) for number in range(8_000)], minlength=8)
    assert counts.sum() == 8_000
    assert counts.min() > 850  # 1,000 less five standard deviations


def _shard(doc_id: str, n: int) -> int:
    output = subprocess.run(["b2sum", "-l", "64"], input=doc_id.encode(), capture_output=True, check=True).stdout
    return sum(byte << 8 * position for position, byte in enumerate(bytes.fromhex(output.split()[0].decode()))) % n


def test_processes_build_what_one_process_builds(tmp_path: Path, static_encoder: Encoder) -> None:
    one = build(tmp_path / "one", make_corpus(80), static_encoder)
    two = build(tmp_path / "two", make_corpus(80), static_encoder, processes=2)
    assert list(two.documents()) == list(one.documents())
    assert two.search("cat sea", 30) == one.search("cat sea", 30)
    assert [path.name for path in sorted((tmp_path / "two").iterdir())] == [
        "cluster.json",
        *name_shards(3, 1),
        "write.lock",
    ]


def test_more_shards_than_documents_leave_some_empty(tmp_path: Path, static_encoder: Encoder) -> None:
    index = build(tmp_path / "i", [Document("a", "cat"), Document("b", "the sea")], static_encoder, shards=6)
    assert [hit.doc_id for hit in index.search("cat", 5, mode="lexical")] == ["a"]
    assert index.verify() == []
    assert index.add([Document(str(n), "a dog") for n in range(20)]).n_documents == 20
    assert len(index) == 22
    assert len(index.search("dog", 30, mode="lexical", where="@id != '3'")) == 19


def test_files_of_a_folder_get_the_ids_fields_and_states_of_one_index(tmp_path: Path, static_encoder: Encoder) -> None:
    notes = tmp_path / "notes"
    (notes / "deep").mkdir(parents=True)
    for number in range(8):
        (notes / f"n{number}.md").write_text(f"---\ntags: [t{number % 2}]\n---\n# Title {number}\ncat {number}\n")
        (notes / "deep" / f"n{number}.md").write_text(f"a dog {number}")
    old = time.time() - 100
    for path in notes.rglob("*.md"):
        os.utime(path, (old, old))
    single = Index.build(tmp_path / "single", read_corpus(notes), encoder=static_encoder, spec=EXACT)
    sharded = build(tmp_path / "sharded", read_corpus(notes), static_encoder)
    expected = {document.doc_id: document for document in single.documents()}
    assert {document.doc_id: document for document in sharded.documents()} == expected
    for index in (single, sharded):
        corpus = read_corpus(notes)
        report = index.update(corpus, under=notes)
        assert (report.n_unchanged, report.n_documents, corpus.stats.n_left_out) == (16, 0, 16)
        (notes / "n1.md").write_text("changed")
        report = index.update(read_corpus(notes), under=notes)
        assert (report.n_unchanged, report.n_documents, report.n_deleted) == (15, 1, 0)
        (notes / "n1.md").write_text("---\ntags: [t1]\n---\n# Title 1\ncat 1\n")
        os.utime(notes / "n1.md", (old, old))
        index.update(read_corpus(notes), under=notes)
    (notes / "n3.md").rename(notes / "deep" / "moved.md")
    reports = [index.update(read_corpus(notes), under=notes) for index in (single, sharded)]
    assert [(r.n_documents, r.n_deleted) for r in reports] == [(1, 1), (1, 1)]
    assert {d.doc_id for d in sharded.documents()} == {d.doc_id for d in single.documents()}


def test_a_doc_id_that_comes_twice_is_an_error_and_leaves_no_index(tmp_path: Path, static_encoder: Encoder) -> None:
    documents = [*make_corpus(30), Document("doc-3", "again")]
    with pytest.raises(CorpusError, match="doc_id 'doc-3' came before"):
        build(tmp_path / "i", documents, static_encoder)
    with pytest.raises(IndexFolderError):
        Index.open(tmp_path / "i")
    index = build(tmp_path / "i", documents, static_encoder, on_error="skip")
    assert index.report is not None
    assert index.report.skipped.count == 1
    assert len(index) == 30


def test_equal_texts_in_different_shards_are_counted_and_strict_refuses_them(
    tmp_path: Path, static_encoder: Encoder
) -> None:
    documents = [Document(f"d{n}", f"cat {n // 4}") for n in range(20)]
    assert len({choose_shard(each.doc_id, 3) for each in documents}) == 3
    assert build(tmp_path / "i", documents, static_encoder).report.n_duplicates == 15
    with pytest.raises(CorpusError, match="has the title and text of 'd0'"):
        build(tmp_path / "strict", documents, static_encoder, strict=True)


def test_a_corpus_without_text_makes_no_index(tmp_path: Path, static_encoder: Encoder) -> None:
    with pytest.raises(CorpusError, match="at least one document with text"):
        build(tmp_path / "i", [Document("a", " ")], static_encoder)


@pytest.mark.parametrize("n", [-1, 257])
def test_a_number_of_shards_out_of_range_is_an_error(tmp_path: Path, static_encoder: Encoder, n: int) -> None:
    with pytest.raises(ShapeError, match=r"shards: expected 1\.\.256"):
        build(tmp_path / "i", make_corpus(3), static_encoder, shards=n)


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path, static_encoder: Encoder) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(IndexFolderError, match="holds other files"):
        build(tmp_path, make_corpus(3), static_encoder)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "spec", [IndexSpec(Kind.FLAT, Codec.PQ), IndexSpec(Kind.FLAT, Codec.RABITQ), IndexSpec(Kind.FLAT, Codec.SQ8)]
)
def test_shards_have_the_codebooks_of_all_vectors(tmp_path: Path, static_encoder: Encoder, spec: IndexSpec) -> None:
    import faiss

    index = build(tmp_path / "i", make_corpus(200), static_encoder, spec=spec)
    trained = []
    for shard in index.shards:
        codes = faiss.read_index(str(next(shard.glob("index-*.faiss"))))
        # The codes lie behind the rotation, whose index owns them.
        inner = codes if spec.codec is Codec.SQ8 else faiss.downcast_index(codes.index)
        learned = {Codec.PQ: lambda it: it.pq.centroids, Codec.RABITQ: lambda it: it.center}
        trained.append(faiss.vector_to_array(learned.get(spec.codec, lambda it: it.sq.trained)(inner)).tobytes())
    assert len(set(trained)) == 1
    assert index.info().spec["codec"] == spec.codec.value
    assert {segment["codec"] for segment in index.info().segments} == {spec.codec.value}
    assert index.search("cat", 5)[0].score > 0


@pytest.mark.slow
def test_inverted_lists_of_all_shards_have_the_same_centroids(tmp_path: Path, static_encoder: Encoder) -> None:
    import faiss

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 16))[rng.integers(0, 50, 5200)] + 0.5 * rng.normal(size=(5200, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    documents = [
        EncodedDocument(f"d{n}", "cat", vectors=vectors[n : n + 1], space=static_encoder.space) for n in range(5200)
    ]
    spec = IndexSpec(Kind.IVF, Codec.PQ)
    index = build(tmp_path / "i", documents, static_encoder, spec=spec, shards=2)
    centroids = []
    for shard in index.shards:
        codes = faiss.read_index(str(next(shard.glob("index-*.faiss"))))
        quantizer = faiss.downcast_index(faiss.extract_index_ivf(codes).quantizer)
        centroids.append(quantizer.reconstruct_n(0, quantizer.ntotal).tobytes())
    assert len(set(centroids)) == 1
    assert all(segment["operating_points"]["is_met"] for segment in index.info().segments)


def test_the_same_call_encodes_no_committed_shard_again(
    tmp_path: Path, static_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BuildJob.run

    def fail_at_last(self, progress):
        if self.number == 2:
            raise CorpusError("stopped")
        return run(self, progress)

    monkeypatch.setattr(BuildJob, "run", fail_at_last)
    with pytest.raises(CorpusError, match="stopped"):
        build(tmp_path / "i", make_corpus(60), static_encoder)
    before = {name: _generation(tmp_path / "i" / name) for name in name_shards(3, 1)[:2]}
    monkeypatch.setattr(BuildJob, "run", run)
    index = build(tmp_path / "i", make_corpus(60), static_encoder)
    assert {name: _generation(tmp_path / "i" / name) for name in before} == before
    assert index.report.n_documents == 60
    assert index.report.n_resumed > 0
    assert index.verify() == []


def test_a_build_of_other_documents_does_not_go_on_with_the_former_ones(
    tmp_path: Path, static_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = building.share_codes
    monkeypatch.setattr(building, "share_codes", lambda *_: (_ for _ in ()).throw(CorpusError("stopped")))
    with pytest.raises(CorpusError, match="stopped"):
        build(tmp_path / "i", make_corpus(60), static_encoder)
    monkeypatch.setattr(building, "share_codes", share)
    index = build(tmp_path / "i", make_corpus(50, seed=4), static_encoder)
    assert {d.doc_id: d.text for d in index.documents()} == {d.doc_id: d.text for d in make_corpus(50, seed=4)}


def _generation(shard: Path) -> int:
    catalog = Catalog.open(shard)
    try:
        return catalog.generation()
    finally:
        catalog.close()


def test_the_error_of_a_process_ends_the_build(tmp_path: Path, static_encoder: Encoder) -> None:
    documents = [*make_corpus(30), Document("doc-3", "again")]
    with pytest.raises(CorpusError, match="doc_id 'doc-3' came before"):
        build(tmp_path / "i", documents, static_encoder, processes=2)


@pytest.mark.slow
def test_a_killed_process_is_named_and_the_same_call_goes_on(
    tmp_path: Path, static_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = processes._start

    def start_and_kill(number, n_processes, put):
        worker = start(number, n_processes, put)
        if number == 1:
            worker.send_signal(signal.SIGKILL)
        return worker

    monkeypatch.setattr(processes, "_start", start_and_kill)
    with pytest.raises(IndexFolderError, match="ended by signal 9"):
        build(tmp_path / "i", make_corpus(60), static_encoder, processes=2)
    monkeypatch.undo()
    index = build(tmp_path / "i", make_corpus(60), static_encoder, processes=2)
    assert len(index) == 60
    assert index.verify() == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_build_stopped_at_any_moment_goes_on_and_loses_nothing(
    tmp_path: Path, tiny_folder: Path, kind: signal.Signals
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"{document.text} {n}\n" for n, document in enumerate(make_corpus(3000))))
    folder = tmp_path / "index"
    command = [sys.executable, "-m", "hpdsearch", "index", str(corpus), "-o", str(folder), "--encoder"]
    command += [str(tiny_folder), "--shards", "3", "--processes", "2", "--no-draft", "--codec", "f32"]
    command += ["--index-type", "flat"]
    for delay in (0.3, 1.0, 2.0):
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        end = time.monotonic() + 60
        while not folder.exists() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
        time.sleep(delay)
        process.send_signal(kind)
        process.wait(60)
    assert subprocess.run(command, capture_output=True, check=False, timeout=300).returncode in (0, 1)
    with Index.open(folder) as index:
        assert len(index) == 3000
        assert index.verify() == []
        assert not (folder / "spool").exists()


@pytest.mark.parametrize("codec", [Codec.F32, Codec.RABITQ])
def test_refined_drafts_hold_the_vectors_of_direct_encoding(
    tmp_path: Path, tiny_folder: Path, static_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, codec: Codec
) -> None:
    monkeypatch.setattr(jobs, "find_draft_encoder", lambda _: static_encoder)
    options = {"spec": IndexSpec(Kind.FLAT, codec), "merge_policy": MergePolicy(min_draft_documents=1)}
    direct = build(tmp_path / "direct", make_corpus(90), tiny_folder, **options)
    draft = build(tmp_path / "draft", make_corpus(90), tiny_folder, draft=True, **options)
    assert draft.info().n_draft == draft.info().n_passages
    with pytest.raises(IndexFolderError, match="is a draft"):
        list(draft.documents())
    draft.processes = 1
    assert draft.refine() == draft.info().n_passages
    assert draft.info().n_draft == 0
    vectors = [index.vectors([f"doc-{number}" for number in range(90)]) for index in (draft, direct)]
    assert all(np.array_equal(one, other) for one, other in zip(*vectors, strict=True))
    assert draft.verify() == []


class TestClusterFile:
    @pytest.fixture
    def folder(self, tmp_path: Path, static_encoder: Encoder) -> Path:
        build(tmp_path / "i", make_corpus(12), static_encoder).close()
        return tmp_path / "i"

    def test_a_damaged_file_is_an_error(self, folder: Path) -> None:
        path = folder / "cluster.json"
        path.write_text(path.read_text().replace("shard-00001", "shard-00002"))
        with pytest.raises(CorruptIndexError, match=r"cluster\.json: does not match its checksum"):
            Index.open(folder)

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 1}'])
    def test_a_file_without_shards_is_an_error(self, folder: Path, content: str) -> None:
        (folder / "cluster.json").write_text(content)
        with pytest.raises(CorruptIndexError, match=r"cluster\.json"):
            Index.open(folder)

    def test_a_newer_format_is_named(self, folder: Path) -> None:
        path = folder / "cluster.json"
        path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
        with pytest.raises(IndexFolderError, match="expected format 1, got 2"):
            Index.open(folder)

    def test_a_missing_shard_is_named(self, folder: Path) -> None:
        (folder / "shard-00001").rename(folder / "elsewhere")
        with pytest.raises(CorruptIndexError, match="shard-00001: the folder of this shard is missing"):
            Index.open(folder)

    def test_exchanged_shards_are_an_error(self, folder: Path) -> None:
        (folder / "shard-00001").rename(folder / "x")
        (folder / "shard-00002").rename(folder / "shard-00001")
        (folder / "x").rename(folder / "shard-00002")
        with pytest.raises(CorruptIndexError, match="expected shard 1, got the rows of shard 2"):
            Index.open(folder)

    def test_a_document_in_a_wrong_shard_is_a_problem(self, folder: Path, static_encoder: Encoder) -> None:
        wrong = next(f"x{n}" for n in range(99) if choose_shard(f"x{n}", 3) != 0)
        with Index.open(folder / "shard-00000", document_encoder=static_encoder) as shard:
            shard.add([Document(wrong, "cat")])
        with Index.open(folder) as index:
            assert index.verify() == [f"{folder / 'shard-00000'}: 1 documents belong to other shards"]

    def test_an_open_index_sees_a_new_build(self, folder: Path, static_encoder: Encoder) -> None:
        with Index.open(folder) as index:
            build(folder, make_corpus(40, seed=3), static_encoder, shards=2, overwrite=True).close()
            assert index.refresh()
            assert len(index) == 40
            assert not index.refresh()
