"""The records that pass between the folders: documents, passages, hits."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    """

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

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
