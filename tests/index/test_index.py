"""An index folder's life: made, opened, changed, overwritten, refused, swept; asked from several threads."""

import gc
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from brute_force import assert_best, compute_dense_scores, make_documents, read_passages
from tiny_encoder import make_tiny_encoder

from hpdsearch.catalog import Catalog, CatalogWriter
from hpdsearch.dense import Codec, IndexSpec
from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError, CorruptIndexError, EncoderError, IndexFolderError, LockedError, QueryError
from hpdsearch.index import Index
from hpdsearch.index.verify import find_problems
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.lexical import LexicalWriter
from hpdsearch.records import Document
from hpdsearch.search import opening
from hpdsearch.search.snapshot import Snapshot

DOCUMENTS = make_documents(30)


@pytest.fixture
def folder(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    """Folder of an index of DOCUMENTS."""
    Index.build(tmp_path / "index", DOCUMENTS, encoder=tiny_encoder).close()
    return tmp_path / "index"


def held(index: Index) -> dict[str, str]:
    """Return the texts by doc_id, as searches find them."""
    hits = index.search("cat", 10_000, mode="dense")
    assert len(hits) == len(index) == index.info().n_documents
    return {hit.doc_id: hit.text for hit in hits}


def expected(documents: list[Document]) -> dict[str, str]:
    return {document.doc_id: document.text for document in documents}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_opened_index_answers_as_the_built_one(tmp_path: Path, tiny_encoder: Encoder) -> None:
    with Index.build(str(tmp_path / "a" / "index"), iter(DOCUMENTS), encoder=tiny_encoder) as built:
        assert held(built) == expected(DOCUMENTS)
        answer = built.search("cat dog")
        assert built.report is not None
        assert built.report.n_documents == 30
    with Index.open(str(tmp_path / "a" / "index")) as opened:
        assert opened.search("cat dog") == answer
        assert opened.report is None
        assert opened.verify() == []
        assert opened.count("half = 0") == 15


def test_info_describes_the_index(folder: Path, tiny_encoder: Encoder, tiny_folder: Path) -> None:
    with Index.open(folder) as index:
        index.add(make_documents(100, seed=4, first=25))  # too many to wait in the catalog
        index.delete("d00000")
        info = index.info()
        json.dumps(info.as_dict())
    assert (info.n_documents, info.n_passages, info.n_deleted, info.generation) == (124, 124, 1, 3)
    assert (info.format, info.spec["kind"], info.spec["codec"]) == (2, "auto", "auto")
    assert info.fields == ["half", "hundredth", "number", "tenth"]
    assert (info.encoder, info.encoder_sha256) == (str(tiny_folder.absolute()), tiny_encoder.sha256)
    assert (info.space, info.dim) == (tiny_encoder.space, 16)
    assert [segment["rows"] for segment in info.segments] == [125]  # 25 of the small segment before them
    assert [segment["operating_points"] for segment in info.segments] == [None]
    assert info.disk_bytes["vectors"] == 125 * (16 * 2 + 4) == sum(path.stat().st_size for path in folder.glob("*.f16"))
    assert info.disk_bytes["codes"] == sum(path.stat().st_size for path in folder.glob("*.faiss"))
    assert info.disk_bytes["lexical"] == sum(path.stat().st_size for path in folder.glob("lexical/*/*"))
    assert info.disk_bytes["documents"] >= (folder / "catalog.sqlite").stat().st_size
    assert 125 * 16 <= info.memory_bytes < 125 * 16 + 500  # sq8: a byte a number, and the bounds of each number
    assert info.teacher_memory_bytes == 124 * 768 * 4


def test_add_replaces_and_delete_removes(folder: Path) -> None:
    wanted = expected(DOCUMENTS)
    with Index.open(folder) as index:
        for turn in range(3):
            new = make_documents(12, seed=10 + turn, first=20 + 5 * turn)
            summary = index.add(new)
            assert summary.n_replaced == len(wanted.keys() & expected(new).keys())
            wanted |= expected(new)
            gone = sorted(wanted)[turn :: 11 - turn]
            assert index.delete(gone) == len(gone)
            for doc_id in gone:
                del wanted[doc_id]
            assert held(index) == wanted
            assert index.verify() == []
    with Index.open(folder) as again:
        assert held(again) == wanted


def test_delete_removes_all_or_none(folder: Path) -> None:
    with Index.open(folder) as index:
        with pytest.raises(QueryError, match="1 of 2 doc_ids are not in the index: 'nobody'"):
            index.delete(["d00001", "nobody"])
        with pytest.raises(QueryError, match=r"8 of 8 doc_ids are not in the index: '0', '1', '2', '3', '4' \.\.\.$"):
            index.delete(str(i) for i in range(8))
        assert index.delete([]) == 0
        assert index.info().generation == 1
        assert index.delete(["d00001", "d00002", "d00001"]) == 2
        assert index.delete("d00003") == 1
        assert held(index) == expected([d for d in DOCUMENTS if d.doc_id not in ("d00001", "d00002", "d00003")])
        with pytest.raises(QueryError, match="d00001"):
            index.delete("d00001")


def test_an_index_can_lose_all_its_documents_and_get_new_ones(folder: Path) -> None:
    with Index.open(folder) as index:
        index.delete([document.doc_id for document in DOCUMENTS])
        assert len(index) == 0
        for mode in ("dense", "lexical", "hybrid"):
            assert index.search("cat", mode=mode) == []
        assert index.verify() == []
        index.add(DOCUMENTS[:3])
        assert held(index) == expected(DOCUMENTS[:3])
        assert index.verify() == []


def test_an_existing_index_is_not_built_over(folder: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(
        IndexFolderError,
        match="holds an index already; replace it with --overwrite, or change it with --update or hpdsearch add",
    ):
        Index.build(folder, make_documents(3, first=900), encoder=tiny_encoder)
    with Index.open(folder) as index:
        assert held(index) == expected(DOCUMENTS)
        assert index.info().generation == 1


def test_an_open_index_answers_from_its_state_while_it_is_overwritten(folder: Path, tiny_encoder: Encoder) -> None:
    new = make_documents(40, seed=8, first=20)
    with Index.open(folder, encoder=tiny_encoder) as old:
        before = [old.search(query, 20, mode=mode) for query in ("cat", "old sun") for mode in ("dense", "lexical")]
        for turn in range(2):
            with Index.build(folder, new[turn:], encoder=tiny_encoder, overwrite=True) as index:
                assert held(index) == expected(new[turn:])
                assert index.verify() == []
            gc.collect()
            after = [old.search(query, 20, mode=mode) for query in ("cat", "old sun") for mode in ("dense", "lexical")]
            assert after == before
            assert held(old) == expected(DOCUMENTS)
            assert old.count("number < 20") == 20
        assert old.info().n_documents == 30
        old.add(DOCUMENTS[:1])
        assert held(old) == expected([*new[1:], DOCUMENTS[0]])
    assert {name for name in names(folder) if "-0" in name} == {"vectors-000003.f16", "index-000003.faiss"}
    assert names(folder / "lexical") == {"000003"}


def test_overwrite_without_an_index_builds_one(tmp_path: Path, tiny_encoder: Encoder) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "none"):
        with Index.build(tmp_path / place, DOCUMENTS, encoder=tiny_encoder, overwrite=True) as index:
            assert held(index) == expected(DOCUMENTS)


def test_a_change_includes_the_commits_of_others(folder: Path, tiny_encoder: Encoder) -> None:
    with Index.open(folder, encoder=tiny_encoder) as first, Index.open(folder, encoder=tiny_encoder) as second:
        first.add([Document("x", "the cat")])
        assert "x" not in held(second)
        second.add([Document("y", "the dog")])
        assert held(second) == expected(DOCUMENTS) | {"x": "the cat", "y": "the dog"}
        assert "y" not in held(first)
        first.delete("y")
        assert held(first) == expected(DOCUMENTS) | {"x": "the cat"}
        assert held(second).keys() >= {"x", "y"}


# ---- encoders


def test_the_error_for_an_encoder_of_another_space_names_the_command_to_run(
    folder: Path, tmp_path: Path, tiny_encoder: Encoder, tiny_folder: Path
) -> None:
    other = Encoder.load(make_tiny_encoder(tmp_path / "other", space_seed=5))
    message = (
        f"{folder}: holds vectors of space {tiny_encoder.space} (encoder {tiny_folder}), but encoder tiny is of space "
        f"{other.space}; query with --query-encoder {tiny_folder}, or index again with --overwrite --encoder "
        f"{tmp_path / 'other'}"
    )
    with pytest.raises(EncoderError) as caught:
        Index.open(folder, encoder=other)
    assert str(caught.value) == message
    with Index.open(folder, encoder=tmp_path / "other") as index:
        assert index.search("cat", mode="lexical")
        for mode in ("dense", "hybrid"):
            with pytest.raises(EncoderError) as caught:
                index.search("cat", mode=mode)
            assert str(caught.value) == message


def test_an_encoder_of_too_few_dimensions_is_refused(folder: Path, tmp_path: Path) -> None:
    narrow = make_tiny_encoder(tmp_path / "narrow", dim=8)
    with pytest.raises(EncoderError, match=r"holds vectors of 16 dimensions .* but encoder tiny has only 8"):
        Index.open(folder, encoder=Encoder.load(narrow))


def test_queries_may_be_encoded_by_another_encoder_of_the_space(
    folder: Path, tmp_path: Path, tiny_encoder: Encoder
) -> None:
    student = Encoder.load(make_tiny_encoder(tmp_path / "int8", precision=Precision.INT8))
    assert student.sha256 != tiny_encoder.sha256
    with Index.open(folder, encoder=student) as index:
        passages = read_passages(folder, tiny_encoder)
        assert_best(
            index.search("cat dog", 7, mode="dense"), compute_dense_scores(passages, student.encode(["cat dog"])[0]), 7
        )
        index.add([Document("new", "the iron queen sings")])
        assert ("new", "the iron queen sings") in read_passages(folder, tiny_encoder)  # by the documents' encoder
        assert index.info().encoder_sha256 == tiny_encoder.sha256


def test_without_its_encoder_an_index_still_answers_lexical_queries(tmp_path: Path) -> None:
    place = make_tiny_encoder(tmp_path / "encoder")
    Index.build(tmp_path / "index", DOCUMENTS, encoder=place).close()
    place.rename(tmp_path / "moved")
    with Index.open(tmp_path / "index") as index:
        assert index.search("cat", mode="lexical")
        assert index.delete("d00000") == 1
        with pytest.raises(EncoderError, match=str(place)):
            index.search("cat")
        with pytest.raises(EncoderError, match=str(place)):
            index.add([Document("x", "cat")])
    with Index.open(tmp_path / "index", encoder=tmp_path / "moved") as index:
        assert len(index.search("cat", 100)) == 29


@pytest.mark.parametrize("chosen", [False, True])
def test_after_an_overwrite_in_another_space_queries_are_encoded_in_that_space(
    folder: Path, tmp_path: Path, tiny_encoder: Encoder, chosen: bool
) -> None:
    other = Encoder.load(make_tiny_encoder(tmp_path / "other", space_seed=5))
    with Index.open(folder, encoder=tiny_encoder if chosen else None) as index:
        before = index.search("cat dog", 5, mode="dense")
        Index.build(folder, DOCUMENTS, encoder=other, overwrite=True).close()
        assert index.search("cat dog", 5, mode="dense") == before
        index.delete("d00000")
        if chosen:
            with pytest.raises(EncoderError, match="holds vectors of space"):
                index.search("cat dog", mode="dense")
        else:
            scores = compute_dense_scores(read_passages(folder, other), other.encode(["cat dog"])[0])
            assert_best(index.search("cat dog", 5, mode="dense"), scores, 5)
            index.add([Document("new", "the iron queen sings")])
            assert ("new", "the iron queen sings") in read_passages(folder, other)


# ---- folders that are refused


def test_a_folder_with_other_files_is_left_unchanged(tmp_path: Path, tiny_encoder: Encoder) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(
            IndexFolderError, match=r"holds other files \(thesis.tex \.\.\.\); choose a folder of its own"
        ):
            Index.build(tmp_path, DOCUMENTS, encoder=tiny_encoder, overwrite=overwrite)
    assert names(tmp_path) == {"thesis.tex"}


def test_a_file_instead_of_the_folder_is_left_unchanged(tmp_path: Path, tiny_encoder: Encoder) -> None:
    (tmp_path / "index").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(IndexFolderError, match="cannot be made"):
            Index.build(tmp_path / "index", DOCUMENTS, encoder=tiny_encoder, overwrite=overwrite)
    with pytest.raises(IndexFolderError, match="no such folder"):
        Index.open(tmp_path / "index")
    assert (tmp_path / "index").read_text() == "x"


def test_a_database_of_another_program_is_left_unchanged(tmp_path: Path, tiny_encoder: Encoder) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection:
        connection.execute("CREATE TABLE photos(name)")
    before = (tmp_path / "catalog.sqlite").read_bytes()
    for overwrite in (False, True):
        with pytest.raises(IndexFolderError, match="is a database of another program"):
            Index.build(tmp_path, DOCUMENTS, encoder=tiny_encoder, overwrite=overwrite)
    with pytest.raises(IndexFolderError, match="is a database of another program"):
        Index.open(tmp_path)
    assert (tmp_path / "catalog.sqlite").read_bytes() == before


def test_without_an_index_the_error_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="no such folder; make one with: hpdsearch index"):
        Index.open(tmp_path / "none")
    with pytest.raises(IndexFolderError, match="not an hpdsearch index"):
        Index.open(tmp_path)
    assert names(tmp_path) == set()


def test_changing_a_vanished_index_is_an_error_and_creates_no_folder(folder: Path, tiny_encoder: Encoder) -> None:
    with Index.open(folder, encoder=tiny_encoder) as index:
        shutil.rmtree(folder)
        for change in (lambda: index.add(DOCUMENTS), lambda: index.delete("d00000"), index.verify):
            with pytest.raises(IndexFolderError):
                change()
    assert not folder.exists()


def test_an_index_of_a_newer_format_is_refused(folder: Path, tiny_encoder: Encoder) -> None:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(IndexFolderError, match="expected format 2, got 99; a newer hpdsearch wrote it: upgrade"):
        Index.open(folder)
    with pytest.raises(IndexFolderError, match="got 99"):
        Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True)


def test_the_error_of_a_closed_index_says_so(folder: Path) -> None:
    index = Index.open(folder)
    index.close()
    index.close()
    for call in (lambda: index.search("cat"), lambda: len(index), index.info, lambda: index.count("half = 0")):
        with pytest.raises(IndexFolderError, match="was closed; open the index again"):
            call()


# ---- builds that die


def broken_documents(n: int) -> Iterator[Document]:
    yield from make_documents(n, first=500)
    raise KeyboardInterrupt


@pytest.mark.parametrize("n", [0, 10])
def test_a_first_build_that_fails_leaves_no_folder(tmp_path: Path, tiny_encoder: Encoder, n: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        Index.build(tmp_path / "parent" / "index", broken_documents(n), encoder=tiny_encoder)
    assert names(tmp_path / "parent") == set()
    with pytest.raises(EncoderError):
        Index.build(tmp_path / "index", DOCUMENTS, encoder=tmp_path / "no encoder")
    assert names(tmp_path) == {"parent"}


def test_an_overwrite_that_fails_leaves_the_index_as_it_was(folder: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(KeyboardInterrupt):
        Index.build(folder, broken_documents(10), encoder=tiny_encoder, overwrite=True)
    with Index.open(folder) as index:
        assert held(index) == expected(DOCUMENTS)
        assert index.verify() == []
        with pytest.raises(KeyboardInterrupt):
            index.add(broken_documents(10))
        assert held(index) == expected(DOCUMENTS)
        index.add(DOCUMENTS[:1])
    assert names(folder / "lexical") == {"000001"}
    assert len(names(folder)) <= 9


def test_an_interrupt_right_after_the_commit_does_not_undo_it(
    tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = CatalogWriter.commit

    def interrupted(self: CatalogWriter) -> None:
        commit(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CatalogWriter, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Index.build(tmp_path / "index", DOCUMENTS, encoder=tiny_encoder)
    with Index.open(tmp_path / "index") as index:
        assert held(index) == expected(DOCUMENTS)
        assert index.verify() == []


LEFTOVERS = (
    "vectors-000009.f16",
    "vectors-000002.f16.partial",
    "index-000009.faiss",
    "index-000002.faiss.partial",
    "lexical/000009/x.idx",
)


@pytest.mark.parametrize("change", ["add", "delete", "overwrite"])
def test_the_next_writer_removes_the_files_of_a_dead_one_and_no_others(
    folder: Path, tiny_encoder: Encoder, change: str
) -> None:
    (folder / "lexical" / "000009").mkdir()
    for name in LEFTOVERS:
        (folder / name).write_text("half")
    (folder / "notes.txt").write_text("mine")
    with Index.open(folder, encoder=tiny_encoder) as index:
        assert held(index) == expected(DOCUMENTS)
        assert index.verify() == []
        if change == "add":
            index.add([Document("x", "cat")])
        elif change == "delete":
            index.delete("d00000")
    if change == "overwrite":
        Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True).close()
    assert not [name for name in LEFTOVERS if (folder / name).exists()]
    assert not (folder / "lexical" / "000009").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    with Index.open(folder) as index:
        assert index.verify() == []


def test_lexical_rows_of_a_failed_overwrite_are_not_found_after_the_next(folder: Path, tiny_encoder: Encoder) -> None:
    dead = LexicalWriter(folder / "lexical" / "000002")
    for row in range(30):
        dead.add(row, "", "xylophone")
    dead.commit()
    dead.close()
    with Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True) as index:
        assert (folder / "lexical" / "000002").exists()
        assert index.search("xylophone", mode="lexical") == []
        before = index.search("cat", mode="lexical")
        dead = LexicalWriter(folder / "lexical" / "000002")
        for row in range(30, 60):
            dead.add(row, "", "xylophone cat")
        dead.commit()
        dead.close()
        index.add([Document("x", "the queen")])
        assert index.search("xylophone", mode="lexical") == []
        assert [hit.doc_id for hit in index.search("cat", mode="lexical")] == [hit.doc_id for hit in before]


# ---- one writer, many readers


@pytest.mark.parametrize("change", ["a few", "many", "overwrite", "compact", "tune"])
def test_an_open_during_which_the_index_changes_starts_again(
    folder: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The catalog is read, then a writer changes everything, then the other files are opened."""
    new = {"compact": DOCUMENTS, "tune": DOCUMENTS, "many": make_documents(100, seed=9)}.get(
        change, make_documents(30, seed=9)
    )
    writer, assemble = Index.open(folder, encoder=tiny_encoder), opening._assemble
    n_changes, changing = 1, False

    def changed_before(folder: Path, catalog: Catalog, previous: Snapshot | None) -> Snapshot:
        nonlocal n_changes, changing
        if n_changes and not changing:  # the writer opens what it has committed, too
            n_changes -= 1
            changing = True
            if change == "overwrite":
                Index.build(folder, new, encoder=tiny_encoder, overwrite=True).close()
            elif change == "compact":
                writer.compact()
            elif change == "tune":
                writer.reindex(IndexSpec(codec=Codec.F32 if n_changes % 2 else Codec.RABITQ))
            else:
                writer.add(new)
            changing = False
        return assemble(folder, catalog, previous)

    monkeypatch.setattr(opening, "_assemble", changed_before)
    with Index.open(folder, encoder=tiny_encoder) as index:
        assert held(index) == expected(new)
        found = {hit.doc_id for hit in index.search("cat", 100, mode="lexical")}
        assert found == {document.doc_id for document in new if "cat" in document.text.split()}
        assert index.info().generation == 2
    monkeypatch.setattr(opening, "MAX_READ_ATTEMPTS", 3)
    n_changes = 100
    with pytest.raises(IndexFolderError, match="changed 3 times while it was opened; try again when writers are done"):
        Index.open(folder)


def test_the_error_of_a_second_writer_names_the_process_that_writes(folder: Path, tiny_encoder: Encoder) -> None:
    index = Index.open(folder, encoder=tiny_encoder)

    def nested() -> Iterator[Document]:
        with pytest.raises(LockedError, match=f"process {os.getpid()} is writing to this index; try again"):
            index.add(DOCUMENTS)
        with pytest.raises(LockedError):
            index.delete("d00000")
        with pytest.raises(LockedError):
            Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True)
        assert held(index) == expected(DOCUMENTS)
        yield Document("x", "cat")

    index.add(nested())
    assert held(index) == expected(DOCUMENTS) | {"x": "cat"}


def test_of_two_first_builds_at_once_one_succeeds_and_one_is_a_clear_error(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    def slow() -> Iterator[Document]:
        with pytest.raises(LockedError):
            Index.build(tmp_path / "index", DOCUMENTS[:3], encoder=tiny_encoder)
        yield from DOCUMENTS

    with Index.build(tmp_path / "index", slow(), encoder=tiny_encoder) as index:
        assert held(index) == expected(DOCUMENTS)
        assert index.verify() == []


@pytest.mark.slow
def test_threads_that_search_while_another_changes_see_only_committed_states(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    """Every document of generation g says g, so that a mixture of two generations is recognised."""

    def generation(g: int) -> list[Document]:
        return [Document(f"d{i}", f"cat {g} dog", metadata={"g": g}) for i in range(20 + g % 3)]

    index = Index.build(tmp_path / "index", generation(0), encoder=tiny_encoder)
    problems: list[str] = []
    n_answers = [0] * 8
    done = threading.Event()

    def ask(number: int) -> None:
        mode, where = ("dense", "lexical", "hybrid")[number % 3], "g >= 0" if number % 2 else None
        last = 0
        try:
            while not done.is_set():
                hits = index.search("cat dog", 100, mode=mode, where=where)
                seen = {hit.metadata["g"] for hit in hits}
                (g,) = seen
                ids = sorted(hit.doc_id for hit in hits)
                if ids != sorted(d.doc_id for d in generation(g)) or {h.text for h in hits} != {f"cat {g} dog"}:
                    problems.append(f"{mode}: generation {g} with {ids}")
                if g < last:
                    problems.append(f"{mode}: {g} after {last}")
                last = g
                n_answers[number] += 1
        except BaseException as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    g = 0
    while time.monotonic() < start + 4 and not problems:
        g += 1
        # One commit a generation: all documents are replaced, so only equally many or more can follow.
        new = generation(g)
        if len(new) < len(generation(g - 1)):
            Index.build(tmp_path / "index", new, encoder=tiny_encoder, overwrite=True).close()
            index.delete([])  # opens what is committed now
        else:
            index.add(new)
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert g > 5
    assert min(n_answers) > 10
    assert index.verify() == []


def test_unused_snapshots_close_their_files(folder: Path, tiny_encoder: Encoder) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("there is no /proc here")
    with Index.open(folder, encoder=tiny_encoder) as index:
        index.delete("d00000")
        gc.collect()
        before = len(list(open_files.iterdir()))
        for number in range(1, 15):
            index.delete(f"d{number:05d}")
            index.search("cat")
        gc.collect()
        assert len(list(open_files.iterdir())) <= before + 2


# ---- damage


def answers(folder: Path, encoder: Encoder) -> list[object]:
    with Index.open(folder, encoder=encoder) as index:
        modes = ("dense", "lexical", "hybrid")
        return [
            index.search("the old cat sleeps", k, mode=mode, where=where)
            for mode in modes
            for k in (3, 200)
            for where in (None, "half = 0")
        ]


def damaged(data: bytes, how: str) -> bytes:
    at = {"first": 0, "middle": len(data) // 2, "last": len(data) - 1}.get(how.split()[0], 0)
    if how == "emptied":
        return b""
    if how == "cut":
        return data[: len(data) // 2]
    if how == "longer":
        return data + b"\0"
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.fixture
def two_segments(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    """Folder of an index of two segments, 100 rows and 70, and 3 rows that wait in the catalog."""
    policy = MergePolicy(small_segment_rows=0)
    with Index.build(tmp_path / "index", make_documents(100), encoder=tiny_encoder, merge_policy=policy) as index:
        index.add(make_documents(70, first=100, seed=2))
        index.add(make_documents(3, first=170, seed=3))
        assert [segment["rows"] for segment in index.info().segments] == [100, 70]
        assert index.verify() == []
    return tmp_path / "index"


@pytest.mark.parametrize("how", ["missing", "emptied", "cut", "longer", "first byte", "middle byte", "last byte"])
@pytest.mark.parametrize("name", ["vectors-000001.f16", "vectors-000002.f16", "index-000001.faiss"])
def test_damaged_vectors_are_an_error_and_verify_names_the_file(
    two_segments: Path, tiny_encoder: Encoder, name: str, how: str
) -> None:
    folder, path = two_segments, two_segments / name
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.raises(CorruptIndexError, match=str(path)):
        answers(folder, tiny_encoder)
    (problem,) = find_problems(folder)
    assert problem.startswith(f"{path}: ")


def test_a_folder_without_a_catalog_is_no_index(folder: Path, tiny_encoder: Encoder) -> None:
    (folder / "catalog.sqlite").unlink()
    with pytest.raises(IndexFolderError, match="not an hpdsearch index"):
        Index.open(folder)
    with pytest.raises(IndexFolderError, match="holds other files"):
        Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True)
    assert (folder / "vectors-000001.f16").exists()


@pytest.mark.parametrize("strict", [False, True])
def test_build_passes_strict_on(tmp_path: Path, tiny_encoder: Encoder, strict: bool) -> None:
    documents = [*DOCUMENTS, Document("empty", "")]
    if strict:
        with pytest.raises(CorpusError, match="document 'empty': has no text; fix it, or leave out --strict"):
            Index.build(tmp_path / "index", documents, encoder=tiny_encoder, strict=True)
    else:
        assert len(Index.build(tmp_path / "index", documents, encoder=tiny_encoder)) == 30


def test_an_update_that_fails_leaves_the_index_as_it_was(folder: Path) -> None:
    with Index.open(folder) as index:
        with pytest.raises(KeyboardInterrupt):
            index.update(broken_documents(100), under=["file"])
        assert held(index) == expected(DOCUMENTS)
        assert index.info().generation == 1
        assert index.verify() == []
