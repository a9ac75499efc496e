"""The cheaper roads of a whole job (P6): real nodes take them by themselves. Other tests here take the plain one."""

import pytest

from heldout.market.lifecycle import Outcome, State
from heldout.market.roads import End, Road, roads_of
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def test_a_job_that_nobody_would_appeal_is_concluded_as_soon_as_its_weights_are_there(town: Town) -> None:
    """P6.1, P4.4: half b, the weights opened and measured again, both waivers, and no challenge to wait for."""
    client, job = town.post("waived", **{**GOOD_ENOUGH, "challenge": '"120 s"'})
    with Kept(town, waive="verified"):
        scored = town.until_state(job, State.SCORED)
        ended = town.until(job, "its end, without waiting", lambda j: j.final, patience_s=60)
    check_ended(town, ended, Outcome.MEASURED)
    events = client.events(ended)
    assert roads_of(events).end is End.WAIVED and roads_of(events).rounds[0].commits is Road.PLAIN
    assert scored.final or events[-1].timestamp < scored.deadline
    assert client.fetch(ended, 0) and ended.lanes[0].payout > 0
