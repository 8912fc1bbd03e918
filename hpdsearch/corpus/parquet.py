"""Documents from Parquet rows, by pyarrow, one record batch at a time."""

import datetime
import decimal
import math
from collections.abc import Iterator
from typing import Any

from hpdsearch.corpus.lines import SourceLocation
from hpdsearch.corpus.options import ReadOptions, ReadStats
from hpdsearch.corpus.record import check_header, find_id_field, to_document
from hpdsearch.corpus.sources import Source
from hpdsearch.errors import CorpusError, require_extra
from hpdsearch.records import Document

BATCH_ROWS = 1024


def require_pyarrow() -> None:
    """Raise MissingExtraError unless pyarrow is installed; called before any work is done."""
    require_extra("pyarrow", extra="parquet", feature="a .parquet file")


def read_parquet(
    source: Source, location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield one document per row; rows are numbered from 1 in messages and ids, as lines are.

    Raises:
        CorpusError: the file is no Parquet file, or columns or values do not fit.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    name = location.name
    fields = options.fields
    try:
        with ParquetFile(source.path) as file:
            names = list(file.schema_arrow.names)
            check_header(names, fields, name)
            id_field = find_id_field(names, fields, name)
            n_rows = max(1, file.metadata.num_rows)
            stats.position = lambda: source.size * location.line // n_rows
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = [read_column(batch.column(i), names[i], name, location.line) for i in range(len(names))]
                for row in zip(*columns, strict=True):
                    location.line += 1
                    yield to_document(dict(zip(names, row, strict=True)), id_field, fields, f"{name}:{location.line}")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{name}: after row {location.line}: expected UTF-8, got {error}") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{name}: expected a Parquet file, got: {error}; make the file again") from error
    finally:
        stats.position = None


def read_column(column: Any, column_name: str, file_name: str, rows_before: int) -> list[Any]:
    """Return an Arrow column as JSON values.

    Raises:
        CorpusError: JSON has no equivalent of a value; the message names the row.
    """
    from pyarrow import types

    values: list[Any] = column.to_pylist()
    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind) or types.is_boolean(kind):
        return values
    for i, value in enumerate(values):
        try:
            values[i] = to_json_value(value)
        except ValueError as error:
            raise CorpusError(f'{file_name}:{rows_before + i + 1}: column "{column_name}": {error}') from None
    return values


def to_json_value(value: Any) -> Any:
    """Convert a value of pyarrow to JSON; a date becomes an ISO 8601 string, NaN (a missing value of pandas) null.

    Raises:
        ValueError: JSON has no equivalent.
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
        return [to_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): to_json_value(item) for name, item in value.items()}
    raise ValueError(f"expected a value that JSON can represent, got {type(value).__name__}; leave the column out")
