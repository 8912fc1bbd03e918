"""Documents from JSON objects: the lines of .jsonl and .ndjson; the checks that .json shares."""

import json
import math
from collections.abc import Iterator
from typing import Any

from hpdsearch.corpus.lines import SourceLocation
from hpdsearch.corpus.options import ReadOptions, ReadStats
from hpdsearch.corpus.record import find_id_field, to_document
from hpdsearch.corpus.selection import find_path, select_fields
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document


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
        try:
            if location.error is not None:
                raise location.take_error()
            record = select_fields(parse_object(line, where), options, stats.columns_seen)
            title_seen = title_seen or bool(find_path(record, fields.title_field))
            document = to_document(record, find_id_field(record, fields, where), fields, where)
        except CorpusError as error:
            stats.skipped.add_or_raise(suggest_array(error, line, location.line), options.on_error)
            continue
        yield document
    if fields.title_is_required and not title_seen and location.line > 0:
        missing = f'{location.name}: expected a field "{fields.title_field}" (title_field), got no line with it'
        stats.skipped.add_or_raise(CorpusError(missing), options.on_error)


def suggest_array(error: CorpusError, line: str, number: int) -> CorpusError:
    """Return the error of a line, with advice if the file seems to hold JSON that is not one object a line."""
    if number > 1 or (not line.startswith("[") and line.strip() != "{"):
        return error
    return CorpusError(f"{error}; if the file holds a JSON array or objects of several lines, name it .json")


def parse_object(line: str, where: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        CorpusError: the line is no JSON object, or cannot be stored: NaN, infinity, a lone surrogate, a repeated name.
    """
    try:
        record = DECODER.decode(line)
        require_unicode(record, line)
    except json.JSONDecodeError as error:
        column = min(error.pos, len(line.rstrip())) + 1
        raise CorpusError(f"{where}: expected a JSON object, got an error at column {column}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where}: {describe_json_error(error)}") from None
    if type(record) is not dict:
        raise CorpusError(f"{where}: expected a JSON object, got {line[:40].strip()}")
    return record


def require_unicode(record: Any, text: str) -> None:
    """Check that a JSON value can be stored; `text` is the JSON from which it was parsed.

    Raises:
        ValueError: a string contains half of a surrogate pair.
    """
    if "\\ud" not in text and "\\uD" not in text:
        return
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("expected Unicode text, got half of a surrogate pair (\\ud800..\\udfff); remove it") from None


def describe_json_error(error: ValueError | RecursionError) -> str:
    """Describe an error of the decoder that is no error of syntax."""
    if isinstance(error, RecursionError):
        return "expected a JSON object, got one that is nested too deeply; flatten it"
    return str(error)


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
