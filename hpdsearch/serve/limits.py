"""Limits of requests: their number, the size and speed of their bodies, and what a search may ask for."""

import time
from collections.abc import Sequence

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpdsearch.serve.errors import RETRY_SECONDS, ServiceError, error_response
from hpdsearch.serve.settings import Limits

JSON_LINES = frozenset(
    {"application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/jsonlines"}
)
NOT_COUNTED = frozenset({"/health", "/ready", "/metrics"})


class ConcurrencyLimit:
    """Answers 429 while too many requests are at work."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self._max_requests = limits.max_requests
        self._n_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429."""
        if scope["type"] != "http" or scope["path"] in NOT_COUNTED:
            await self.app(scope, receive, send)
            return
        if self._n_requests >= self._max_requests:
            message = f"{self._max_requests} requests are at work; try again"
            await error_response(429, message, {"Retry-After": str(RETRY_SECONDS)})(scope, receive, send)
            return
        self._n_requests += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._n_requests -= 1


class BodyLimit:
    """Refuses bodies of another type than JSON, too large ones and too slow ones.

    A page of the web may send a body of type text/plain, or without a type, to any address without asking; one of JSON
    only where CORS allows it. So this check also keeps foreign pages from changing an index on a loopback address.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that watches the body, or answer 4xx."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and media_type not in {"application/json", *JSON_LINES}:
            message = f"Content-Type: expected application/json or {sorted(JSON_LINES)[-1]}, got {media_type or 'none'}"
            await error_response(415, message)(scope, receive, send)
            return
        limit = self._limits.max_stream_bytes if media_type in JSON_LINES else self._limits.max_body_bytes
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > limit:
            message = f"body: expected at most {limit} bytes, got {length[:20]}"
            await error_response(413, message, {"Connection": "close"})(scope, receive, send)
            return
        await self.app(scope, WatchedBody(receive, limit, self._limits).receive, send)


class WatchedBody:
    """The body of one request."""

    def __init__(self, receive: Receive, max_bytes: int, limits: Limits) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._limits = limits
        self._start = time.monotonic()
        self._n_bytes = 0
        self._is_complete = False

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            ServiceError: the body is too large (413) or too slow (408).
        """
        if self._is_complete:
            return await self._receive()
        allowed = self._limits.body_seconds + self._n_bytes / self._limits.min_bytes_per_second
        message: Message | None = None
        with anyio.move_on_after(max(0.0, self._start + allowed - time.monotonic())):
            message = await self._receive()
        if message is None:
            refusal = f"the body did not arrive within {allowed:.0f} seconds"
            raise ServiceError(408, refusal, {"Connection": "close"})
        self._n_bytes += len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        if self._n_bytes > self._max_bytes:
            raise ServiceError(413, f"body: expected at most {self._max_bytes} bytes", {"Connection": "close"})
        return message


def check_search(
    limits: Limits, *, texts: Sequence[str], where: str | None, like: str | None, depth: int, explain: bool
) -> None:
    """Check what a search asks for; `depth` is k + offset.

    Raises:
        ServiceError: it is beyond a limit (422).
    """
    _at_most("query: number of queries", len(texts), limits.max_queries)
    if explain:
        _at_most("k + offset with explain", depth, limits.max_explained)
    _at_most("k + offset", depth, limits.max_k)
    _at_most("query: characters", max(map(len, texts), default=0), limits.max_query_characters)
    _at_most("query: characters of all queries", sum(map(len, texts)), limits.max_total_characters)
    _at_most("where: characters", len(where or ""), limits.max_filter_characters)
    _at_most("like: characters", len(like or ""), limits.max_doc_id_characters)


def check_map(limits: Limits, doc_ids: Sequence[str], query: str | None) -> None:
    """Check what a map asks for.

    Raises:
        ServiceError: it is beyond a limit (422).
    """
    _at_most("doc_ids: number of documents", len(doc_ids), limits.max_placed)
    _at_most("doc_ids: characters of one", max(map(len, doc_ids), default=0), limits.max_doc_id_characters)
    _at_most("query: characters", len(query or ""), limits.max_query_characters)


def _at_most(subject: str, value: int, limit: int) -> None:
    if value > limit:
        raise ServiceError(422, f"{subject}: expected at most {limit}, got {value}")
