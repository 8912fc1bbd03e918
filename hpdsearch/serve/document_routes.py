"""GET, POST and DELETE of documents."""

from pathlib import PurePath
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from hpdsearch.index import Index
from hpdsearch.indexer.ingest import IngestReport
from hpdsearch.serve.errors import ServiceError
from hpdsearch.serve.indexes import Indexes, ServedIndex
from hpdsearch.serve.limits import JSON_LINES
from hpdsearch.serve.models import AddedJson, DeletedJson, DocumentJson, StoredDocumentJson
from hpdsearch.serve.search_routes import ERRORS, json_response
from hpdsearch.serve.settings import Settings
from hpdsearch.serve.uploads import read_json_documents, receive_lines

IndexQuery = Annotated[str | None, Query(min_length=1, max_length=255, description="Name of the index.")]
DocId = Annotated[str, Path(description="The id of a document; it may contain slashes.")]
QueriedDocId = Annotated[str, Query(min_length=1, description="The id of a document.")]
WithSource = Annotated[bool, Query(description="Give the name of its file and the line, without the folder.")]
DOCUMENT = {"$ref": "#/components/schemas/DocumentJson"}
SEVERAL = {
    "type": "object",
    "properties": {"documents": {"type": "array", "minItems": 1, "items": DOCUMENT}},
    "required": ["documents"],
    "additionalProperties": False,
}
LINE = '{"id": "s1", "title": "seismograph", "text": "it records earthquakes", "year": 1858}'
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"anyOf": [SEVERAL, DOCUMENT]}},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": LINE},
        },
    }
}


def document_router(indexes: Indexes, settings: Settings) -> APIRouter:
    """Return the routes of documents."""
    router = APIRouter(tags=["Documents"], responses=ERRORS | {403: ERRORS[404]})

    @router.get("/documents/{doc_id:path}", response_model=DocumentJson | StoredDocumentJson, summary="Get a document")
    async def get(doc_id: DocId, index: IndexQuery = None, source: WithSource = False) -> Response:
        """Return the title, text and metadata of a document, and the name of its file if it is asked for."""
        return await _get(doc_id, index, source)

    @router.get("/documents", response_model=DocumentJson | StoredDocumentJson, summary="Get a document of any id")
    async def get_by_query(doc_id: QueriedDocId, index: IndexQuery = None, source: WithSource = False) -> Response:
        """Do the same for every id: clients shorten paths that contain the parts `.` and `..`."""
        return await _get(doc_id, index, source)

    async def _get(doc_id: str, index: str | None, source: bool) -> Response:
        _check_doc_id(doc_id, settings)
        found = await indexes.find(index).get(doc_id)
        stored = {"doc_id": found.doc_id, "text": found.text, "title": found.title, "metadata": dict(found.metadata)}
        return json_response(stored | ({"source": PurePath(found.source).name} if source else {}))

    @router.post("/documents", response_model=AddedJson, openapi_extra=BODY, summary="Add or replace documents")
    async def add(request: Request, index: IndexQuery = None) -> Response:
        """Add documents, or replace those of the same id, in one commit.

        The body is one document, several of them, or a stream of JSON lines as `hpdsearch add` reads them. When the
        answer comes, the next search finds the documents.
        """
        _check_writable(settings)
        target = indexes.find(index)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in JSON_LINES:
            async with receive_lines(request.stream(), settings.limits) as documents:
                report = await target.write(lambda opened: opened.add(documents))
        else:
            listed = await anyio.to_thread.run_sync(read_json_documents, await request.body())
            report = await target.write(lambda opened: opened.add(listed))
        return json_response(_describe_report(target, report))

    @router.delete("/documents/{doc_id:path}", response_model=DeletedJson, summary="Delete a document")
    async def delete(doc_id: DocId, index: IndexQuery = None) -> Response:
        """Delete a document. When the answer comes, no search finds it."""
        return await _delete(doc_id, index)

    @router.delete("/documents", response_model=DeletedJson, summary="Delete a document of any id")
    async def delete_by_query(doc_id: QueriedDocId, index: IndexQuery = None) -> Response:
        """Do the same for every id, see GET."""
        return await _delete(doc_id, index)

    async def _delete(doc_id: str, index: str | None) -> Response:
        _check_writable(settings)
        _check_doc_id(doc_id, settings)
        target = indexes.find(index)

        def change(opened: Index) -> int:
            return 0 if opened.get(doc_id) is None else opened.delete(doc_id)

        n_deleted = await target.write(change)
        if not n_deleted:
            raise target.missing(doc_id)
        return json_response({"index": target.name, "n_deleted": n_deleted})

    return router


def _describe_report(target: ServedIndex, report: IngestReport) -> dict[str, Any]:
    return {
        "index": target.name,
        "n_documents": report.n_documents,
        "n_replaced": report.n_replaced,
        "n_passages": report.n_passages,
        "n_empty": report.n_empty,
        "n_duplicates": report.n_duplicates,
        "milliseconds": round(report.seconds * 1000, 3),
    }


def _check_writable(settings: Settings) -> None:
    if settings.read_only:
        raise ServiceError(403, "this service is read-only")


def _check_doc_id(doc_id: str, settings: Settings) -> None:
    if len(doc_id) > settings.limits.max_doc_id_characters:
        limit = settings.limits.max_doc_id_characters
        raise ServiceError(422, f"doc_id: expected at most {limit} characters, got {len(doc_id)}")
