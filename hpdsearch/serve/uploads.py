"""Documents of request bodies: JSON, or a stream of JSON lines that is kept in a temporary file."""

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import BinaryIO

import anyio.to_thread
from pydantic import ValidationError

from hpdsearch.corpus.json_records import parse_object, require_unique_names
from hpdsearch.corpus.options import Fields
from hpdsearch.corpus.record import find_id_field, to_document
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document
from hpdsearch.serve.errors import ServiceError, describe_validation
from hpdsearch.serve.models import DocumentJson, DocumentsRequest
from hpdsearch.serve.settings import Limits

MEMORY_BYTES = 2**20  # of a stream; what is longer goes to a temporary file


def read_json_documents(body: bytes) -> list[Document]:
    """Return the documents of a JSON body: one, or a list under "documents".

    Raises:
        ServiceError: the body is not such JSON (422).
    """
    try:
        values = json.loads(body, object_pairs_hook=require_unique_names)
    except RecursionError:
        raise ServiceError(422, "body: nested too deeply") from None
    except ValueError as error:  # no JSON, no UTF-8, or a name that comes twice
        raise ServiceError(422, f"body: expected JSON ({str(error)[:200]})") from None
    try:
        if isinstance(values, dict) and "documents" in values:
            listed = DocumentsRequest.model_validate(values).documents
        else:
            listed = [DocumentJson.model_validate(values)]
    except ValidationError as error:
        raise ServiceError(422, describe_validation(error.errors())) from None
    for position, each in enumerate(listed):
        if "\0" in f"{each.doc_id}{each.title}{each.text}" or not str(each.doc_id).strip():
            raise ServiceError(422, f"documents.{position}: expected a doc_id with characters in it, and no NUL")
    return [Document(str(each.doc_id), each.text, each.title, each.metadata) for each in listed]


@asynccontextmanager
async def receive_lines(stream: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[Iterator[Document]]:
    """Receive JSON lines completely, so that a slow client does not hold the writer; yield their documents.

    Raises:
        ServiceError: a line is too long (413).
    """
    with tempfile.SpooledTemporaryFile(MEMORY_BYTES) as file:
        n_line_bytes = 0
        async for chunk in stream:
            end = chunk.rfind(b"\n")
            longest = max(map(len, (b"x" * n_line_bytes + chunk[: end + 1]).split(b"\n"))) if end >= 0 else 0
            n_line_bytes = len(chunk) - end - 1 if end >= 0 else n_line_bytes + len(chunk)
            if max(longest, n_line_bytes) > limits.max_line_bytes:
                message = f"body: expected lines of at most {limits.max_line_bytes} bytes"
                raise ServiceError(413, message, {"Connection": "close"})
            await anyio.to_thread.run_sync(file.write, chunk)
        file.seek(0)
        yield _parse_lines(file)


def _parse_lines(file: "tempfile.SpooledTemporaryFile[bytes] | BinaryIO") -> Iterator[Document]:
    """Yield the documents of JSON lines, which are those of a .jsonl file with ids of their own.

    Raises:
        CorpusError: a line is no such document.
    """
    fields = Fields()
    for number, line in enumerate(file, start=1):
        where = f"line {number}"
        if not line.strip():
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(f"{where}: expected UTF-8, got an invalid byte at column {error.start + 1}") from None
        record = parse_object(text, where)
        id_field = find_id_field(record, fields, where)
        if id_field is None:
            raise CorpusError(f'{where}: expected a field "id" for the doc_id')
        yield replace(to_document(record, id_field, fields, where), source="")
