"""Documents from lines: .txt, .jsonl, .csv and .tsv."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from hpdsearch.corpus.lines import SourceLocation
from hpdsearch.corpus.options import LineFormat, ReadOptions, ReadStats
from hpdsearch.corpus.record import check_header, find_id_field, to_document
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

LineReader = Callable[[Iterator[str], SourceLocation, ReadOptions, ReadStats], Iterator[Document]]
LARGEST_CELL = 2**31 - 1  # characters: csv's default is 131,072; this is the largest C long on Windows


def read_txt(
    lines: Iterator[str], location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield one document per line."""
    for line in lines:
        where = f"{location.name}:{location.line}"
        yield Document(where, strip_line_end(line), "", {}, where)


def read_jsonl(
    lines: Iterator[str], location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield one document per line, a JSON object.

    Raises:
        CorpusError: a line is not such an object, or no line has the title field that the user named.
    """
    fields = options.fields
    title_seen = False
    for line in lines:
        where = f"{location.name}:{location.line}"
        if line.isspace():
            yield Document(where, "", "", {}, where)
            continue
        record = parse_object(line, where)
        title_seen = title_seen or fields.title_field in record
        yield to_document(record, find_id_field(record, fields, where), fields, where)
    if fields.title_is_required and not title_seen and location.line > 0:
        raise CorpusError(
            f'{location.name}: expected a field "{fields.title_field}" (title_field), got no line with it'
        )


def parse_object(line: str, where: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        CorpusError: the line is no JSON object, or cannot be stored: NaN, infinity, a lone surrogate, a repeated name.
    """
    try:
        record = DECODER.decode(line)
        if "\\ud" in line or "\\uD" in line:
            json.dumps(record, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        column = min(error.pos, len(line.rstrip())) + 1
        raise CorpusError(f"{where}: expected a JSON object, got an error at column {column}: {error.msg}") from None
    except UnicodeEncodeError:
        raise CorpusError(
            f"{where}: expected Unicode text, got half of a surrogate pair (\\ud800..\\udfff); remove it"
        ) from None
    except RecursionError:
        raise CorpusError(f"{where}: expected a JSON object, got one that is nested too deeply; flatten it") from None
    except ValueError as error:
        raise CorpusError(f"{where}: {error}") from None
    if type(record) is not dict:
        raise CorpusError(f"{where}: expected a JSON object, got {line[:40].strip()}")
    return record


def require_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from its members; a dict would silently drop the first of two with the same name.

    Raises:
        ValueError: a name occurs twice.
    """
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'expected different names, got "{twice}" twice in one object')
    return record


def parse_finite(literal: str) -> float:
    """Parse a number; JSON has no infinity, but 1e999 makes one.

    Raises:
        ValueError: the number is not finite.
    """
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {literal}")
    return number


DECODER = json.JSONDecoder(
    object_pairs_hook=require_unique_names, parse_float=parse_finite, parse_constant=parse_finite
)


def read_csv(
    lines: Iterator[str], location: SourceLocation, options: ReadOptions, stats: ReadStats, delimiter: str = ","
) -> Iterator[Document]:
    """Yield one document per record below a header; cells stay strings.

    Raises:
        CorpusError: header or record do not fit the fields, or the quoting is wrong.
    """
    fields = options.fields
    csv.field_size_limit(LARGEST_CELL)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    id_field = None
    while True:
        # A quoted cell may contain line ends: messages name the first line of the record.
        where = f"{location.name}:{location.line + 1}"
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise CorpusError(
                f"{where}: expected {len(header) or 'some'} cells, got {error}; quote a cell that contains a "
                "quote, a line end or the delimiter, and double its quotes"
            ) from None
        if row is None:
            return
        if not header:
            if row:
                header = row
                check_header(header, fields, where)
                id_field = find_id_field(header, fields, where)
        elif not row:
            yield Document(where, "", "", {}, where)
        elif len(row) != len(header):
            raise CorpusError(f"{where}: expected {len(header)} cells as in the header, got {len(row)}")
        else:
            yield to_document(dict(zip(header, row, strict=True)), id_field, fields, where)


def read_tsv(
    lines: Iterator[str], location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield one document per record, as `read_csv`, with tabs between the cells."""
    return read_csv(lines, location, options, stats, delimiter="\t")


def strip_line_end(line: str) -> str:
    r"""Return a line without its \n or \r\n."""
    if line.endswith("\n"):
        return line[:-2] if line.endswith("\r\n") else line[:-1]
    return line


LINE_READERS: dict[LineFormat, LineReader] = {
    LineFormat.TXT: read_txt,
    LineFormat.JSONL: read_jsonl,
    LineFormat.CSV: read_csv,
    LineFormat.TSV: read_tsv,
}
