"""A process that builds an index, searches it, and makes child processes; `python forking_process.py CASE FOLDER ...`.

It prints the results of the children, and fails if one of them failed. tests/faults/test_fork.py says what is expected.
"""

import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from hpdsearch import Document, Encoder, Hit, Index
from hpdsearch.errors import IndexFolderError

DOCUMENTS = [Document(f"d{i}", f"document number {i} about topic {i % 7} and word{i % 31}") for i in range(300)]
QUERIES = ["a document about topic 3", "word5"]
OTHERS = [Document(f"n{i}", f"whales and dolphins of ocean {i}") for i in range(50)]

index: Index
encoder: Encoder


def build(folder: str, name: str, backend: str) -> None:
    """Build the index that the children use, and search it with several queries at once."""
    global index, encoder
    encoder = Encoder.load(name, backend=backend)
    index = Index.build(f"{folder}/index", DOCUMENTS, encoder=encoder)
    index.search(QUERIES)


def search_inherited(_: object) -> list[list[Hit]]:
    """Search the index that the parent opened."""
    return index.search(QUERIES)


def search_opened(folder: str) -> list[list[Hit]]:
    """Open the index and search it."""
    return Index.open(folder).search(QUERIES)


def in_child(work: Callable[[], object]) -> None:
    """Run a function in a child made by os.fork, and end with exit code 1 unless it succeeds there."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        sys.exit(0)  # runs the end of the interpreter, as a worker of gunicorn does
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        sys.exit("the child failed")


def pool(folder: str, method: str, name: str = "static", backend: str = "auto") -> None:
    """Answer both queries in each process of a pool of two."""
    build(folder, name, backend)
    expected = index.search(QUERIES)
    with multiprocessing.get_context(method).Pool(2) as workers:
        for found in workers.map(search_opened, [f"{folder}/index"] * 4):
            check_same(found, search_opened(f"{folder}/index"))
        if method == "fork":
            for found in workers.map(search_inherited, range(4)):
                check_same(found, expected)
    assert index.search(QUERIES) == expected


def change(folder: str, name: str, backend: str) -> None:
    """Encode, build and add in a child; the parent sees the result."""
    build(folder, name, backend)

    def work() -> None:
        assert encoder.encode(["some words"] * 300).shape == (300, encoder.dim)
        built = Index.build(f"{folder}/other", DOCUMENTS, encoder=encoder)
        check_same(built.search(QUERIES), index.search(QUERIES))
        index.add(OTHERS)
        assert index.search("whales", 1)[0].doc_id.startswith("n")
        assert Encoder.load(name, backend=backend).encode(["some words"]).shape == (1, encoder.dim)

    in_child(work)
    assert len(index) == 300  # the parent's snapshot
    assert len(Index.open(index.folder)) == 350
    index.delete("d0")
    assert len(index) == 349
    assert index.verify() == []


def threads(folder: str, name: str, backend: str) -> None:
    """Fork again and again while threads search and add."""
    build(folder, name, backend)
    expected = index.search(QUERIES)
    other = Index.build(f"{folder}/other", DOCUMENTS, encoder=encoder)
    stop = threading.Event()
    failures: list[BaseException] = []

    def repeat(work: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:
            failures.append(error)

    work = [lambda: index.search(QUERIES), lambda: index.search("word5"), lambda: other.add(OTHERS)]
    running = [threading.Thread(target=repeat, args=[one]) for one in work]
    for thread in running:
        thread.start()
    for _ in range(12):
        in_child(lambda: check_same(index.search(QUERIES), expected))
    stop.set()
    for thread in running:
        thread.join()
    assert not failures, failures
    assert other.verify() == []


def check_same(found: Sequence[Sequence[Hit]], expected: Sequence[Sequence[Hit]]) -> None:
    """Raise AssertionError unless the hits are the same; torch adds up in another order where it has other threads."""
    assert [[hit.doc_id for hit in hits] for hits in found] == [[hit.doc_id for hit in hits] for hits in expected]
    for hit, other in zip(chain(*found), chain(*expected), strict=True):
        assert abs(hit.score - other.score) < 1e-5, (hit, other)


def fork_in_write(folder: str) -> None:
    """Fork while documents are read; the child runs to its end, with everything that this frees and closes."""
    build(folder, "static", "auto")

    def documents(count: int) -> Iterator[Document]:
        for i in range(count):
            if i == count - 1:
                pid = os.fork()
                if pid == 0:
                    refuse(lambda: Index.open(f"{folder}/index"), "spawn or forkserver")
                    sys.exit(0)  # unwinds the stack: the child leaves the blocks of the parent's change
                assert os.waitpid(pid, 0)[1] == 0
            yield Document(f"m{i}", f"sharks and rays of ocean {i} " * 5)

    report = index.add(documents(20_000))
    assert report.n_documents == 20_000
    assert index.verify() == []
    assert Index.open(index.folder).search("sharks", 1)[0].doc_id.startswith("m")


def die_in_write(folder: str) -> None:
    """Fork while documents are read and die; the child that lives on does not hold the folder's lock."""
    read, write = os.pipe()

    def documents() -> Iterator[Document]:
        yield from DOCUMENTS
        if os.fork() == 0:
            os.close(write)
            os.read(read, 1)  # returns when the pipe's last writer, the test, is done
            os._exit(0)
        os._exit(0)

    pid = os.fork()
    if pid == 0:
        Index.build(f"{folder}/index", documents(), encoder="static")
    os.waitpid(pid, 0)
    Index.build(f"{folder}/index", DOCUMENTS, encoder="static", overwrite=True)


def refuse(work: Callable[[], object], message: str) -> None:
    """Raise AssertionError unless a function fails with this message."""
    try:
        work()
    except IndexFolderError as error:
        found = str(error)
    else:
        found = "no error"
    assert message in found, found


def stale_snapshot(folder: str) -> None:
    """Change the index after the fork, in the parent, while a child goes on to search the generation that it opened."""
    build(folder, "static", "auto")
    to_child = os.pipe()
    to_parent = os.pipe()

    def work() -> None:
        expected = index.search(QUERIES)
        os.write(to_parent[1], b"1")
        os.read(to_child[0], 1)
        check_same(index.search(QUERIES), expected)

    pid = os.fork()
    if pid == 0:
        work()
        sys.exit(0)
    os.read(to_parent[0], 1)
    index.search(QUERIES)
    for _ in range(3):
        index.add(DOCUMENTS[:100])  # the last search of the child must not see it
        index.compact()
    os.write(to_child[1], b"1")
    assert os.waitpid(pid, 0)[1] == 0


def codes(folder: str, kind: str, codec: str) -> None:
    """Build and search codes by faiss in the parent and in a child."""
    import numpy as np

    from hpdsearch.dense import Codec, IndexSpec, IndexType, RowMap, Segment, VectorFile, VectorWriter, build_index

    vectors = np.random.default_rng(0).standard_normal((2_000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    path = Path(folder) / "vectors"
    with VectorWriter(path, 32) as writer:
        writer.append(vectors)
    n_lists = 20 if kind == "ivf" else 0
    spec = IndexSpec(IndexType(kind), Codec(codec), nlist=n_lists, nprobe=n_lists // 5, rescore=20)

    def find(name: str) -> list[list[int]]:
        file = VectorFile(path, 2_000, 32)
        built = build_index(file, spec, Path(folder) / name)
        segment = Segment.open(RowMap(0, 2_000), file, built.spec, Path(folder) / name, built.sha256)
        found: list[list[int]] = segment.nearest(vectors[:20], 5)[0][:, :5].tolist()
        return found

    expected = [row[0] for row in find("parent")]

    def work() -> None:
        assert [row[0] for row in find("child")] == expected

    in_child(work)


if __name__ == "__main__":
    cases = [pool, change, threads, fork_in_write, die_in_write, stale_snapshot, codes]
    {case.__name__: case for case in cases}[sys.argv[1]](*sys.argv[2:])
