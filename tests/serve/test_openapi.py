"""schemathesis: requests that are made from the OpenAPI description, valid and invalid ones, to every route."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from hpdsearch.serve.app import create_app
from hpdsearch.serve.indexes import Indexes
from hpdsearch.serve.metrics import Metrics
from hpdsearch.serve.settings import Settings

schemathesis = pytest.importorskip("schemathesis", reason="needs Python 3.11")


@pytest.fixture
def api(folder: Path) -> Iterator[Any]:
    """Yield the description of the service, which calls it in this process."""
    service = Settings()
    metrics = Metrics()
    indexes = Indexes([folder], service.limits, metrics.batch.observe)
    yield schemathesis.openapi.from_asgi("/openapi.json", create_app(indexes, service, metrics))
    indexes.close()


schema = schemathesis.pytest.from_fixture("api")


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_description_names(case: Any) -> None:
    case.call_and_validate()
