"""Write documents with vectors as Parquet, by pyarrow, one row group at a time."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from hpdsearch.corpus.parquet import require_pyarrow
from hpdsearch.records import EncodedDocument

ROW_GROUP_DOCUMENTS = 5000
ROW_GROUP_PASSAGES = 20_000


def write_parquet(
    documents: Iterable[EncodedDocument], file: BinaryIO, key_values: Mapping[str, str], dim: int
) -> None:
    """Write one row a document; the file need not seek.

    Args:
        documents: a row group of them is in memory at a time.
        file: opened for writing.
        key_values: metadata of the file.
        dim: dimensions of the vectors.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    require_pyarrow()
    from pyarrow.parquet import ParquetWriter

    schema = _make_schema().with_metadata(dict(key_values))
    with ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _split_in_groups(documents):
            writer.write_table(_to_table(group, schema, dim))


def _make_schema() -> Any:
    import pyarrow as pa

    span = pa.struct([("start", pa.int64()), ("end", pa.int64())])
    columns = {
        **dict.fromkeys(("id", "title", "text", "metadata", "source", "locations"), pa.string()),
        "passages": pa.list_(span),
        "vectors": pa.list_(pa.list_(pa.float32())),
    }
    return pa.schema(columns)


def _split_in_groups(documents: Iterable[EncodedDocument]) -> Iterator[list[EncodedDocument]]:
    iterator = iter(documents)
    while group := list(islice(iterator, 1)):
        n_passages = len(group[0].passages)
        while len(group) < ROW_GROUP_DOCUMENTS and n_passages < ROW_GROUP_PASSAGES:
            document = next(iterator, None)
            if document is None:
                break
            group.append(document)
            n_passages += len(document.passages)
        yield group


def _to_table(documents: list[EncodedDocument], schema: Any, dim: int) -> Any:
    import pyarrow as pa

    ends = np.cumsum([0, *(len(document.passages) for document in documents)]).astype(np.int32)
    values = np.concatenate([np.asarray(document.vectors, np.float32) for document in documents])
    of_passages = pa.ListArray.from_arrays(
        np.arange(len(values) + 1, dtype=np.int32) * dim, pa.array(values.reshape(-1))
    )
    spans = [{"start": each.start, "end": each.end} for document in documents for each in document.passages]
    columns = [
        [document.doc_id for document in documents],
        [document.title for document in documents],
        [document.text for document in documents],
        [json.dumps(dict(document.metadata), ensure_ascii=False) for document in documents],
        [document.source for document in documents],
        [json.dumps(document.locations, ensure_ascii=False) for document in documents],
        pa.ListArray.from_arrays(ends, pa.array(spans, schema.field("passages").type.value_type)),
        pa.ListArray.from_arrays(ends, of_passages),
    ]
    arrays = [
        pa.array(column, pa.string()) if isinstance(column, list) else column.cast(schema.field(i).type)
        for i, column in enumerate(columns)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
