"""Documents from Parquet rows, by pyarrow, one record batch at a time."""

from collections.abc import Iterator
from typing import Any

from hpdsearch.corpus.arrow_values import to_json_values
from hpdsearch.corpus.lines import SourceLocation
from hpdsearch.corpus.options import ReadOptions, ReadStats
from hpdsearch.corpus.record import check_header, find_id_field, to_document
from hpdsearch.corpus.selection import list_wanted, require_columns
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
    if source.is_stream:
        raise CorpusError(f"{name}: expected a file, got a pipe; Parquet is read from its end, so save it to a file")
    try:
        with ParquetFile(source.path) as file:
            paths = choose_paths(file, options, name)
            n_rows = max(1, file.metadata.num_rows)
            stats.position = lambda: source.size * location.line // n_rows
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=paths):
                yield from read_batch(batch, location, options)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{name}: after row {location.line}: expected UTF-8, got {error}") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{name}: expected a Parquet file, got: {error}; make the file again") from error
    finally:
        stats.position = None


def choose_paths(file: Any, options: ReadOptions, where: str) -> list[str]:
    """Return the paths of the columns that are read, such as "body.text"; the others are not even decoded.

    Raises:
        CorpusError: a column is missing, or a name occurs twice.
    """
    paths = [file.schema.column(i).path for i in range(len(file.schema))]
    names = file.schema_arrow.names
    nested = {path[:i] for path in paths for i, character in enumerate(path) if character == "."} | set(paths)
    require_columns([*names, *sorted(nested.difference(names))], options, where)
    wanted = list_wanted(options)
    kept = [
        path
        for path in paths
        if (not options.columns or is_inside(path, wanted)) and not is_inside(path, options.exclude_columns)
    ]
    check_header(
        [name for name in names if any(is_inside(path, (name,)) for path in kept)], options.fields, where, nested
    )
    return kept


def is_inside(path: str, names: tuple[str, ...]) -> bool:
    """Return whether a path is one of the fields or leads into one of them."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def read_batch(batch: Any, location: SourceLocation, options: ReadOptions) -> Iterator[Document]:
    """Yield one document per row of a record batch."""
    names = batch.schema.names
    id_field = find_id_field(names, options.fields, location.name)
    columns = [read_column(batch.column(i), names[i], location, options) for i in range(len(names))]
    for row in zip(*columns, strict=True):
        location.line += 1
        record = dict(zip(names, row, strict=True))
        yield to_document(record, id_field, options.fields, f"{location.name}:{location.line}")


def read_column(column: Any, name: str, location: SourceLocation, options: ReadOptions) -> list[Any]:
    """Return an Arrow column as JSON values.

    Raises:
        CorpusError: JSON has no equivalent of a value; the message names the row.
    """
    try:
        return to_json_values(column)
    except ValueError as error:
        row, failure = find_failure(column, error)
    where = f'{location.name}:{location.line + row + 1}: column "{name}"'
    advice = "" if name == options.fields.text_field else f"; leave it out with --exclude-columns {name}"
    raise CorpusError(f"{where}: {failure}{advice}")


def find_failure(column: Any, failure: ValueError) -> tuple[int, ValueError]:
    """Return the first row of a column that cannot be converted, and its error; `failure` is that of the column."""
    for row in range(len(column)):
        try:
            to_json_values(column.slice(row, 1))
        except ValueError as error:
            return row, error
    return 0, failure
