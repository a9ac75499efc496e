"""Every route, asked what its own description allows and some of what it does not: no fault, no answer that is not
described (schemathesis)."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from heldout.market.messages import hexed
from tests.scenery import account, small_market
from tests.service_app import listening

pytestmark = [pytest.mark.integration, pytest.mark.deep]
KEPT_TO = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = {"/v1/events"}
EXAMPLES = 15


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    plays = small_market()
    with listening(tmp_path_factory.mktemp("schema"), plays["measured"].scenery, rate=1e6) as url:
        known = {
            "job": plays["measured"].id,
            "artifact": hexed(plays["measured"].artifact_of(0)),
            "address": account("ada"),
        }
        yield schemathesis.openapi.from_url(f"{url}/v1/openapi.json"), known


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_every_route_keeps_to_its_description(described: Any, mode: GenerationMode) -> None:
    """Threat 72 too: names and ids are whatever a generator finds."""
    schema, known = described
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path not in ENDLESS:
            with suppress(Unsatisfiable):  # what takes nothing cannot be asked anything wrong
                _ask(operation, mode, known)
                asked += 1
    assert asked >= 20


def _ask(operation: Any, mode: GenerationMode, known: dict[str, str]) -> None:
    """Half of the time about what is there."""
    quick = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @quick
    @given(case=operation.as_strategy(generation_mode=mode), is_there=st.booleans())
    def ask(case: Any, is_there: bool) -> None:
        if is_there and case.path_parameters:
            case.path_parameters |= {name: known[name] for name in case.path_parameters if name in known}
        case.call_and_validate(checks=KEPT_TO, timeout=20)

    ask()
