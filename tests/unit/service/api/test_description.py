"""The description of the API holds: schemathesis sends what it allows and what it forbids, and nothing breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from iodeep.card import read_card
from tests.unit.selection.support import BRAIN_CARD, packed
from tests.unit.service.api.busy_day import busy_day
from tests.unit.service.api.conftest import running
from tests.unit.service.api.site import Site

_UNENDING = "followJobs"
"""It ends after 15 minutes; the tests of jobs follow it."""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The description, as the running API of a site with jobs and a model gives it."""
    root: Path = tmp_path_factory.mktemp("site")
    packed(root / "brain", read_card(BRAIN_CARD))
    http = {"port": 0, "requests_per_minute": 1_000_000, "requests_per_minute_and_address": 1_000_000}
    serve = {"http": http, "access": {"anonymous": "administrator"}}
    site = Site(root / "data", serve=serve, models=(root / "brain" / "packed",), board=busy_day())
    with running(site) as client:
        document = client.get("/api/v1/openapi.json").json()
        schema = schemathesis.openapi.from_dict(without_credentials(document)).exclude(operation_id=_UNENDING)
        schema.config.update(base_url=str(client.base_url))
        yield schema


def without_credentials(document: dict[str, Any]) -> dict[str, Any]:
    """The site asks for none; that one which does gives nothing without is shown beside, in test_errors."""
    paths = document["paths"].items()
    bare = {path: {method: {**each, "security": []} for method, each in methods.items()} for path, methods in paths}
    return {**document, "paths": bare}


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_operation_answers_as_described(described: Any, mode: GenerationMode) -> None:
    for result in described.get_all_operations():
        strategy = result.ok().as_strategy(generation_mode=mode)

        @given(case=strategy)
        @settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        def holds(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate()

        with suppress(Unsatisfiable):  # an operation that takes nothing cannot be asked wrongly
            holds()


def test_every_operation_says_what_it_does(described: Any) -> None:
    operations = [result.ok().definition.raw for result in described.get_all_operations()]
    names = [operation["operationId"] for operation in operations]

    assert len(names) == len(set(names)) >= 20
    assert all(operation["summary"] and operation["description"] and operation["tags"] for operation in operations)
