"""Fixtures: the service on a small index, and a client in the same process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpdsearch import Document, Encoder, Index

if TYPE_CHECKING:
    from starlette.testclient import TestClient

if not all(map(find_spec, ("fastapi", "prometheus_client", "uvicorn"))):
    print('tests/serve is left out: it needs pip install "hpdsearch[serve]"')  # noqa: T201
    collect_ignore_glob = ["test_*.py"]

DOCUMENTS = [
    Document("a b", "a morbid fear of spiders", "arachnophobia", {"year": 1920, "tags": ["bad", "long"]}),
    Document("s1", "an instrument for measuring earthquakes", "seismograph", {"year": 1858}, "/home/me/notes/s.txt:3"),
    Document("j1", "a feeling of great happiness", "joy", {"year": 1400, "tags": ["good"]}),
    Document("c1", "the old cat sleeps on the boat", "cat", {"year": 1300}),
    Document("notes/README.md", "the moon shines on the old boat", "", {"year": None}),
]

Serve = Callable[..., "TestClient"]


@pytest.fixture
def folder(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    """Return the folder of an index of DOCUMENTS."""
    Index.build(tmp_path / "indexes" / "words", DOCUMENTS, encoder=tiny_encoder).close()
    return tmp_path / "indexes" / "words"


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Return a function that starts the service; without folders, it serves DOCUMENTS."""
    from starlette.testclient import TestClient

    from hpdsearch.serve.app import create_app
    from hpdsearch.serve.indexes import Indexes
    from hpdsearch.serve.metrics import Metrics
    from hpdsearch.serve.settings import Limits, Settings

    with ExitStack() as stack:

        def start(*folders: Path, limits: Limits | None = None, **settings: Any) -> TestClient:
            limits = limits or Limits()
            metrics = Metrics()
            indexes = Indexes(folders or [folder], limits, metrics.batch.observe)
            app = create_app(indexes, Settings(limits=limits, **settings), metrics)
            client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
            return stack.enter_context(client)

        yield start


@pytest.fixture
def client(serve: Serve) -> "TestClient":
    """Return a client of the service with its default settings."""
    return serve()
