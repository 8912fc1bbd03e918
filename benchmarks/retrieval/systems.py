"""The indexes of the retrieval benchmark: which encoder, width and index type; building, serving, opening."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval import faiss_baselines as alone
from benchmarks.retrieval.vectors import BackProjectedTexts, EncodedTexts, open_vectors
from benchmarks.scale import systems as own
from benchmarks.scale.recall import K, Rows, recalls, tenth_scores
from benchmarks.scale.timing import single_query
from hpdsearch.common.vectors import Matrix
from hpdsearch.dense import VectorFile

TEACHER = "teacher"
OF_TEACHER = (alone.FLAT, alone.LISTS, alone.BYTES, alone.BITS)
# At the narrowest width every kind and codec; at the others what is chosen without being asked for, and what is exact.
ALL = (alone.FLAT, "flat sq8", "flat pq", "flat rabitq", "ivf sq8", "ivf pq", "ivf rabitq")
CHOSEN = (alone.FLAT, "flat sq8", "flat pq", "ivf pq")
OF_OTHERS = (alone.FLAT, "flat pq")
OF_PEERS = (alone.FLAT,)
SERVED_SECONDS = 3.0  # of questions asked for the memory
SERVED = 1000  # questions, if they take no longer


@dataclass(frozen=True)
class IndexGroup:
    """An encoder at one width, and its indexes.

    Attributes:
        label: in the names of its systems.
        dim: dimensions to keep.
        indexes: their names.
        is_ours: of hpdsearch: all but FLAT are its own indexes.
        is_lifted: the vectors are another encoder's, in the teacher's width.
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
        name: in full; keys: what else finds its measurements; about: its settings.
        ask: asks one of the questions.
        questions: as `ask` takes them.
        find: gives the rows (m, K) that all questions find, -1 for none.
        ask_first: asks the first so many questions at once; None: it cannot.
        recall: ann_recall@10 of these rows; None: not an index of vectors.
        is_judged: its hits can be judged.
        is_ours: of hpdsearch.
        search: vectors (m, dim), n -> rows (m, n); None: not an index of vectors.
    """

    name: str
    keys: dict[str, Any]
    about: dict[str, Any]
    ask: Callable[[Any], object]
    questions: Sequence[Any]
    find: Callable[[], Rows]
    ask_first: Callable[[int], object] | None = None
    recall: Callable[[Rows], float] | None = None
    is_judged: bool = True
    is_ours: bool = True
    search: Callable[[Matrix, int], Rows] | None = None


class Corpus:
    """The vectors of a group's first n documents: their file, the questions, and what exact search finds."""

    def __init__(self, group: IndexGroup, n: int, work: Path, *, rebuild: bool) -> None:
        self.file: VectorFile = open_vectors(group.vectors, n, group.dim, work, rebuild=rebuild)
        self.questions = group.vectors.questions(group.dim)
        self.queries_path = self.file.path.with_suffix(".questions.npy")
        np.save(self.queries_path, np.resize(self.questions, (SERVED, group.dim)))

    @cached_property
    def tenth(self) -> Matrix:
        """The exact score (m,) of each question's tenth nearest."""
        return tenth_scores(own.iterate_blocks(self.file), self.questions)

    def recall(self, found: Rows) -> float:
        """Return the ann_recall@10 of the rows (m, K) that the questions found."""
        return recalls(found, self.questions, self.file.rows, self.tenth)[0]


class VectorIndex:
    """One index of one group at one size, in a file of its own.

    Attributes:
        name: in full; keys: what else finds its measurements.
        made: what building it said.
    """

    def __init__(self, group: IndexGroup, index: str, corpus: Corpus) -> None:
        self.group, self.index, self.corpus = group, index, corpus
        self.name = f"{group.label}, {group.dim}, {index}"
        kind, codec = index.split()
        self.keys = {"encoder": group.vectors.name, "dim": group.dim, "index": index, "kind": kind, "codec": codec}
        self.keys |= {"lifted": True} if group.is_back_projected else {}
        self.is_own = group.is_ours and index != alone.FLAT
        self.path = corpus.file.path.with_name(f"{corpus.file.path.stem}-{index.replace(' ', '-')}.faiss")
        self.made: dict[str, Any] = {}

    @property
    def needs_vectors(self) -> bool:
        """Whether searching scores candidates again from the vectors file."""
        return self.is_own or self.index == alone.BITS

    def build(self, *, rebuild: bool) -> None:
        """Build the file in a process of its own, unless it is there."""
        if self.is_own:
            self.made = own.build_own(self.corpus.file, own.SPECS[self.index], self.path, rebuild=rebuild)
        else:
            self.made = own.build_in_process(
                alone.MODULE, self.corpus.file, self.path, rebuild=rebuild, kind=self.index
            )

    def serve(self) -> dict[str, int]:
        """Open and ask it in a process of its own; return by how many bytes its resident memory grew."""
        file, queries = self.corpus.file, self.corpus.queries_path
        if self.is_own:
            said = own.serve_own(file, self.made, self.path, queries, seconds=SERVED_SECONDS)
        else:
            about = {"kind": self.index, "setting": self.made["setting"]}
            about |= {"queries": str(queries), "seconds": SERVED_SECONDS}
            said = own.run_in_process(alone.MODULE, "serve", file, self.path, **about)
        grown: dict[str, int] = said["grown"]
        return grown

    def open(self) -> OpenIndex:
        """Open it in this process."""
        file, questions = self.corpus.file, self.corpus.questions
        if self.is_own:
            search = own.open_own(self.name, file, self.made, self.path, None).search
            about = {"spec": self.made["spec"]}
        else:
            search = alone.make_search(alone.load_index(self.index, self.path), file, self.made["setting"])
            about = dict(self.made["setting"])
        return OpenIndex(
            self.name,
            self.keys,
            about,
            single_query(search),
            questions,
            lambda: search(questions, K),
            lambda m: search(questions[:m], K),
            self.corpus.recall,
            not self.group.is_back_projected,
            self.group.is_ours,
            search,
        )


def vector_indexes(groups: Sequence[IndexGroup], n: int, work: Path, *, rebuild: bool) -> Iterator[VectorIndex]:
    """Yield the indexes of all groups at one size; the vectors are written, the indexes not yet built."""
    for group in groups:
        corpus = Corpus(group, n, work, rebuild=rebuild)
        for index in group.indexes:
            yield VectorIndex(group, index, corpus)
