"""The headings above a passage: they are encoded and indexed with it, behind the document's title.

A passage of a long document often does not say what it is about; the headings of its section do
(docs/decisions/0066-documents.md).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from hpdsearch.records import Document, Passage

SEPARATOR = " > "  # between the headings of a location: "Install > From source"


class PassageTitles:
    """Returns the title of each passage of a document: that of the document, and the headings above the passage.

    Attributes:
        title: the document's title, "" if it is blank or equal to the text.
        headings: the headings that some passages may have, without repetition.
    """

    def __init__(self, document: Document) -> None:
        """Find the headings among the locations: the text of a section begins with its heading, that of a page not."""
        title = document.title
        self._text = document.text
        self.title = "" if not title or title.isspace() or title == document.text else title
        self._starts: list[int] = []
        self._paths: list[list[str]] = []
        for start, label in document.locations:
            path = label.split(SEPARATOR)
            end = document.text.find("\n", start)
            line = document.text[start : end if end >= 0 else None]
            self._starts.append(start)
            self._paths.append(path if path[-1] and path[-1] in " ".join(line.split()) else [])
        above = (self._join(part) for path in self._paths for part in (path, path[:-1]))
        self.headings = list(dict.fromkeys(filter(None, above)))

    def heading(self, start: int) -> str:
        """Return the headings above the passage that begins at a character of the text, "" if there are none.

        A heading with which the passage begins is left out.
        """
        part = bisect_left(self._starts, start + 1) - 1
        if part < 0:
            return ""
        path = self._paths[part]
        return self._join(path[:-1] if self._starts[part] == start else path)

    def before(self, start: int) -> str:
        """Return title and headings of the passage that begins at a character of the text."""
        return join_title(self.title, self.heading(start))

    def passages(self, passages: Iterable[Passage]) -> Iterator[tuple[str, str]]:
        """Yield title and text of passages, as the lexical index has them."""
        for passage in passages:
            yield self.before(passage.start), self._text[passage.start : passage.end]

    def _join(self, path: Sequence[str]) -> str:
        """Return headings as one text, without the title of the document."""
        return SEPARATOR.join(path[1:] if path and path[0] == self.title else path)


def join_title(title: str, heading: str) -> str:
    """Return title and headings as one text; each of them may be empty."""
    return f"{title}{SEPARATOR}{heading}" if title and heading else title or heading
