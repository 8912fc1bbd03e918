"""The settings of the service: who may use it, and the limits of a request."""

import ipaddress
from dataclasses import dataclass, field

from hpdsearch.errors import ServeError

MIN_TOKEN_CHARACTERS = 8


@dataclass(frozen=True)
class Limits:
    """The largest requests that are answered; a larger one gets a 4xx answer that names the limit.

    Attributes:
        max_k: k + offset of a search.
        max_queries: queries of one request.
        max_query_characters: characters of a query.
        max_total_characters: characters of all queries of one request.
        max_explained: k + offset of a search that explains its hits.
        max_placed: documents of one map.
        max_filter_characters: characters of a filter.
        max_doc_id_characters: characters of a doc_id in a request.
        max_body_bytes: bytes of a body, except of JSON lines.
        max_stream_bytes: bytes of a body of JSON lines, which is kept in a temporary file.
        max_line_bytes: bytes of one of these lines.
        max_embeddings: texts of one request for embeddings.
        max_text_characters: characters of such a text.
        max_requests: requests at work at the same time.
        max_writes: changes of one index at the same time: one at work, the others wait for it.
        body_seconds: a body may take so long, and 1 second more for each min_bytes_per_second that came.
        min_bytes_per_second: slowest rate of a long body.
        header_seconds: a connection is closed if the headers of a request take longer.
        write_seconds: a change waits so long for another process that writes.
        stop_seconds: running requests are finished for so long when the service stops.
    """

    max_k: int = 1000
    max_queries: int = 256
    max_query_characters: int = 8192
    max_total_characters: int = 65_536
    max_explained: int = 100
    max_placed: int = 100
    max_filter_characters: int = 8192
    max_doc_id_characters: int = 4096
    max_body_bytes: int = 8 * 2**20
    max_stream_bytes: int = 2**30
    max_line_bytes: int = 8 * 2**20
    max_embeddings: int = 2048
    max_text_characters: int = 100_000
    max_requests: int = 128
    max_writes: int = 8
    body_seconds: float = 20.0
    min_bytes_per_second: float = 50_000.0
    header_seconds: float = 10.0
    write_seconds: float = 30.0
    stop_seconds: float = 60.0


@dataclass(frozen=True)
class Settings:
    """How the service is offered.

    Attributes:
        host: the address that it listens on.
        token: every request but those of /health must carry it; None: none is needed, on a loopback address only.
        read_only: refuse changes.
        cors_origins: the origins, such as https://example.org, whose pages may use the service from a browser.
        limits: the largest requests.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    read_only: bool = False
    cors_origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ServeError: other machines could use the service without a token, or the token is too short.
        """
        if self.token is None and not is_loopback(self.host):
            raise ServeError(
                f"--host {self.host}: other machines can reach this address; set --token or --token-file, or listen on "
                "127.0.0.1"
            )
        if self.token is not None and (len(self.token) < MIN_TOKEN_CHARACTERS or not _is_visible_ascii(self.token)):
            raise ServeError(
                f"token: expected at least {MIN_TOKEN_CHARACTERS} letters, digits and signs of ASCII without spaces"
            )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine only."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_visible_ascii(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)
