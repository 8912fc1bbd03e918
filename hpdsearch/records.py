"""The records that pass between the folders: documents, passages, hits."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Document:
    """The unit that is indexed and found.

    Attributes:
        doc_id: the user's id, unique in an index. An integer, also of numpy or pyarrow, becomes a string.
        text: the text to search; never empty in an index.
        title: indexed and shown with every passage; may be empty; None becomes "".
        metadata: other fields, JSON values, for filters and display.
        source: where it comes from: the absolute real path of its file, with `:17` for a line; `stdin:17` for a line of
            standard input; empty for documents from the Python API.
        locations: (first character, label) of the parts of the text, ascending: "page 3", "Install > From source". They
            name the place of a hit; a part without a name has the label "".
    """

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    locations: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        """Make strings of an integer doc_id and of a title that is None."""
        if type(self.doc_id) is not str:
            object.__setattr__(self, "doc_id", integer_to_id(self.doc_id))
        if self.title is None:
            object.__setattr__(self, "title", "")


def integer_to_id(value: Any) -> Any:
    """Return an integer of Python, numpy or pyarrow as a string; other values unchanged.

    A float stays one, and is refused later: 1.0 may stand for the id "1" or for "1.0", and floats round long integers.
    """
    if isinstance(value, str | bool):
        return value
    try:
        return str(operator.index(value))
    except TypeError:
        return value


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document's text: its characters start <= i < end."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class EncodedDocument(Document):
    """A document with its passages and their vectors: `Index.build`, `add` and `update` do not encode it.

    Attributes:
        passages: parts of the text, ascending; none: one passage, the whole text.
        vectors: of the passages, float (n_passages, dim), rows of unit length.
        space: id of the space of the vectors, which must be that of the index.
    """

    passages: tuple[Passage, ...] = ()
    vectors: "np.ndarray | None" = field(default=None, compare=False)
    space: str = ""

    def __post_init__(self) -> None:
        """Take the whole text as the passage if none is given."""
        Document.__post_init__(self)  # super() without arguments fails in a dataclass with slots
        if not self.passages and isinstance(self.text, str):
            object.__setattr__(self, "passages", (Passage(0, len(self.text)),))


@dataclass(frozen=True, slots=True)
class MatchedWord:
    """A word of a query that a document holds.

    Attributes:
        word: the word as the query writes it.
        weight: its part of the document's BM25 score.
    """

    word: str
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of a hit's score, whatever the mode of the search is.

    Attributes:
        dense_rank: place in the ranking by cosine, from 1; None beyond its first max(k, 30) documents.
        cosine: cosine of the query and the document's nearest passage.
        lexical_rank: place in the ranking by BM25, from 1; None beyond its first max(k, 30) documents.
        bm25: BM25 score of the document's best passage, with the title; 0 if it shares no word with the query.
        best_bm25: the largest BM25 score of the query; 0 if no document shares a word with it.
        coverage: the part of the query that this passage holds, in 0..1: the inverse document frequencies (idf) of its
            words, divided by those of all words of the query that the index knows.
        words: the words that match, largest weight first; the weights add up to `bm25`.
        bonus: added to the hybrid score, because the document holds an identifier or rare words of the query; 0 if not.
        sentence: the sentence of the hit's passage that is nearest to the query.
        sentence_cosine: cosine of the query and that sentence.
    """

    dense_rank: int | None
    cosine: float
    lexical_rank: int | None
    bm25: float
    best_bm25: float
    coverage: float
    words: tuple[MatchedWord, ...]
    bonus: float
    sentence: str
    sentence_cosine: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One document of a search result.

    Attributes:
        doc_id: the user's id.
        score: higher is better. Cosine in [-1, 1] in mode dense, BM25 in mode lexical, a convex combination of both and
            the coverage in mode hybrid, larger by 1 with identifiers (hpdsearch.search.fusion).
        title: the document's title, or "".
        text: the document's text.
        passage: the passage with the best score.
        highlights: (start, end) characters of the tokens in `passage` that the query contains, ascending.
        metadata: the document's other fields.
        explanation: the parts of the score, if the search was asked to explain.
        location: the place of the passage in the document: "page 3", "slide 2", "sheet Costs", "Install > From source",
            "cell 7", "line 120"; empty where it is unknown.
    """

    doc_id: str
    score: float
    title: str
    text: str
    passage: str
    highlights: tuple[tuple[int, int], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    explanation: Explanation | None = None
    location: str = ""


class Hits(list[Hit]):
    """The hits of a search on a cluster, best first.

    Attributes:
        missing_shards: shards that did not answer in time; if there is one, the hits are those of the others.
    """

    def __init__(self, hits: Iterable[Hit] = (), missing_shards: Sequence[str] = ()) -> None:
        """Take hits, and the names of the missing shards."""
        super().__init__(hits)
        self.missing_shards = tuple(missing_shards)

    @overload
    def __getitem__(self, place: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> "Hits": ...
    def __getitem__(self, place: SupportsIndex | slice) -> "Hit | Hits":
        """Return a hit, or some of them with the missing shards."""
        return (
            Hits(super().__getitem__(place), self.missing_shards)
            if isinstance(place, slice)
            else super().__getitem__(place)
        )


def describe_hit(rank: int, hit: Hit, *, full: bool = False) -> dict[str, Any]:
    """Return one hit as JSON values, with the full text of the document only if it is asked for."""
    described = {
        "rank": rank,
        "doc_id": hit.doc_id,
        "score": hit.score,
        "title": hit.title,
        "location": hit.location,
        "passage": hit.passage,
        "highlights": [list(span) for span in hit.highlights],
        "text": hit.text,
        "metadata": dict(hit.metadata),
    }
    if not full:
        del described["text"]
    if hit.explanation is not None:
        described["explanation"] = asdict(hit.explanation)
    return described


def describe_answer(
    query_id: str, text: str, hits: Sequence[Hit], milliseconds: float, *, full: bool = False, offset: int = 0
) -> dict[str, Any]:
    """Return the answer to one query as JSON values.

    Args:
        query_id: the query's id.
        text: the query.
        hits: those that are shown, best first.
        milliseconds: time of the search; of several queries, their mean.
        full: show the text of each document.
        offset: better hits that are left out.
    """
    ranked = [describe_hit(rank, hit, full=full) for rank, hit in enumerate(hits, start=offset + 1)]
    described = {"query_id": query_id, "query": text, "milliseconds": round(milliseconds, 3), "hits": ranked}
    return described | _describe_missing(hits)


def _describe_missing(hits: Sequence[Hit]) -> dict[str, Any]:
    """Return the shards that did not answer; nothing for an index that is not on a cluster."""
    return {"missing_shards": list(hits.missing_shards)} if isinstance(hits, Hits) else {}


def describe_like(
    doc_id: str, hits: Sequence[Hit], milliseconds: float, *, full: bool = False, offset: int = 0
) -> dict[str, Any]:
    """Return the documents like one of the index as JSON values; the rest is as in `describe_answer`."""
    ranked = [describe_hit(rank, hit, full=full) for rank, hit in enumerate(hits, start=offset + 1)]
    return {"like": doc_id, "milliseconds": round(milliseconds, 3), "hits": ranked} | _describe_missing(hits)
