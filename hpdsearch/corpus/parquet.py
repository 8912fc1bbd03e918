"""Documents from Parquet rows, by pyarrow, one record batch at a time."""

from collections.abc import Iterator
from typing import Any

from hpdsearch.corpus.arrow_values import to_json_values
from hpdsearch.corpus.lines import SourceLocation
from hpdsearch.corpus.options import ReadOptions, ReadStats
from hpdsearch.corpus.record import check_header, find_id_field, to_document
from hpdsearch.corpus.selection import list_wanted, require_columns
from hpdsearch.corpus.skipping import OnError
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
            for group in range(file.num_row_groups):
                yield from read_row_group(file, group, paths, location, options, stats)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{name}: expected a Parquet file, got: {error}; make the file again") from error
    finally:
        stats.position = None


def read_row_group(
    file: Any, group: int, paths: list[str], location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield the documents of one row group; the next one can be read even if this one is damaged.

    Raises:
        CorpusError: the row group is damaged, or a value does not fit, and errors stop.
    """
    import pyarrow

    end = location.line + file.metadata.row_group(group).num_rows
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=paths):
            yield from read_batch(batch, location, options, stats)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        where = f"{location.name}: rows {location.line + 1} to {end}"
        failure = CorpusError(f"{where}: expected a row group of Parquet, got: {error}; make the file again")
        stats.skipped.add_or_raise(failure, options.on_error)
    location.line = end


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


def read_batch(batch: Any, location: SourceLocation, options: ReadOptions, stats: ReadStats) -> Iterator[Document]:
    """Yield one document per row of a record batch."""
    names = batch.schema.names
    id_field = find_id_field(names, options.fields, location.name)
    try:
        columns = [read_column(batch.column(i), names[i], location, options) for i in range(len(names))]
    except CorpusError as error:
        if options.on_error is OnError.STOP or not has_readable_types(batch):
            raise
        if len(batch) > 1:
            half = len(batch) // 2
            yield from read_batch(batch.slice(0, half), location, options, stats)
            yield from read_batch(batch.slice(half), location, options, stats)
            return
        location.line += 1
        stats.skipped.add_or_raise(error, options.on_error)
        return
    for row in zip(*columns, strict=True):
        location.line += 1
        record = dict(zip(names, row, strict=True))
        try:
            document = to_document(record, id_field, options.fields, f"{location.name}:{location.line}")
        except CorpusError as error:
            stats.skipped.add_or_raise(error, options.on_error)
            continue
        yield document


def has_readable_types(batch: Any) -> bool:
    """Return whether JSON has an equivalent of all types of a batch, so that only some values are at fault."""
    try:
        for column in batch.slice(0, 0).columns:
            to_json_values(column)
    except ValueError:
        return False
    return True


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
