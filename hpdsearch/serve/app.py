"""The ASGI application: routes, and around them what every request passes.

A request passes, from the outside in: metrics, CORS (if named), access, concurrency, body, route.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from hpdsearch import __version__
from hpdsearch.serve.auth import Access
from hpdsearch.serve.document_routes import document_router
from hpdsearch.serve.embedding_routes import embedding_router
from hpdsearch.serve.errors import add_handlers
from hpdsearch.serve.indexes import Indexes
from hpdsearch.serve.limits import BodyLimit, ConcurrencyLimit
from hpdsearch.serve.metrics import MeasureRequests, Metrics
from hpdsearch.serve.page_routes import page_router
from hpdsearch.serve.search_routes import search_router
from hpdsearch.serve.settings import Settings
from hpdsearch.serve.status_routes import add_docs, status_router

DESCRIPTION = "Search your own text by semantic similarity and keywords."


def create_app(indexes: Indexes, settings: Settings, metrics: Metrics) -> FastAPI:
    """Return the application.

    Args:
        indexes: the opened indexes; the application closes them when it stops.
        settings: who may use it.
        metrics: counts the requests.
    """
    embedder = ThreadPoolExecutor(1, thread_name_prefix="embed")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        refreshing = asyncio.create_task(indexes.refresh_forever())
        try:
            yield
        finally:
            refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await refreshing
            embedder.shutdown()
            indexes.close()

    app = FastAPI(
        title="hpdsearch",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
        redirect_slashes=False,
    )
    add_handlers(app)
    app.include_router(search_router(indexes, settings.limits))
    app.include_router(document_router(indexes, settings))
    app.include_router(status_router(indexes, metrics))
    app.include_router(page_router())
    app.include_router(embedding_router(indexes, settings.limits, embedder))
    add_docs(app)
    # The last one that is added is the outermost.
    app.add_middleware(BodyLimit, limits=settings.limits)
    app.add_middleware(ConcurrencyLimit, limits=settings.limits)
    app.add_middleware(Access, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app.add_middleware(MeasureRequests, metrics=metrics)
    app.state.indexes = indexes
    return app
