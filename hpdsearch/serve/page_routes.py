"""GET /: the search page, made of the files in page/. It loads nothing from another machine."""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from hpdsearch.serve.errors import ServiceError

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
START = "index.html"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a newer version of the service has another page
}


def page_router() -> APIRouter:
    """Return the routes of the page. Its files are read once; a request only chooses one of them."""
    router = APIRouter(include_in_schema=False)
    contents = {each.name: each.read_bytes() for each in files("hpdsearch.serve").joinpath("page").iterdir()}

    @router.get("/")
    async def show_page() -> Response:
        return _respond(START, contents[START])

    @router.get("/page/{name}")
    async def show_file(name: str) -> Response:
        if name not in contents:
            raise ServiceError(404, f"there is no file {name[:200]!r}")
        return _respond(name, contents[name])

    return router


def _respond(name: str, content: bytes) -> Response:
    return Response(content, media_type=MEDIA_TYPES[name.rpartition(".")[2]], headers=HEADERS)
