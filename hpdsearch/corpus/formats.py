"""Lines -> documents: .txt, .jsonl, .csv and .tsv."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from hpdsearch.corpus.lines import Place
from hpdsearch.corpus.options import Fields, LineFormat
from hpdsearch.corpus.record import check_header, find_id_field, to_document
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

LineReader = Callable[[Iterator[str], Place, Fields], Iterator[Document]]
LARGEST_CELL = 2**31 - 1  # csv's own limit is 131,072 characters; a C long on Windows holds no more than this


def read_txt(lines: Iterator[str], place: Place, fields: Fields) -> Iterator[Document]:
    """One document a line."""
    for line in lines:
        where = f"{place.name}:{place.line}"
        yield Document(where, without_end(line), "", {}, where)


def read_jsonl(lines: Iterator[str], place: Place, fields: Fields) -> Iterator[Document]:
    """One JSON object a line."""
    title_seen = False
    for line in lines:
        where = f"{place.name}:{place.line}"
        if line.isspace():
            yield Document(where, "", "", {}, where)
            continue
        record = parse_object(line, where)
        title_seen = title_seen or fields.title_field in record
        yield to_document(record, find_id_field(record, fields, where), fields, where)
    if fields.title_is_required and not title_seen and place.line > 0:
        raise CorpusError(f'{place.name}: expected a field "{fields.title_field}" (title_field), got no line with it')


def parse_object(line: str, where: str) -> dict[str, Any]:
    """Parse a JSON object, and refuse what could not be stored: NaN, infinities, lone surrogates, a name twice."""
    try:
        record = DECODER.decode(line)
        if "\\ud" in line or "\\uD" in line:
            json.dumps(record, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise CorpusError(
            f"{where}: expected a JSON object, got an error at column {error.colno}: {error.msg}"
        ) from None
    except UnicodeEncodeError:
        raise CorpusError(f"{where}: expected Unicode text, got half of a surrogate pair (\\ud800..\\udfff)") from None
    except RecursionError:
        raise CorpusError(f"{where}: expected a JSON object, got one that is nested too deeply") from None
    except ValueError as error:
        raise CorpusError(f"{where}: {error}") from None
    if type(record) is not dict:
        raise CorpusError(f"{where}: expected a JSON object, got {line[:40].strip()}")
    return record


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members: of two with one name the first would be lost in silence."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'expected names that differ, got "{twice}" twice in one object')
    return record


def finite(literal: str) -> float:
    """Read a number: JSON has no infinities, but 1e999 makes one."""
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {literal}")
    return number


DECODER = json.JSONDecoder(object_pairs_hook=unique_names, parse_float=finite, parse_constant=finite)


def read_csv(lines: Iterator[str], place: Place, fields: Fields, delimiter: str = ",") -> Iterator[Document]:
    """A header, then one record a document; the cells stay strings."""
    csv.field_size_limit(LARGEST_CELL)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    id_field = None
    while True:
        where = f"{place.name}:{place.line + 1}"  # a quoted cell may hold line ends: name the record's first line
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise CorpusError(
                f"{where}: expected {len(header) or 'some'} cells, got {error}; a cell that holds a quote, "
                "a line end or the delimiter must be quoted, and its quotes doubled"
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


def read_tsv(lines: Iterator[str], place: Place, fields: Fields) -> Iterator[Document]:
    """The same as CSV with tabs between the cells."""
    return read_csv(lines, place, fields, delimiter="\t")


def without_end(line: str) -> str:
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
