"""`heldout job agree` before any provider signs (P6.6)."""

from types import SimpleNamespace
from typing import Any

import pytest

from heldout.market.agreeing import LONGEST_VALIDITY_S
from heldout.market.errors import BadInput, TimedOut
from heldout.requester_cli.agreeing import SPARE_S, _gather, _wait


def test_who_waits_in_vain_is_told_until_when_its_signature_binds() -> None:
    """A provider that signs late has everything that `agree` takes."""
    silent: Any = SimpleNamespace(propose=lambda job, outcome: None, consents=lambda job, outcome: None)
    outcome: Any = SimpleNamespace(validUntil=1_800_000_600)
    with pytest.raises(TimedOut) as told:
        _gather(silent, SimpleNamespace(), outcome, -1)  # type: ignore[arg-type]
    assert "2027-01-15 08:10:00 UTC" in told.value.hint


def test_no_wait_outlasts_what_a_provider_signs_for() -> None:
    longest = LONGEST_VALIDITY_S - 2 * SPARE_S
    assert _wait(f"{longest} s") == longest
    with pytest.raises(BadInput, match="too long"):
        _wait(f"{longest + 1} s")
