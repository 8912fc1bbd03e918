"""Descriptions of the service and its state: /indexes, /health, /ready, /metrics, /docs."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from hpdsearch.serve.docs_page import CONTENT_SECURITY_POLICY, render_docs
from hpdsearch.serve.errors import ServiceError
from hpdsearch.serve.indexes import Indexes
from hpdsearch.serve.metrics import CONTENT_TYPE, Metrics
from hpdsearch.serve.models import IndexesJson, StatusJson
from hpdsearch.serve.search_routes import ERRORS, json_response


def status_router(indexes: Indexes, metrics: Metrics) -> APIRouter:
    """Return the routes that describe the service."""
    router = APIRouter(responses={401: ERRORS[401], 421: ERRORS[421]})

    @router.get("/indexes", tags=["Indexes"], response_model=IndexesJson, summary="List the indexes")
    async def list_indexes() -> Response:
        """Return the name and the number of documents of each index."""
        listed = [{"name": name, "n_documents": await each.count()} for name, each in indexes.by_name.items()]
        return json_response({"indexes": listed})

    @router.get("/indexes/{name}", tags=["Indexes"], summary="Describe an index", responses={404: ERRORS[404]})
    async def describe(name: str) -> dict[str, Any]:
        """Return what `hpdsearch info` shows, and the most frequent values of the metadata fields."""
        return await indexes.find(name).describe()

    @router.get("/health", tags=["Service"], response_model=StatusJson, summary="Whether the process runs")
    async def health() -> Response:
        """Answer without a token, whatever the indexes do."""
        return json_response({"status": "ok"})

    @router.get(
        "/ready",
        tags=["Service"],
        response_model=StatusJson,
        summary="Whether all answers",
        responses={503: ERRORS[503]},
    )
    async def ready() -> Response:
        """Return 503 while the last commit of an index cannot be opened."""
        if failing := [name for name, each in indexes.by_name.items() if not each.is_current]:
            raise ServiceError(503, f"the last commit cannot be opened: {', '.join(failing)}")
        return json_response({"status": "ready"})

    @router.get("/metrics", tags=["Service"], response_class=Response, summary="Metrics for Prometheus")
    async def show_metrics() -> Response:
        """Return counters and times in the text format of Prometheus."""
        for name, each in indexes.by_name.items():
            metrics.documents.labels(name).set(await each.count())
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return router


def add_docs(app: FastAPI) -> None:
    """Add /docs, a page that loads nothing from anywhere."""

    @app.get("/docs", include_in_schema=False)
    async def docs(_: Request) -> Response:
        return HTMLResponse(render_docs(app.openapi()), headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})
