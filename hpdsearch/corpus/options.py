"""What a caller says about a corpus (Fields, LineFormat) and learns while it is read (ReadStats)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class LineFormat(Enum):
    """How the lines of a file, or of standard input, hold documents."""

    TXT = "txt"  # one text a line
    JSONL = "jsonl"  # one JSON object a line
    CSV = "csv"  # a header, then one record a document
    TSV = "tsv"  # the same with tabs


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a JSON object, CSV or Parquet row hold what; all others become metadata.

    Attributes:
        id_field: the doc_id, a string or an integer; None: "id" or "_id" where there is one, else `file:line`.
        text_field: the text, a string; required.
        title_field: the title, a string. "title" may be missing; another name must occur in the file.
    """

    id_field: str | None = None
    text_field: str = "text"
    title_field: str = "title"

    @property
    def title_is_required(self) -> bool:
        """Whether the user named the title's field, so that its absence is an error."""
        return self.title_field != "title"


@dataclass(slots=True)
class ReadStats:
    """What has been read so far; the numbers move while the documents are consumed.

    Attributes:
        n_documents: documents handed out.
        n_empty: documents skipped because neither text nor title holds anything.
        other_files: files of a folder that are not read, counted by ending (".pdf"; "" for none).
        n_hidden: files and folders skipped because their name begins with a dot.
        n_links: symbolic links not followed, because they lead to a folder or to nothing.
        bytes_total: size on disk of all files; None if standard input is among them.
    """

    n_documents: int = 0
    n_empty: int = 0
    other_files: Counter[str] = field(default_factory=Counter)
    n_hidden: int = 0
    n_links: int = 0
    bytes_total: int | None = 0
    bytes_before: int = field(default=0, repr=False)  # sizes of the files that are read to their end
    position: Callable[[], int] | None = field(default=None, repr=False)  # bytes on disk read of the present file

    @property
    def bytes_read(self) -> int:
        """Bytes on disk read so far, 0..bytes_total; also for compressed files."""
        return self.bytes_before + (self.position() if self.position else 0)
