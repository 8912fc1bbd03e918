"""Errors as answers: a status, a clear message, and nothing of the server's files.

Every error has the form that clients of OpenAI expect: {"error": {"message": ..., "type": ...}}.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from hpdsearch.errors import CorpusError, HpdsearchError, LockedError, QueryError, ShapeError

logger = logging.getLogger(__name__)

TYPES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    421: "misdirected_request",
    422: "invalid_request",
    429: "too_many_requests",
    503: "unavailable",
}
RETRY_SECONDS = 1
LOCK_RETRY_SECONDS = 5
OF_CALLERS = (QueryError, CorpusError, ShapeError)  # FilterError is a QueryError


class ServiceError(HTTPException):
    """A request that is refused."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, dict(headers) if headers else None)


def error_body(status: int, message: str) -> dict[str, Any]:
    """Return the JSON values of an error; half of a surrogate pair, which cannot be encoded, is shown as its escape."""
    shown = message.encode("utf-8", "backslashreplace").decode()
    return {"error": {"message": shown, "type": TYPES.get(status, "error"), "param": None, "code": None}}


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer of an error."""
    return JSONResponse(error_body(status, message), status, dict(headers) if headers else None)


def translate(error: HpdsearchError, name: str, paths: Sequence[str]) -> ServiceError:
    """Return the answer to an error of an index: a mistake of the caller with its message, others without details.

    Args:
        error: the error.
        name: of the index.
        paths: of its folder, which the message must not hold.
    """
    if isinstance(error, OF_CALLERS):
        message = str(error)
        for path in sorted(paths, key=len, reverse=True):
            message = message.replace(path, name)
        return ServiceError(422, message)
    if isinstance(error, LockedError):
        headers = {"Retry-After": str(LOCK_RETRY_SECONDS)}
        return ServiceError(409, f"{name}: another process is writing to this index; try again later", headers)
    logger.error("%s: %s", name, error)
    return ServiceError(503, f"{name}: the index cannot be used at the moment; the log of the service says why")


def add_handlers(app: FastAPI) -> None:
    """Let the application answer errors in this form."""

    async def answer_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return error_response(error.status_code, str(error.detail), error.headers)

    async def answer_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return error_response(422, describe_validation(error.errors()))

    async def answer_bug(_: Request, error: Exception) -> Response:
        return error_response(500, "the service failed; its log says why")

    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(RequestValidationError, answer_validation)
    app.add_exception_handler(Exception, answer_bug)


def describe_validation(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return one line for the first mistakes, without the values that came."""
    lines = []
    for error in errors[:5]:
        place = ".".join(str(part) for part in error.get("loc", ()) if part not in ("body", "query", "path"))
        lines.append(f"{place}: {error['msg']}" if place else str(error["msg"]))
    return "; ".join(lines) or "invalid request"
