"""Documents with vectors from Parquet and JSON Lines, as `hpdsearch export` and other programs write them.

docs/export.md describes the fields. Vectors are checked where they meet an index (hpdsearch.indexer.given_vectors).
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.common.files import parse_json
from hpdsearch.corpus.lines import SourceLocation, open_stream, read_text_lines
from hpdsearch.corpus.parquet import require_pyarrow
from hpdsearch.errors import CorpusError
from hpdsearch.records import EncodedDocument, Passage, integer_to_id

SPACE_KEY = "hpdsearch.space"  # metadata of a Parquet file; in JSON Lines the field "space" of each record
ENCODER_KEY = "hpdsearch.encoder"
BATCH_ROWS = 256
COLUMNS = ("id", "text", "title", "metadata", "source", "locations", "passages", "vectors", "vector")


class EncodedReader:
    """Iterates once over the documents of a file, a batch in memory at a time.

    Attributes:
        encoder: the encoder that the first record names; "": none.
        space: the space that the caller or the first record names.
        dim: dimensions of the first vector; 0: the file holds no record.
    """

    def __init__(self, path: Path, space: str | None) -> None:
        """Read the first record; errors of the later ones come while iterating."""
        if not path.name.endswith((".parquet", ".jsonl", ".jsonl.gz")):
            raise CorpusError(f"{path}: expected a .parquet, .jsonl or .jsonl.gz file of documents with vectors")
        self._path = path
        self._named_space = space
        self.encoder = ""
        documents = self._read()
        first = next(documents, None)
        self.space = first.space if first else space or ""
        self.dim = first.vectors.shape[1] if first is not None and first.vectors is not None else 0
        self._documents = chain([] if first is None else [first], documents)

    def __iter__(self) -> Iterator[EncodedDocument]:
        return self._documents

    def _read(self) -> Iterator[EncodedDocument]:
        return self._read_parquet() if self._path.suffix == ".parquet" else self._read_json_lines()

    def _read_json_lines(self) -> Iterator[EncodedDocument]:
        location = SourceLocation(str(self._path))
        with open_stream(self._path, location, compressed=self._path.suffix == ".gz") as (file, _):
            for line in read_text_lines(file, location):
                if line.isspace():
                    continue
                where = f"{location.name}:{location.line}"
                try:
                    record = parse_json(line)
                except ValueError as error:
                    raise CorpusError(f"{where}: expected a JSON object a line, got: {error}") from None
                if not isinstance(record, dict):
                    raise CorpusError(f"{where}: expected a JSON object, got {type(record).__name__}")
                self.encoder = self.encoder or str(record.get("encoder") or "")
                yield self._to_document(record, str(record.get("space") or ""), where)

    def _read_parquet(self) -> Iterator[EncodedDocument]:
        require_pyarrow()
        import pyarrow
        from pyarrow.parquet import ParquetFile

        line = 0
        try:
            with ParquetFile(self._path) as file:
                columns = [name for name in file.schema_arrow.names if name in COLUMNS]
                key_values = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
                self.encoder = key_values.get(ENCODER_KEY, "")
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                    for record in _split_batch(batch):
                        line += 1
                        yield self._to_document(record, key_values.get(SPACE_KEY, ""), f"{self._path}:{line}")
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"{self._path}: expected a Parquet file, got: {error}; make the file again") from error

    def _to_document(self, record: Mapping[str, Any], space: str, where: str) -> EncodedDocument:
        missing = [name for name in ("id", "text") if record.get(name) is None]
        vectors = record.get("vectors")
        if vectors is None and record.get("vector") is not None:
            vectors = [record["vector"]]
        if vectors is None:
            missing.append("vectors (or vector)")
        if missing:
            raise CorpusError(f"{where}: expected {', '.join(missing)}, got {', '.join(record) or 'no field'}")
        if self._named_space and space and self._named_space != space:
            raise CorpusError(f"{where}: holds vectors of space {space}, not {self._named_space}; leave out --space")
        text = record["text"]
        return EncodedDocument(
            doc_id=integer_to_id(record["id"]),
            text=text,
            title=record.get("title") or "",
            metadata=_parse_metadata(record.get("metadata"), where),
            source=str(record.get("source") or ""),
            locations=_parse_locations(record.get("locations"), where),
            passages=_parse_passages(record.get("passages"), where),
            vectors=_to_matrix(vectors, where),
            space=space or self._named_space or "",
        )


def read_encoded(path: str | Path, *, space: str | None = None) -> EncodedReader:
    """Return a reader of the documents of a .parquet or .jsonl file with their vectors.

    `Index.build(folder, reader, encoder=..., dim=reader.dim)` makes an index of them without encoding.

    Args:
        path: the file. Each record has `id`, `text` and `vectors`, one for each of its `passages`, or one `vector` of
            the whole text; `title`, `metadata` (an object, or its JSON), `source`, `locations` (a list, or its JSON)
            and `passages` may be missing.
        space: id of the space of the vectors, for a file that does not name it.

    Raises:
        CorpusError: the file cannot be read, a field is missing or has a wrong type, or the file names another space.
        MissingExtraError: Parquet needs pyarrow.
    """
    return EncodedReader(Path(path), space)


def _split_batch(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a record batch; vectors stay arrays, since lists of floats take ten times their memory."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    vectors = {name: columns.pop(name) for name in ("vectors", "vector") if name in columns}
    values = {name: column.to_pylist() for name, column in columns.items()}
    for i in range(batch.num_rows):
        record = {name: column[i] for name, column in values.items()}
        for name, column in vectors.items():
            record[name] = _to_arrays(column[i], nested=name == "vectors")
        yield record


def _to_arrays(scalar: Any, *, nested: bool) -> Any:
    """Return a list of Arrow as an array, a list of lists as a list of arrays; None: it is null."""
    if not scalar.is_valid:
        return None
    if nested:
        return [None if not each.is_valid else each.values.to_numpy(zero_copy_only=False) for each in scalar]
    return scalar.values.to_numpy(zero_copy_only=False)


def _to_matrix(vectors: Any, where: str) -> np.ndarray:
    """Return vectors as float32 (n, dim).

    Raises:
        CorpusError: they are not numbers, or of different widths.
    """
    try:
        matrix: np.ndarray = np.array(vectors, np.float32)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.ndim != 2 or not matrix.size:
        raise CorpusError(f"{where}: expected vectors of numbers, all of the same length")
    return matrix


def _parse_metadata(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    try:
        parsed = parse_json(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise CorpusError(f"{where}: expected metadata that is a JSON object, got {value!r:.80}")
    return parsed


def _parse_locations(value: Any, where: str) -> tuple[tuple[int, str], ...]:
    if value is None:
        return ()
    try:
        parsed = parse_json(value) if isinstance(value, str) else value
        return tuple((start, label) for start, label in parsed)
    except (TypeError, ValueError):
        raise CorpusError(f'{where}: expected locations of the form [[0, "page 1"]], got {value!r:.80}') from None


def _parse_passages(value: Any, where: str) -> tuple[Passage, ...]:
    if value is None:
        return ()
    try:
        spans = tuple(Passage(span["start"], span["end"]) for span in value)
    except (TypeError, KeyError):
        spans = ()
    if not spans or not all(type(each) is int for span in spans for each in (span.start, span.end)):
        raise CorpusError(f'{where}: expected passages of the form {{"start": 0, "end": 80}}, got {value!r:.80}')
    return spans
