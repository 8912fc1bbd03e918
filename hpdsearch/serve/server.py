"""Run the service with uvicorn: listen, announce the address, stop gracefully."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hpdsearch.errors import ServeError
from hpdsearch.serve.app import create_app
from hpdsearch.serve.indexes import Indexes
from hpdsearch.serve.metrics import Metrics
from hpdsearch.serve.settings import Limits, Settings

MAX_HEADER_BYTES = 32_768
TOO_LARGE = "The headers of the request are too large."
BACKLOG = 1024


def run(folders: Sequence[Path], settings: Settings, port: int, announce: Callable[[str], object]) -> None:
    """Serve indexes until SIGINT or SIGTERM; finish the running requests first.

    Args:
        folders: the index folders.
        settings: who may use the service.
        port: 0: a free one.
        announce: is told the address when the service answers.

    Raises:
        ServeError: the address cannot be listened on, or the folders cannot be served.
        HpdsearchError: an index or its encoder cannot be opened.
    """
    with contextlib.closing(listen(settings.host, port)) as listening:
        metrics = Metrics()
        indexes = Indexes(folders, settings.limits, metrics.batch.observe)
        app = create_app(indexes, settings, metrics)
        config = uvicorn.Config(
            app,
            http=protocol(settings.limits),
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",  # not a line for each broken request
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(settings.limits.stop_seconds),
        )
        host, actual_port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        server = Server(config, lambda: announce(f"http://{shown}:{actual_port}"))
        server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ServeError: the address is unknown or in use.
    """
    try:
        family, kind, protocol_number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sets TCP_NODELAY only where the protocol is named. Without it, an answer waits 40 ms for an ACK.
        listening = socket.socket(family, kind, protocol_number or socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServeError(f"{host}:{port}: cannot listen ({reason}); choose another --host or --port") from error
    return listening


class Server(uvicorn.Server):
    """uvicorn's server, which announces that it answers, and after a signal ends as a program that has done its work.

    uvicorn raises the signal again at the end, so that a service that was stopped in good order looks killed.
    """

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT and SIGTERM; a second SIGINT does not wait for running requests."""
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with limits of the time and the bytes that the headers of a request may take."""

    class LimitedProtocol(HttpToolsProtocol):
        """Closes a connection whose request headers do not arrive, and refuses headers that are too large."""

        _timer: asyncio.TimerHandle | None = None
        _in_headers = False
        _waiting_bytes = 0  # received of headers that are not complete

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(limits.header_seconds, self._close_if_idle)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # The parser collects a header without end. Its callbacks see only complete ones.
            self._waiting_bytes = self._waiting_bytes + len(data) if self._in_headers else 0
            if self._waiting_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response(TOO_LARGE)
            self._watch_headers()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch_headers()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_headers = True

        def on_headers_complete(self) -> None:
            self._in_headers = False
            if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEADER_BYTES:
                raise ValueError(TOO_LARGE)  # an error in a callback ends the parsing with status 400
            super().on_headers_complete()

        def _watch_headers(self) -> None:
            """Start the timer when a request begins, stop it when its headers are there."""
            is_answering = self.cycle is not None and not self.cycle.response_complete
            if is_answering and self._timer is not None:
                self._timer.cancel()
                self._timer = None
            elif not is_answering and self._timer is None:
                self._timer = self.loop.call_later(limits.header_seconds, self._close_if_idle)

        def _close_if_idle(self) -> None:
            self._timer = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return LimitedProtocol
