"""Define, build and open the indexes of the retrieval benchmark, by encoder, width and index type."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval import faiss_baselines as plain_faiss
from benchmarks.retrieval.vectors import BackProjectedTexts, EncodedTexts, open_vectors
from benchmarks.scale import systems as own
from benchmarks.scale.recall import K, Rows, recalls, tenth_scores
from benchmarks.scale.timing import single_query
from hpdsearch.common.vectors import Matrix
from hpdsearch.dense import VectorFile

TEACHER = "teacher"
OF_TEACHER = (plain_faiss.FLAT, plain_faiss.IVF, plain_faiss.SQ8, plain_faiss.BINARY)
# The smallest width has every index type and codec; other widths have exact search and the defaults of `auto`.
ALL = (plain_faiss.FLAT, "flat sq8", "flat pq", "flat rabitq", "ivf sq8", "ivf pq", "ivf rabitq")
CHOSEN = (plain_faiss.FLAT, "flat sq8", "flat pq", "ivf pq")
OF_OTHERS = (plain_faiss.FLAT, "flat pq")
OF_PEERS = (plain_faiss.FLAT,)
SERVED_SECONDS = 3.0  # time limit of the queries that measure memory
SERVED = 1000  # queries that measure memory


@dataclass(frozen=True)
class IndexGroup:
    """An encoder at one width, and its indexes.

    Attributes:
        label: prefix in the names of its systems.
        vectors: vectors at full width.
        dim: dimensions to keep.
        indexes: names of the indexes.
        is_ours: the encoder is hpdsearch's; all its indexes except FLAT are hpdsearch's, too.
        is_back_projected: the vectors are back-projected from another encoder.
    """

    label: str
    vectors: EncodedTexts | BackProjectedTexts
    dim: int
    indexes: Sequence[str]
    is_ours: bool = True
    is_back_projected: bool = False


@dataclass(frozen=True)
class OpenIndex:
    """An opened system.

    Attributes:
        name: full name.
        keys: further keys of its measurements.
        about: its settings.
        search_one: runs one item of `queries`.
        queries: texts, or vectors (m, dim).
        search_all: returns the found rows (m, K) of all queries, -1 for none.
        search_first: runs the first n queries as one batch; None if it cannot.
        recall: found rows -> ann_recall@10; None for an index without vectors.
        is_judged: nDCG@10 is meaningful.
        is_ours: the index is hpdsearch's.
        search: (vectors (m, dim), n) -> rows (m, n); None for an index without vectors.
    """

    name: str
    keys: dict[str, Any]
    about: dict[str, Any]
    search_one: Callable[[Any], object]
    queries: Iterable[Any]
    search_all: Callable[[], Rows]
    search_first: Callable[[int], object] | None = None
    recall: Callable[[Rows], float] | None = None
    is_judged: bool = True
    is_ours: bool = True
    search: Callable[[Matrix, int], Rows] | None = None


class Corpus:
    """The vectors of a group's first n documents and of the queries, with the results of exact search."""

    def __init__(self, group: IndexGroup, n: int, work: Path, *, rebuild: bool) -> None:
        self.file: VectorFile = open_vectors(group.vectors, n, group.dim, work, rebuild=rebuild)
        self.queries = group.vectors.query_vectors(group.dim)
        self.queries_path = self.file.path.with_suffix(".queries.npy")
        np.save(self.queries_path, np.resize(self.queries, (SERVED, group.dim)))

    @cached_property
    def tenth(self) -> Matrix:
        """Return the exact score (m,) of the tenth nearest document of each query."""
        return tenth_scores(own.iterate_blocks(self.file), self.queries)

    def recall(self, found: Rows) -> float:
        """Return the ann_recall@10 of found rows (m, K)."""
        return recalls(found, self.queries, self.file.rows, self.tenth)[0]


class VectorIndex:
    """One index of one group at one size, in one file.

    Attributes:
        name: full name.
        keys: further keys of its measurements.
        made: report of the build.
    """

    def __init__(self, group: IndexGroup, index: str, corpus: Corpus) -> None:
        self.group = group
        self.index = index
        self.corpus = corpus
        self.name = f"{group.label}, {group.dim}, {index}"
        kind, codec = index.split()
        self.keys = {"encoder": group.vectors.name, "dim": group.dim, "index": index, "kind": kind, "codec": codec}
        self.keys |= {"lifted": True} if group.is_back_projected else {}  # stored
        self.is_own = group.is_ours and index != plain_faiss.FLAT
        self.path = corpus.file.path.with_name(f"{corpus.file.path.stem}-{index.replace(' ', '-')}.faiss")
        self.made: dict[str, Any] = {}

    @property
    def needs_vectors(self) -> bool:
        """Tell whether a search rescores candidates from the vectors file."""
        return self.is_own or self.index == plain_faiss.BINARY

    def build(self, *, rebuild: bool) -> None:
        """Build the file in a process of its own, unless it exists."""
        if self.is_own:
            self.made = own.build_own(self.corpus.file, own.SPECS[self.index], self.path, rebuild=rebuild)
        else:
            self.made = own.build_in_process(
                plain_faiss.MODULE, self.corpus.file, self.path, rebuild=rebuild, kind=self.index
            )

    def serve(self) -> dict[str, int]:
        """Open and search the index in a process of its own; return the growth of its resident memory in bytes."""
        file = self.corpus.file
        queries = self.corpus.queries_path
        if self.is_own:
            reply = own.serve_own(file, self.made, self.path, queries, seconds=SERVED_SECONDS)
        else:
            about = {"kind": self.index, "setting": self.made["setting"]}
            about |= {"queries": str(queries), "seconds": SERVED_SECONDS}
            reply = own.run_in_process(plain_faiss.MODULE, "serve", file, self.path, **about)
        grown: dict[str, int] = reply["grown"]
        return grown

    def open(self) -> OpenIndex:
        """Open the index in this process."""
        file = self.corpus.file
        queries = self.corpus.queries
        if self.is_own:
            search = own.open_search(file, self.made, self.path)
            about = {"spec": self.made["spec"]}
        else:
            search = plain_faiss.make_search(plain_faiss.load_index(self.index, self.path), file, self.made["setting"])
            about = dict(self.made["setting"])
        return OpenIndex(
            self.name,
            self.keys,
            about,
            single_query(search),
            queries,
            lambda: search(queries, K),
            lambda m: search(queries[:m], K),
            self.corpus.recall,
            not self.group.is_back_projected,
            self.group.is_ours,
            search,
        )


def vector_indexes(groups: Sequence[IndexGroup], n: int, work: Path, *, rebuild: bool) -> Iterator[VectorIndex]:
    """Write the vectors of all groups at one size, and yield their indexes, not yet built."""
    for group in groups:
        corpus = Corpus(group, n, work, rebuild=rebuild)
        for index in group.indexes:
            yield VectorIndex(group, index, corpus)
