"""Parquet rows -> documents, through pyarrow, one record batch at a time."""

import datetime
import decimal
import math
from collections.abc import Iterator
from typing import Any

from hpdsearch.corpus.lines import Place
from hpdsearch.corpus.options import Fields, ReadStats
from hpdsearch.corpus.record import check_header, find_id_field, to_document
from hpdsearch.corpus.sources import Source
from hpdsearch.errors import CorpusError, MissingExtraError
from hpdsearch.records import Document

BATCH_ROWS = 1024


def require_pyarrow() -> None:
    """Check that pyarrow is there, before any work is done."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingExtraError('.parquet files need pyarrow: pip install "hpdsearch[parquet]"') from None


def read_parquet(source: Source, place: Place, fields: Fields, stats: ReadStats) -> Iterator[Document]:
    """One document a row; rows count from 1 in messages and ids, as lines do."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    name = place.name
    try:
        with ParquetFile(source.path) as file:
            names = list(file.schema_arrow.names)
            check_header(names, fields, name)
            id_field = find_id_field(names, fields, name)
            n_rows = max(1, file.metadata.num_rows)
            stats.position = lambda: source.size * place.line // n_rows
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = [column_values(batch.column(i), names[i], name, place.line) for i in range(len(names))]
                for row in zip(*columns, strict=True):
                    place.line += 1
                    yield to_document(dict(zip(names, row, strict=True)), id_field, fields, f"{name}:{place.line}")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{name}: after row {place.line}: expected UTF-8, got {error}") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{name}: expected a Parquet file, got: {error}; make the file again") from error
    finally:
        stats.position = None


def column_values(column: Any, column_name: str, file_name: str, rows_before: int) -> list[Any]:
    """Return an Arrow column as JSON values."""
    from pyarrow import types

    values: list[Any] = column.to_pylist()
    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind) or types.is_boolean(kind):
        return values
    for i, value in enumerate(values):
        try:
            values[i] = json_value(value)
        except ValueError as error:
            raise CorpusError(f'{file_name}:{rows_before + i + 1}: column "{column_name}": {error}') from None
    return values


def json_value(value: Any) -> Any:
    """Return the JSON value nearest to what pyarrow hands out; dates become ISO 8601 strings, NaN (pandas' gap) null.

    Raises:
        ValueError: there is none.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | decimal.Decimal):
        number = float(value)
        if math.isinf(number):
            raise ValueError(f"expected a finite number, got {value}")
        return None if math.isnan(number) else number
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): json_value(item) for name, item in value.items()}
    raise ValueError(f"expected a value that JSON can hold, got {type(value).__name__}; leave the column out")
