"""The limits of extraction, and what it returns."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hpdsearch.corpus.headings import SEPARATOR
from hpdsearch.errors import CorpusError


@dataclass(frozen=True, slots=True)
class ExtractionLimits:
    """The limits for one file; a file that exceeds one is not read.

    Attributes:
        seconds: time for a file, and for each message of a mailbox.
        memory_bytes: address space of the worker process.
        file_bytes: size of a file on disk; a mailbox is read message by message and may be larger.
        unpacked_bytes: size of the unpacked files of an archive (.docx, .pptx, .xlsx, .odt, .epub), all together.
        entries: number of files in an archive.
        characters: length of the text of a document.
    """

    seconds: float = 120.0
    memory_bytes: int = 2 << 30
    file_bytes: int = 512 << 20
    unpacked_bytes: int = 1 << 30
    entries: int = 20_000
    characters: int = 50_000_000


@dataclass(slots=True)
class Extraction:
    """A document as it was extracted.

    Attributes:
        title: its title, or "".
        text: its text.
        locations: (first character, label) of the parts of the text, ascending: "page 3", "slide 2".
        metadata: other fields, JSON values.
        problem: why a message of a mailbox cannot be read; the others can. "": it is read.
    """

    title: str
    text: str
    locations: list[tuple[int, str]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


class ExtractionError(CorpusError):
    """A file cannot be extracted; the message does not name it, because the reader does."""


def describe_error(error: Exception) -> str:
    """Return what was expected of a damaged file, and the error of its library, on one line."""
    if isinstance(error, ExtractionError):
        return str(error)
    message = " ".join(str(error).split())
    name = type(error).__name__
    return f"expected a complete file, got a damaged or other one ({f'{name}: {message[:200]}' if message else name})"


class PartsJoiner:
    """Joins the parts of a text with blank lines, and notes where each of them begins."""

    def __init__(self, limits: ExtractionLimits) -> None:
        self._limits = limits
        self._parts: list[str] = []
        self._length = 0
        self._locations: list[tuple[int, str]] = []

    def add(self, text: str, label: str, inner: Iterable[tuple[int, str]] = ()) -> None:
        """Append a part; a blank one is left out. `inner` are the locations in the text, which begins with no space.

        Raises:
            ExtractionError: the text becomes longer than the limit.
        """
        text = text.strip()
        if not text:
            return
        if self._parts:
            self._length += len("\n\n")
        if label != (self._locations[-1][1] if self._locations else ""):
            self._locations.append((self._length, label))
        self._locations += [(self._length + start, name) for start, name in inner]
        self._parts.append(text)
        self._length += len(text)
        if self._length > self._limits.characters:
            raise ExtractionError(
                f"expected a text of at most {self._limits.characters:,} characters, got a longer one; split the file"
            )

    def finish(self, title: str = "", metadata: dict[str, Any] | None = None) -> Extraction:
        """Return the document; a label "" at the beginning is left out."""
        return Extraction(" ".join(title.split()), "\n\n".join(self._parts), self._locations, metadata or {})


class HeadingPath:
    """The headings above a paragraph: "Install > From source"."""

    def __init__(self) -> None:
        self._headings: list[tuple[int, str]] = []

    def enter(self, level: int, heading: str) -> None:
        """Begin the section of a heading; 1 is the highest level."""
        heading = " ".join(heading.split())
        self._headings = [(above, text) for above, text in self._headings if above < level]
        if heading:
            self._headings.append((level, heading))

    def __str__(self) -> str:
        return SEPARATOR.join(text for _, text in self._headings)
