"""The records that travel through hpdsearch: what is read, what is encoded, what is found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """One unit that is found.

    Attributes:
        doc_id: the user's id, unique in an index.
        text: what is searched; never empty in an index.
        title: shown and searched with every passage; may be empty.
        metadata: further fields, JSON values, for filters and display.
        source: where it was read, `corpus.jsonl:17`; empty if it came from the Python API.
    """

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document's text: the characters start <= i < end."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found.

    Attributes:
        doc_id: the user's id.
        score: higher is better. mode dense: cosine in [-1, 1]; lexical: BM25; hybrid: 0.8 cosine + 0.2 BM25 / its best.
        title: the document's title, or "".
        text: the document's whole text.
        passage: the part of the text that matched best.
        highlights: (start, end) characters of `passage` that share a word with the query, ascending.
        metadata: the document's further fields.
    """

    doc_id: str
    score: float
    title: str
    text: str
    passage: str
    highlights: tuple[tuple[int, int], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
