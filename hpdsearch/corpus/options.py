"""Options of reading a corpus (ReadOptions, Fields, LineFormat) and its counters (ReadStats)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from hpdsearch.corpus.encodings import UTF8, normalize_encoding
from hpdsearch.corpus.extraction.limits import ExtractionLimits
from hpdsearch.corpus.lines import Decoding
from hpdsearch.corpus.patterns import PathFilter
from hpdsearch.corpus.skipping import OnError, Skipped
from hpdsearch.errors import CorpusError


class LineFormat(Enum):
    """The format of the records of a file or of standard input."""

    TXT = "txt"  # one text per line
    JSONL = "jsonl"  # one JSON object per line
    JSON = "json"  # an array of JSON objects, or one object after the other
    CSV = "csv"  # a header, then one record per document
    TSV = "tsv"  # the same with tabs


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a JSON object, CSV or Parquet row that hold id, text and title; all others become metadata.

    Dots lead into nested objects: "body.text". A field that is literally named so comes first.

    Attributes:
        id_field: field of the doc_id, a string or an integer. None: "id" or "_id" if the record has one; otherwise the
            doc_id is `file:line`.
        text_field: field of the text, a required string.
        title_field: field of the title, a string. "title" may be missing; any other name must occur in the file.
    """

    id_field: str | None = None
    text_field: str = "text"
    title_field: str = "title"

    @property
    def title_is_required(self) -> bool:
        """Whether the user named the title field, so that its absence is an error."""
        return self.title_field != "title"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files and standard input are read.

    Attributes:
        fields: the fields of JSON, CSV and Parquet records that hold id, text and title.
        stdin_format: format of standard input and of other streams whose names have no ending.
        delimiter: character between the cells of .csv and .tsv; None: a comma, a tab.
        quoting: whether a double quote at the start of a cell quotes it; None: in .csv, not in .tsv.
        typed: read numbers, booleans and blanks of .csv and .tsv as such; False: all cells are strings.
        columns: the only fields that become metadata; empty: all fields.
        exclude_columns: fields that are not read.
        encoding: of all files and streams without a byte order mark, such as "latin-1"; None: UTF-8, and for HTML what
            the page declares. Parquet has its own.
        on_error: what a record, line or file that cannot be read does: STOP raises an error, SKIP leaves out the
            smallest part that can be left out, and `ReadStats.skipped` names it. A PDF, Office file or other document
            that cannot be extracted is left out in both cases.
        include: patterns as in .gitignore; of a folder, only files that match one of them are read. Empty: all.
        exclude: patterns as in .gitignore; files and folders inside a folder that match one of them are not read.
        limits: time, memory and sizes of extracting a PDF, Office file or other document.
    """

    fields: Fields = field(default_factory=Fields)
    stdin_format: LineFormat = LineFormat.TXT
    delimiter: str | None = None
    quoting: bool | None = None
    typed: bool = True
    columns: tuple[str, ...] = ()
    exclude_columns: tuple[str, ...] = ()
    encoding: str | None = None
    on_error: OnError = OnError.STOP
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limits: ExtractionLimits = field(default_factory=ExtractionLimits)

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            CorpusError: an option is invalid, or two options contradict each other.
        """
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise CorpusError(f"--delimiter: expected one character that is no quote, got {self.delimiter!r}")
        if self.columns and self.exclude_columns:
            raise CorpusError("--columns and --exclude-columns: expected one of them, got both")
        if self.fields.text_field in self.exclude_columns:
            raise CorpusError(f'--exclude-columns: expected fields without the text, got "{self.fields.text_field}"')
        for option, name in (("--id-field", self.fields.id_field), ("--title-field", self.fields.title_field)):
            if name in self.exclude_columns and name != Fields().title_field:
                raise CorpusError(f'--exclude-columns and {option}: expected different fields, got "{name}" in both')
        PathFilter(self.include, self.exclude)
        if self.encoding is not None:
            try:
                normalize_encoding(self.encoding)
            except CorpusError as error:
                raise CorpusError(f"--encoding: {error}") from None

    @property
    def decoding(self) -> Decoding:
        """How bytes become text."""
        encoding = UTF8 if self.encoding is None else normalize_encoding(self.encoding)
        return Decoding(encoding, defers_errors=self.on_error is OnError.SKIP, is_an_option=True)


@dataclass(slots=True)
class ReadStats:
    """Counters that are updated while the documents are consumed.

    Attributes:
        n_documents: documents that were yielded.
        n_empty: documents skipped because text and title are blank.
        other_files: number of a folder's files that are not read, by ending (".pdf"; "" for none).
        n_hidden: files and folders skipped because their names begin with a dot.
        n_excluded: files and folders of a folder that `ReadOptions.include` and `exclude` leave out.
        n_binary: files of a folder skipped because they are named like source code and hold binary data.
        n_multiline_cells: quoted cells of tables that contain a line end.
        n_links: symbolic links that are not followed: they lead to a folder, or to nothing.
        loops: the part of these links that lead to themselves or to a folder above them.
        n_repeated: files that were named before, by whatever names; a file is read once.
        n_left_out: files that an update did not read, because they are as they were (CorpusReader.leave_out).
        skipped: what could not be read and was left out.
        locations_read: the files that were read to their end (hpdsearch.corpus.locations).
        locations_skipped: the files and folders of which something was left out.
        bytes_total: size of all files on disk; None if standard input is among them.
    """

    n_documents: int = 0
    n_empty: int = 0
    other_files: Counter[str] = field(default_factory=Counter)
    n_hidden: int = 0
    n_excluded: int = 0
    n_binary: int = 0
    n_multiline_cells: int = 0
    n_links: int = 0
    loops: list[str] = field(default_factory=list)
    n_repeated: int = 0
    n_left_out: int = 0
    skipped: Skipped = field(default_factory=Skipped)
    locations_read: set[str] = field(default_factory=set, repr=False)
    locations_skipped: set[str] = field(default_factory=set, repr=False)
    bytes_total: int | None = 0
    bytes_before: int = field(default=0, repr=False)  # size of the files that are read completely
    columns_seen: set[str] = field(default_factory=set, repr=False)  # of ReadOptions.columns and exclude_columns
    position: Callable[[], int] | None = field(default=None, repr=False)  # bytes on disk read of the current file

    @property
    def bytes_read(self) -> int:
        """Bytes on disk read so far, 0..bytes_total; compressed bytes of compressed files."""
        return self.bytes_before + (self.position() if self.position else 0)
