"""One writer and many readers: snapshots, locks, threads, and an index that changes while it is opened."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from brute_force import make_documents
from index_folders import DOCUMENTS, find_texts, get_texts, list_names

from hpdsearch.catalog import Catalog
from hpdsearch.dense import Codec, IndexSpec
from hpdsearch.encoder import Encoder
from hpdsearch.errors import IndexFolderError, LockedError
from hpdsearch.index import Index
from hpdsearch.records import Document
from hpdsearch.search import opening
from hpdsearch.search.snapshot import Snapshot


def test_an_open_index_answers_from_its_snapshot_while_it_is_overwritten(folder: Path, tiny_encoder: Encoder) -> None:
    new = make_documents(40, seed=8, first=20)
    with Index.open(folder, encoder=tiny_encoder) as old:
        before = [old.search(query, 20, mode=mode) for query in ("cat", "old sun") for mode in ("dense", "lexical")]
        for turn in range(2):
            with Index.build(folder, new[turn:], encoder=tiny_encoder, overwrite=True) as index:
                assert find_texts(index) == get_texts(new[turn:])
                assert index.verify() == []
            gc.collect()
            after = [old.search(query, 20, mode=mode) for query in ("cat", "old sun") for mode in ("dense", "lexical")]
            assert after == before
            assert find_texts(old) == get_texts(DOCUMENTS)
            assert old.count("number < 20") == 20
        assert old.info().n_documents == 30
        old.add(DOCUMENTS[:1])
        assert find_texts(old) == get_texts([*new[1:], DOCUMENTS[0]])
    assert {name for name in list_names(folder) if "-0" in name} == {"vectors-000003.f16", "index-000003.faiss"}
    assert list_names(folder / "lexical") == {"000003"}


@pytest.mark.parametrize("change", ["a few", "many", "overwrite", "compact", "reindex"])
def test_an_open_during_which_the_index_changes_starts_again(
    folder: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A writer changes the index between the reading of the catalog and the opening of the other files."""
    new = {"compact": DOCUMENTS, "reindex": DOCUMENTS, "many": make_documents(100, seed=9)}.get(
        change, make_documents(30, seed=9)
    )
    writer = Index.open(folder, encoder=tiny_encoder)
    assemble = opening._assemble
    n_changes = 1
    is_changing = False

    def change_and_assemble(folder: Path, catalog: Catalog, previous: Snapshot | None, with_vectors: bool) -> Snapshot:
        nonlocal n_changes, is_changing
        if n_changes and not is_changing:  # the writer itself opens its commit, too
            n_changes -= 1
            is_changing = True
            if change == "overwrite":
                Index.build(folder, new, encoder=tiny_encoder, overwrite=True).close()
            elif change == "compact":
                writer.compact()
            elif change == "reindex":
                writer.reindex(IndexSpec(codec=Codec.F32 if n_changes % 2 else Codec.RABITQ))
            else:
                writer.add(new)
            is_changing = False
        return assemble(folder, catalog, previous, with_vectors)

    monkeypatch.setattr(opening, "_assemble", change_and_assemble)
    with Index.open(folder, encoder=tiny_encoder) as index:
        assert find_texts(index) == get_texts(new)
        found = {hit.doc_id for hit in index.search("cat", 100, mode="lexical")}
        assert found == {document.doc_id for document in new if "cat" in document.text.split()}
        assert index.info().generation == 2
    monkeypatch.setattr(opening, "MAX_READ_ATTEMPTS", 3)
    n_changes = 100
    with pytest.raises(IndexFolderError, match="changed 3 times while it was opened; try again when writers are done"):
        Index.open(folder)


def test_the_error_of_a_second_writer_names_the_process_that_writes(folder: Path, tiny_encoder: Encoder) -> None:
    index = Index.open(folder, encoder=tiny_encoder)

    def documents() -> Iterator[Document]:
        with pytest.raises(LockedError, match=f"process {os.getpid()} is writing to this index; try again"):
            index.add(DOCUMENTS)
        with pytest.raises(LockedError):
            index.delete("d00000")
        with pytest.raises(LockedError):
            Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True)
        assert find_texts(index) == get_texts(DOCUMENTS)
        yield Document("x", "cat")

    index.add(documents())
    assert find_texts(index) == get_texts(DOCUMENTS) | {"x": "cat"}


def test_of_two_first_builds_at_once_one_succeeds_and_one_is_a_clear_error(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    def interleave() -> Iterator[Document]:
        with pytest.raises(LockedError):
            Index.build(tmp_path / "index", DOCUMENTS[:3], encoder=tiny_encoder)
        yield from DOCUMENTS

    with Index.build(tmp_path / "index", interleave(), encoder=tiny_encoder) as index:
        assert find_texts(index) == get_texts(DOCUMENTS)
        assert index.verify() == []


@pytest.mark.slow
def test_threads_that_search_while_another_changes_see_only_committed_states(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    """The documents of generation g hold g, so that a mixture of two generations is detected."""

    def make_generation(g: int) -> list[Document]:
        return [Document(f"d{i}", f"cat {g} dog", metadata={"g": g}) for i in range(20 + g % 3)]

    index = Index.build(tmp_path / "index", make_generation(0), encoder=tiny_encoder)
    problems: list[str] = []
    n_searches = [0] * 8
    done = threading.Event()

    def search(number: int) -> None:
        mode, where = ("dense", "lexical", "hybrid")[number % 3], "g >= 0" if number % 2 else None
        last = 0
        try:
            while not done.is_set():
                hits = index.search("cat dog", 100, mode=mode, where=where)
                seen = {hit.metadata["g"] for hit in hits}
                (g,) = seen
                ids = sorted(hit.doc_id for hit in hits)
                if ids != sorted(d.doc_id for d in make_generation(g)) or {h.text for h in hits} != {f"cat {g} dog"}:
                    problems.append(f"{mode}: generation {g} with {ids}")
                if g < last:
                    problems.append(f"{mode}: {g} after {last}")
                last = g
                n_searches[number] += 1
        except BaseException as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=search, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    g = 0
    while time.monotonic() < start + 4 and not problems:
        g += 1
        # Each generation is one commit. An addition replaces all documents only if there are as many or more.
        new = make_generation(g)
        if len(new) < len(make_generation(g - 1)):
            Index.build(tmp_path / "index", new, encoder=tiny_encoder, overwrite=True).close()
            index.delete([])  # opens the last commit
        else:
            index.add(new)
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert g > 5
    assert min(n_searches) > 10
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
