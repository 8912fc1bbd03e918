"""The records that pass between the folders: documents, passages, hits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """The unit that is indexed and found.

    Attributes:
        doc_id: the user's id, unique in an index.
        text: the text to search; never empty in an index.
        title: indexed and shown with every passage; may be empty.
        metadata: other fields, JSON values, for filters and display.
        source: where it comes from: the absolute real path of its file, with `:17` for a line; `stdin:17` for a line of
            standard input; empty for documents from the Python API.
    """

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document's text: its characters start <= i < end."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One document of a search result.

    Attributes:
        doc_id: the user's id.
        score: higher is better. Cosine in [-1, 1] in mode dense, BM25 in mode lexical, their convex combination in mode
            hybrid (hpdsearch.search.fusion).
        title: the document's title, or "".
        text: the document's text.
        passage: the passage with the best score.
        highlights: (start, end) characters of the tokens in `passage` that the query contains, ascending.
        metadata: the document's other fields.
    """

    doc_id: str
    score: float
    title: str
    text: str
    passage: str
    highlights: tuple[tuple[int, int], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
