"""Documents from the rows of .csv and .tsv files; the first row names the columns."""

import csv
from collections.abc import Iterator
from typing import Any

from hpdsearch.corpus.cells import type_cell
from hpdsearch.corpus.lines import SourceLocation, strip_line_end
from hpdsearch.corpus.options import Fields, ReadOptions, ReadStats
from hpdsearch.corpus.record import check_header, find_id_field, to_document
from hpdsearch.corpus.selection import list_wanted, require_columns
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
    if is_quoted:
        rows = read_quoted_rows(lines, location, delimiter, stats)
    else:
        rows = read_plain_rows(lines, location, delimiter)
    header = next(((where, row) for where, row in rows if row), None)
    if header is None:
        return
    columns = choose_columns(*header, options, delimiter)
    id_field = find_id_field([name for _, name, _ in columns], fields, header[0])
    n_cells = len(header[1])
    for where, row in rows:
        if not row:
            yield Document(where, "", "", {}, where)
            continue
        if len(row) != n_cells:
            raise CorpusError(
                f"{where}: expected {n_cells} cells as in the header, got {len(row)}; "
                + (
                    "quote a cell that contains the delimiter"
                    if is_quoted
                    else "if quotes enclose cells, use --quoting"
                )
            )
        record = {name: type_cell(row[i]) if is_typed else row[i] for i, name, is_typed in columns}
        yield to_document(record, id_field, fields, where)


def read_plain_rows(lines: Iterator[str], location: SourceLocation, delimiter: str) -> Iterator[Row]:
    """Yield the rows of a table in which a quote is a character like others, so that each line is a row."""
    for line in lines:
        content = strip_line_end(line)
        yield f"{location.name}:{location.line}", content.split(delimiter) if content else []


def read_quoted_rows(lines: Iterator[str], location: SourceLocation, delimiter: str, stats: ReadStats) -> Iterator[Row]:
    """Yield the rows of a table in which quotes may enclose a cell, and count the cells that span lines.

    Raises:
        CorpusError: the quoting is wrong.
    """
    csv.field_size_limit(LARGEST_CELL)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first_line = location.line + 1
        where = f"{location.name}:{first_line}"
        try:
            row = next(rows, None)
        except csv.Error as error:
            if "new-line character" in str(error):
                raise_carriage_return(where)
            raise CorpusError(
                f"{where}: expected cells that are quoted as in RFC 4180, got {error}; quote a cell that contains a "
                "quote, a line end or the delimiter, and double its quotes; if no cell is quoted, use --no-quoting"
            ) from None
        if row is None:
            return
        if location.line > first_line:
            stats.n_multiline_cells += sum("\n" in cell for cell in row)
        yield where, row


def choose_columns(where: str, header: list[str], options: ReadOptions, delimiter: str) -> list[tuple[int, str, bool]]:
    """Return position, name and whether the cells are typed, of each column that is read.

    A column without a name, such as the index that pandas writes, gets its number: column_1.

    Raises:
        CorpusError: a column is missing, or a name occurs twice.
    """
    if any("\r" in name for name in header):
        raise_carriage_return(where)
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
    """Return the end of a message if another delimiter would give the column of the text, "" otherwise."""
    line = delimiter.join(header)
    for other, option in DELIMITERS.items():
        if fields.text_field not in header and fields.text_field in [name.strip(' "') for name in line.split(other)]:
            return f"; the delimiter seems to be another one, use --delimiter {option}"
    return ""


def raise_carriage_return(where: str) -> Any:
    """Raise CorpusError for a line end of old Macintosh files."""
    raise CorpusError(
        rf"{where}: expected lines that end in \n or \r\n, got \r alone; convert the file: tr '\r' '\n' < FILE"
    )
