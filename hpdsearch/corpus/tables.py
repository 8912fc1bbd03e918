"""Documents from the rows of .csv and .tsv files; the first row names the columns."""

import csv
from collections.abc import Iterator
from functools import partial
from typing import NoReturn

from hpdsearch.corpus.cells import type_cell
from hpdsearch.corpus.lines import SourceLocation, strip_line_end
from hpdsearch.corpus.options import Fields, ReadOptions, ReadStats
from hpdsearch.corpus.record import check_header, find_id_field, to_document
from hpdsearch.corpus.selection import list_wanted, require_columns
from hpdsearch.corpus.skipping import Refuse
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

LARGEST_CELL = 2**31 - 1  # characters: csv's default is 131,072; this is the largest C long on Windows
DELIMITERS = {",": "','", ";": "';'", "\t": r"'\t'", "|": "'|'"}  # as they are written after --delimiter
Row = tuple[str, list[str]]  # `file:line`, and the cells; no cell for a blank line


def read_csv(
    lines: Iterator[str], location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield one document per row below the header; the delimiter is a comma, and quotes may enclose a cell.

    Raises:
        CorpusError: header or row do not fit the fields, or the quoting is wrong.
    """
    is_quoted = options.quoting is not False
    return read_table(lines, location, options, stats, delimiter=options.delimiter or ",", is_quoted=is_quoted)


def read_tsv(
    lines: Iterator[str], location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield one document per row below the header; the delimiter is a tab, and quotes are characters like others.

    Raises:
        CorpusError: header or row do not fit the fields, or the quoting is wrong.
    """
    is_quoted = options.quoting is True
    return read_table(lines, location, options, stats, delimiter=options.delimiter or "\t", is_quoted=is_quoted)


def read_table(
    lines: Iterator[str],
    location: SourceLocation,
    options: ReadOptions,
    stats: ReadStats,
    *,
    delimiter: str,
    is_quoted: bool,
) -> Iterator[Document]:
    """Yield one document per row below the header."""
    fields = options.fields
    refuse = partial(stats.skipped.add_or_raise, on_error=options.on_error)
    if is_quoted:
        rows = read_quoted_rows(lines, location, delimiter, stats, refuse)
    else:
        rows = read_plain_rows(lines, location, delimiter)
    header = next(((where, row) for where, row in rows if row), None)
    if location.error is not None:
        raise location.take_error()
    if header is None:
        return
    columns = choose_columns(*header, options, delimiter)
    id_field = find_id_field([name for _, name, _ in columns], fields, header[0])
    n_cells = len(header[1])
    for where, row in rows:
        if not row:
            yield Document(where, "", "", {}, where)
            continue
        try:
            if location.error is not None:
                raise location.take_error()
            if len(row) != n_cells:
                raise_wrong_length(where, n_cells, len(row), is_quoted)
            record = {name: type_cell(row[i]) if is_typed else row[i] for i, name, is_typed in columns}
            document = to_document(record, id_field, fields, where)
        except CorpusError as error:
            refuse(error)
            continue
        yield document


def read_plain_rows(lines: Iterator[str], location: SourceLocation, delimiter: str) -> Iterator[Row]:
    """Yield the rows of a table in which a quote is a character like others, so that each line is a row."""
    for line in lines:
        content = strip_line_end(line)
        yield f"{location.name}:{location.line}", content.split(delimiter) if content else []


def read_quoted_rows(
    lines: Iterator[str], location: SourceLocation, delimiter: str, stats: ReadStats, refuse: Refuse
) -> Iterator[Row]:
    """Yield the rows of a table in which quotes may enclose a cell, and count the cells that span lines.

    Args:
        lines: of the file.
        location: follows the lines.
        delimiter: between the cells.
        stats: counts the cells that span lines.
        refuse: takes the error of a row whose quoting is wrong; if it returns, the row is skipped.

    Raises:
        CorpusError: the quoting of the header is wrong.
    """
    csv.field_size_limit(LARGEST_CELL)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    is_below_header = False
    while True:
        first_line = location.line + 1
        where = f"{location.name}:{first_line}"
        try:
            row = next(rows, None)
        except csv.Error as error:
            failure = describe_csv_error(error, where, location.line)
            if not is_below_header:
                raise failure from None
            refuse(failure)
            location.error = None  # it belongs to the same row
            continue
        if row is None:
            return
        if location.line > first_line:
            stats.n_multiline_cells += sum("\n" in cell for cell in row)
        is_below_header = is_below_header or bool(row)
        yield where, row


def describe_csv_error(error: csv.Error, where: str, last_line: int) -> CorpusError:
    """Return the error of a row whose quoting is wrong; the row may have swallowed the lines up to `last_line`."""
    if "new-line character" in str(error):
        return describe_carriage_return(where)
    if "NUL" in str(error):  # Python 3.10; later versions read it, and the reader of lines refuses it
        return CorpusError(f"{where}: expected text, got a NUL byte; leave out binary files")
    return CorpusError(
        f"{where}: expected cells that are quoted as in RFC 4180, got {error} (in line {last_line}); quote a cell that "
        "contains a quote, a line end or the delimiter, and double its quotes; if no cell is quoted, use --no-quoting"
    )


def raise_wrong_length(where: str, expected: int, got: int, is_quoted: bool) -> NoReturn:
    """Raise CorpusError for a row that has not as many cells as the header."""
    advice = "quote a cell that contains the delimiter" if is_quoted else "if quotes enclose cells, use --quoting"
    raise CorpusError(f"{where}: expected {expected} cells as in the header, got {got}; {advice}")


def choose_columns(where: str, header: list[str], options: ReadOptions, delimiter: str) -> list[tuple[int, str, bool]]:
    """Return position, name and whether the cells are typed, of each column that is read.

    A column without a name, such as the index that pandas writes, gets its number: column_1.

    Raises:
        CorpusError: a column is missing, or a name occurs twice.
    """
    if any("\r" in name for name in header):
        raise describe_carriage_return(where)
    names = [name if name.strip() else f"column_{i}" for i, name in enumerate(header, start=1)]
    require_columns(names, options, where)
    wanted = set(list_wanted(options)) if options.columns else set(names).difference(options.exclude_columns)
    kept = [(i, name) for i, name in enumerate(names) if name in wanted]
    fields = options.fields
    try:
        check_header([name for _, name in kept], fields, where)
    except CorpusError as error:
        raise CorpusError(f"{error}{suggest_delimiter(header, fields, delimiter)}") from None
    id_field = find_id_field([name for _, name in kept], fields, where)
    strings = (id_field, fields.text_field, fields.title_field)
    return [(i, name, options.typed and name not in strings) for i, name in kept]


def suggest_delimiter(header: list[str], fields: Fields, delimiter: str) -> str:
    """Return the end of a message if quoting or another delimiter would give the column of the text, "" otherwise."""
    line = delimiter.join(header)
    for other, option in DELIMITERS.items():
        if fields.text_field not in header and fields.text_field in [name.strip(' "') for name in line.split(other)]:
            if other == delimiter:
                return "; if quotes enclose the cells, use --quoting"
            return f"; the delimiter seems to be another one, use --delimiter {option}"
    return ""


def describe_carriage_return(where: str) -> CorpusError:
    """Return the error of a line end of old Macintosh files."""
    return CorpusError(
        rf"{where}: expected lines that end in \n or \r\n, got \r alone; convert the file: tr '\r' '\n' < FILE"
    )
