"""Who may use the service: a token, and on a loopback address without one, only pages of this machine."""

import base64
import binascii
import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hpdsearch.serve.errors import error_response
from hpdsearch.serve.settings import Settings, is_loopback

OPEN_PATHS = frozenset({"/health"})
CHALLENGE = 'Basic realm="hpdsearch", charset="UTF-8"'  # a browser asks its user for it; programs send Bearer


class Access:
    """Refuses requests without the token; without a token, requests for another host than this machine.

    A page of the web could make its own name point to 127.0.0.1 and then read the answers (DNS rebinding). Its requests
    carry that name in their Host header.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._token = settings.token.encode() if settings.token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 or 421."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self._token is None:
            if not is_loopback(host_name(headers.get("host", ""))):
                refusal = "this service answers on localhost only; start it with --host and --token for other names"
                await error_response(421, refusal)(scope, receive, send)
                return
        elif not holds_token(headers.getlist("authorization"), self._token):
            message = "expected the header 'Authorization: Bearer TOKEN' with the token of this service"
            await error_response(401, message, {"WWW-Authenticate": CHALLENGE})(scope, receive, send)
            return
        await self.app(scope, receive, send)


def holds_token(values: list[str], token: bytes) -> bool:
    """Return whether the one Authorization header holds the token; the time does not depend on what differs."""
    if len(values) != 1:
        return False
    scheme, _, credentials = values[0].partition(" ")
    given = credentials.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given, token)


def host_name(host: str) -> str:
    """Return the name or address of a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
