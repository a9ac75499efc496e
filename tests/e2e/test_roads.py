"""The cheaper roads of a whole job (P6): real nodes take them by themselves. Other tests here take the plain one."""

import subprocess
import sys

import pytest

from heldout.market.errors import TimedOut
from heldout.market.lifecycle import Outcome, Purpose, State
from heldout.market.roads import End, Road, roads_of
from heldout.market.terms import JobId
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended, heldout

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


@pytest.mark.deep
def test_requester_and_provider_agree_and_the_job_is_settled_by_their_word(town: Town) -> None:
    """P6.1: a real provider node signs what pays its whole bid, and nothing less; committed seats keep their fee."""
    client, job = town.post("agreed", **{**GOOD_ENOUGH, "challenge": '"120 s"'})
    with Kept(town):
        scored = town.until_state(job, State.SCORED)
        town.fetch(client, scored)
        dry = heldout(_agree(town, job, "--score", "1.0", "--dry-run")).stdout
        assert "payout" in dry and "refund" in dry and not town.job(job).final
        low = subprocess.run(
            [sys.executable, "-m", "heldout", *_agree(town, job, "--score", "0.5", "--wait", "4 s")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert low.returncode == TimedOut.exit_code and "not_agreed" in low.stderr, low.stderr
        heldout(_agree(town, job, "--score", "1.0"))
        ended = town.until(job, "its end", lambda j: j.final)
    check_ended(town, ended, Outcome.AGREED)
    assert ended.lanes[0].payout == ended.lanes[0].price
    assert sum(m.purpose is Purpose.FEE for m in ended.money) == 3
    assert roads_of(client.events(ended)).end is End.AGREED


def _agree(town: Town, job: JobId, *flags: str) -> list[str]:
    return town.devnet.command("job", "agree", job, *flags, "-y", "--json", home="requester")[3:]
