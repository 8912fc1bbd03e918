"""The sources that a path stands for: a file, the files of a folder, or standard input."""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import blake2b
from pathlib import Path

from hpdsearch.corpus.encodings import find_bom_encoding
from hpdsearch.corpus.locations import (
    STDIN,
    STREAM_NAME,
    extend_left,
    find_ending,
    find_location,
    number_stream,
)
from hpdsearch.corpus.options import LineFormat, ReadOptions, ReadStats
from hpdsearch.corpus.patterns import PathFilter
from hpdsearch.errors import CorpusError

LINE_ENDINGS = {f".{line_format.value}": line_format for line_format in LineFormat} | {".ndjson": LineFormat.JSONL}
HTML_ENDINGS = {".html", ".htm"}
CODE_ENDINGS = {
    *(".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".java", ".kt", ".kts", ".scala", ".groovy", ".c"),
    *(".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".cs", ".go", ".rs", ".swift", ".rb", ".php", ".pl", ".pm", ".lua"),
    *(".r", ".jl", ".hs", ".ml", ".ex", ".exs", ".erl", ".clj", ".dart", ".zig", ".nim", ".f90", ".sh", ".bash"),
    *(".zsh", ".ps1", ".sql", ".proto", ".tex"),
}
PAGE_ENDINGS = {".md", ".rst"} | HTML_ENDINGS | CODE_ENDINGS
MAILBOX_ENDING = ".mbox"
DOCUMENT_ENDINGS = {".pdf", ".docx", ".pptx", ".xlsx", ".odt", ".epub", ".eml", ".ipynb", MAILBOX_ENDING}
FOLDER_ENDINGS = {".txt"} | PAGE_ENDINGS | DOCUMENT_ENDINGS
PARQUET_ENDING = ".parquet"
BINARY_WITHIN = 1 << 13  # bytes; source code holds no NUL
RefusePath = Callable[[CorpusError, str], None]  # raises the error of a path, or counts it
KNOWN = ".txt .jsonl .ndjson .json .csv .tsv .md .rst .html .htm (each also with .gz), .parquet, "
KNOWN += " ".join(sorted(DOCUMENT_ENDINGS)) + ", an ending of source code, or a folder"


class SourceType(Enum):
    """The way in which a file holds documents."""

    LINES = auto()
    PAGE = auto()  # the file is one document
    PARQUET = auto()
    DOCUMENT = auto()  # a process of its own extracts it (hpdsearch.corpus.extraction)


@dataclass(slots=True)
class Source:
    """One file to read.

    Attributes:
        name: the path as the user wrote it, folder included; for messages.
        location: identity of the file or stream (hpdsearch.corpus.locations).
        doc_id: doc_id of a page, and the beginning of the doc_ids of lines. It is an ending of `location`: for a file
            in a folder its path inside the folder, for a file that the user named the path as written.
        path: the file; None for standard input.
        ending: the ending of the name in lower case, without .gz.
        is_stream: it can be read only once: standard input, a FIFO, a device.
        size: bytes on disk; 0 for a stream.
        modified_ns: time of the last change, in nanoseconds since 1970.
        content: 64 bits that are equal for equal bytes, of a document that was extracted; 0: unknown.
    """

    name: str
    location: str
    doc_id: str
    path: Path | None
    kind: SourceType
    ending: str
    is_gzip: bool = False
    is_stream: bool = False
    size: int = 0
    modified_ns: int = 0
    content: int = 0

    @property
    def line_format(self) -> LineFormat:
        """The format of the lines, if kind is LINES."""
        return LINE_ENDINGS[self.ending]

    @property
    def may_be_bad(self) -> bool:
        """Whether folders nearly always hold some such files that cannot be read: documents and source code."""
        return self.kind is SourceType.DOCUMENT or self.ending in CODE_ENDINGS

    @property
    def is_one_document(self) -> bool:
        """Whether the file is one document, and no list of records or messages."""
        return self.kind in (SourceType.PAGE, SourceType.DOCUMENT) and self.ending != MAILBOX_ENDING


def find_sources(names: Iterable[str], options: ReadOptions, stats: ReadStats) -> list[Source]:
    """Return the sources of several paths, in their order.

    A file that is named twice, by whatever names, is one source, as named first. Two streams are two sources.
    Different files have different doc_ids: equal ones are extended to the left.

    Raises:
        CorpusError: a path is missing, unreadable or of an unknown type, and errors stop.
    """

    def refuse(error: CorpusError, path: str) -> None:
        stats.skipped.add_or_raise(error, options.on_error)
        stats.locations_skipped.add(find_location(path))

    sources: dict[str, Source] = {}
    n_streams = 0
    for name in names:
        try:
            named = find_named_sources(name, options, stats, refuse)
        except CorpusError as error:
            refuse(error, name)
            continue
        for source in named:
            if source.is_stream:
                n_streams += 1
                source.location = source.doc_id = number_stream(n_streams)
            if source.location in sources:
                stats.n_repeated += 1
            sources.setdefault(source.location, source)
    separate_doc_ids(sources.values())
    return list(sources.values())


def separate_doc_ids(sources: Iterable[Source]) -> None:
    """Extend equal doc_ids of different files to the left, all of them alike, until they differ."""
    by_id: dict[tuple[str, bool], list[Source]] = {}
    pending = list(sources)
    while pending:
        for source in pending:
            by_id.setdefault((source.doc_id, source.is_one_document), []).append(source)
        equal = [group for group in by_id.values() if len(group) > 1]
        pending = [source for group in equal for source in group]
        for group in equal:
            del by_id[group[0].doc_id, group[0].is_one_document]
        for source in pending:
            source.doc_id = extend_left(source.doc_id, source.location)


def find_named_sources(name: str, options: ReadOptions, stats: ReadStats, refuse: RefusePath) -> list[Source]:
    """Return the sources of one path; those of a folder are sorted by their path inside it.

    Args:
        name: the path.
        options: the format of streams whose names have no ending, and patterns for the files of a folder.
        stats: counts what is not read.
        refuse: takes the errors of files and folders inside a folder.

    Raises:
        CorpusError: the path is missing, unreadable or of an unknown type.
    """
    stream_ending = f".{options.stdin_format.value}"
    if name == "-":
        return [Source(STDIN, STDIN, STDIN, None, SourceType.LINES, stream_ending, is_stream=True)]
    path = Path(name)
    try:
        status = path.stat()
    except OSError as error:
        raise CorpusError(f"{name}: expected a file or folder, got: {error.strerror}; check the path") from None
    if stat.S_ISDIR(status.st_mode):
        return sorted(find_folder_sources(name, options, stats, refuse), key=lambda source: source.doc_id.split("/"))
    is_stream = not stat.S_ISREG(status.st_mode) or STREAM_NAME.fullmatch(name) is not None
    ending, is_gzip = split_ending(name)
    if is_stream and ending not in (*LINE_ENDINGS, *PAGE_ENDINGS, PARQUET_ENDING):
        ending = stream_ending
    if ending in LINE_ENDINGS:
        kind = SourceType.LINES
    elif ending in PAGE_ENDINGS:
        kind = SourceType.PAGE
    elif ending == PARQUET_ENDING and not is_gzip:
        kind = SourceType.PARQUET
    elif ending in DOCUMENT_ENDINGS and not is_gzip and not is_stream:
        kind = SourceType.DOCUMENT
    else:
        raise CorpusError(f'{name}: expected a file ending in {KNOWN}, got "{path.suffix}"')
    if is_stream:
        return [Source(name, STDIN, STDIN, path, kind, ending, is_gzip, is_stream=True)]
    location = find_location(name)
    doc_id = find_ending(name, location)
    return [Source(name, location, doc_id, path, kind, ending, is_gzip, False, status.st_size, status.st_mtime_ns)]


def find_folder_sources(folder: str, options: ReadOptions, stats: ReadStats, refuse: RefusePath) -> Iterator[Source]:
    """Yield the files of a folder that are one document each, and count the others.

    Links to files are followed. Links to folders are not, because a folder could be read twice.
    """
    root = find_location(folder).rstrip("/")
    chosen = PathFilter(options.include, options.exclude)

    def refuse_folder(error: OSError) -> None:  # os.walk would skip it silently
        refuse(
            CorpusError(f"{error.filename}: expected a readable folder, got: {error.strerror}"),
            os.fspath(error.filename),
        )

    for parent, folders, files in os.walk(folder, onerror=refuse_folder):
        inside_parent = Path(parent).relative_to(folder).as_posix()
        inside = "" if inside_parent == "." else f"{inside_parent}/"
        stats.n_hidden += sum(map(is_hidden, folders)) + sum(map(is_hidden, files))
        folders[:] = [name for name in folders if not is_hidden(name)]
        entered = [name for name in folders if chosen.enters(inside + name)]
        stats.n_excluded += len(folders) - len(entered)
        folders[:] = entered
        for name in folders:
            if (link := Path(parent, name)).is_symlink():  # os.walk does not enter it
                count_link(link, stats)
        for name in files:
            if is_hidden(name):
                continue
            if not chosen.accepts(inside + name):
                stats.n_excluded += 1
                continue
            if (source := find_file(Path(parent, name), inside + name, root, stats, refuse)) is not None:
                yield source


def find_file(path: Path, inside: str, root: str, stats: ReadStats, refuse: RefusePath) -> Source | None:
    """Return the source of a file of a folder, or count the file and return None.

    Args:
        path: the file.
        inside: its path inside the folder.
        root: location of the folder.
        stats: counts what is not read.
        refuse: takes an error.
    """
    ending, is_gzip = split_ending(path.name)
    try:
        status = path.lstat()
        is_link = stat.S_ISLNK(status.st_mode)
        if is_link:
            status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():  # any other file vanished just now
            count_link(path, stats)
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            count_link(path, stats)
        else:
            refuse(CorpusError(f"{path}: cannot be read: {error.strerror}"), str(path))
        return None
    is_document = ending in DOCUMENT_ENDINGS
    if ending not in FOLDER_ENDINGS or not stat.S_ISREG(status.st_mode) or (is_document and is_gzip):
        stats.other_files[path.suffix.lower()] += 1
        return None
    if ending in CODE_ENDINGS and not is_gzip and is_binary(path):
        stats.n_binary += 1
        return None
    if not is_utf8(inside):
        refuse(CorpusError(f"{os.fsencode(path)!r}: expected a file name in UTF-8; rename the file"), str(path))
        return None
    # Only links need the slow search; os.walk has entered none.
    location = find_location(str(path)) if is_link else f"{root}/{inside}"
    doc_id = find_ending(inside, location)
    kind = SourceType.DOCUMENT if is_document else SourceType.PAGE
    return Source(str(path), location, doc_id, path, kind, ending, is_gzip, False, status.st_size, status.st_mtime_ns)


def count_link(link: Path, stats: ReadStats) -> None:
    """Count a link that is not followed, and name it if it leads to itself or to a folder above it."""
    stats.n_links += 1
    try:
        is_loop = stat.S_ISDIR(link.stat().st_mode) and f"{find_location(str(link.parent))}/".startswith(
            f"{find_location(str(link)).rstrip('/')}/"
        )
    except OSError as error:
        is_loop = error.errno == errno.ELOOP
    if is_loop:
        stats.loops.append(str(link))


def split_ending(name: str) -> tuple[str, bool]:
    """Return a file name's ending, in lower case and without .gz, and whether it ends in .gz."""
    stem, ending = os.path.splitext(name.lower())  # noqa: PTH122  (half the time of Path, for folders of a million files)
    return (os.path.splitext(stem)[1], True) if ending == ".gz" else (ending, False)  # noqa: PTH122


def is_hidden(name: str) -> bool:
    """Return whether a leading dot hides a file or folder."""
    return name.startswith(".")


def is_binary(path: Path) -> bool:
    """Return whether a file of source code is binary: it begins with a NUL among text, and not as UTF-16 does.

    A file that cannot be read is not; its reader words the error.
    """
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(BINARY_WITHIN)
    except OSError:
        return False
    return b"\0" in head and find_bom_encoding(head) is None


def hash_content(path: Path) -> int:
    """Return 64 bits that are equal for equal contents of files, never 0.

    Raises:
        OSError: the file cannot be read.
    """
    digest = blake2b(digest_size=8)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return int.from_bytes(digest.digest(), "little", signed=True) or 1


def is_utf8(name: str) -> bool:
    """Return whether a file name is UTF-8; another one could not be stored."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
