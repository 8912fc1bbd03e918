"""schemathesis: requests that are made from the OpenAPI description, valid and invalid ones, to every route."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from hpdsearch.serve.app import create_app
from hpdsearch.serve.indexes import Indexes
from hpdsearch.serve.metrics import Metrics
from hpdsearch.serve.settings import Settings

schemathesis = pytest.importorskip("schemathesis", reason="needs Python 3.11")
HEADERS = {"Authorization": "Bearer the-right-token"}


@pytest.fixture
def api(folder: Path) -> Iterator[Any]:
    """Yield the description of the service, which calls it in this process."""
    service = Settings(token="the-right-token")
    metrics = Metrics()
    indexes = Indexes([folder], service.limits, metrics.batch.observe)
    yield schemathesis.openapi.from_asgi("/openapi.json", create_app(indexes, service, metrics), headers=HEADERS)
    indexes.close()


@pytest.mark.slow
def test_every_answer_is_one_that_the_description_names(api: Any) -> None:
    """Requests that fit the description may be refused: it cannot say what a filter is, or which fields go together."""
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    operations = [each.ok() for each in api.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
        def check(case: Any) -> None:
            case.call_and_validate(headers=HEADERS, excluded_checks=[positive_data_acceptance])

        check()
