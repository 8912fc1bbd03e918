"""POST /search and GET /search, and POST /map, which places the hits in a plane."""

import json
import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from hpdsearch.errors import QueryError
from hpdsearch.records import describe_answer, describe_like
from hpdsearch.search.searcher import check_queries
from hpdsearch.serve.batching import SearchOptions
from hpdsearch.serve.errors import ServiceError
from hpdsearch.serve.indexes import Indexes, ServedIndex
from hpdsearch.serve.limits import check_map, check_search
from hpdsearch.serve.models import (
    AnswerJson,
    AnswersJson,
    ErrorJson,
    LikeJson,
    MapJson,
    MapRequest,
    SearchParameters,
    SearchRequest,
)
from hpdsearch.serve.settings import Limits

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorJson} for status in (401, 404, 408, 409, 413, 415, 421, 422, 429, 503)
}


def search_router(indexes: Indexes, limits: Limits) -> APIRouter:
    """Return the routes of searches."""
    router = APIRouter(tags=["Search"], responses=ERRORS)

    @router.post("/search", response_model=AnswerJson | AnswersJson | LikeJson, summary="Search")
    async def search(request: SearchRequest) -> Response:
        """Find the best documents for one query, for each of several, or those most like a document."""
        return json_response(await answer(indexes, limits, request))

    @router.get("/search", response_model=AnswerJson | LikeJson, summary="Search by an address")
    async def search_by_address(parameters: Annotated[SearchParameters, Query()]) -> Response:
        """Find the best documents for one query: /search?q=fear of spiders&k=3."""
        fields = parameters.model_dump(exclude_unset=True)
        if "q" in fields:
            fields["query"] = fields.pop("q")
        return json_response(await answer(indexes, limits, SearchRequest(**fields)), indent=2)

    @router.post("/map", response_model=MapJson, summary="Place documents on a map")
    async def make_map(request: MapRequest) -> Response:
        """Place documents, as a rule the hits of a search, and a query in the plane in which they differ most."""
        check_map(limits, request.doc_ids, request.query)
        index = indexes.find(request.index)
        if request.query is not None:
            check_texts(index, [request.query])
        return json_response(await index.place(request.doc_ids, request.query))

    return router


def json_response(values: Any, *, indent: int | None = None) -> Response:
    """Return values as JSON, which is not checked against the model of the route: that would take half the time."""
    separators = (",", ":") if indent is None else None
    content = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    return Response(content.encode(), media_type="application/json")


async def answer(indexes: Indexes, limits: Limits, request: SearchRequest) -> dict[str, Any]:
    """Return the answer to a search as JSON values.

    Raises:
        ServiceError: the request is invalid, or no such index or document exists.
    """
    is_like = request.like is not None
    if is_like == (request.query is not None):
        raise ServiceError(422, 'expected "query" or "like", got ' + ("both" if is_like else "none"))
    several = isinstance(request.query, list)
    texts = list(request.query) if isinstance(request.query, list) else [request.query or ""]
    asked = [] if is_like else texts
    check_search(
        limits,
        texts=asked,
        where=request.where,
        like=request.like,
        depth=request.k + request.offset,
        explain=request.explain,
    )
    index = indexes.find(request.index)
    options = SearchOptions(
        k=request.k + request.offset,
        mode=request.mode,
        where=request.where,
        ann_recall=request.ann_recall,
        min_score=request.min_score,
        explain=request.explain,
    )
    if request.like is not None:
        return await answer_like(index, request, request.like, options)
    check_texts(index, asked)
    if not asked:
        return {"answers": []}
    found = await index.search(asked, options)
    encoding = {"encode_milliseconds": round(found.encode_milliseconds, 3)}
    answers = [
        describe_answer(
            str(number), text, hits[request.offset :], found.milliseconds, full=request.full, offset=request.offset
        )
        | encoding
        for number, (text, hits) in enumerate(zip(asked, found.hits, strict=True), start=1)
    ]
    return {"answers": answers} if several else answers[0]


def check_texts(index: ServedIndex, texts: Sequence[str]) -> None:
    """Check the texts of queries.

    Raises:
        ServiceError: one is blank, or not valid Unicode (422).
    """
    try:
        check_queries(texts)
    except QueryError as error:
        raise index.translate(error) from error


async def answer_like(
    index: ServedIndex, request: SearchRequest, doc_id: str, options: SearchOptions
) -> dict[str, Any]:
    """Return the documents like one of the index as JSON values.

    Raises:
        ServiceError: `mode` or `explain` is set, or the index holds no such document.
    """
    if given := {"mode", "explain"} & request.model_fields_set:
        raise ServiceError(422, f"like compares vectors alone, so it does not go with {sorted(given)[0]}")
    start = time.perf_counter()
    hits = await index.like(doc_id, options)
    milliseconds = (time.perf_counter() - start) * 1000
    return describe_like(doc_id, hits[request.offset :], milliseconds, full=request.full, offset=request.offset)
