"""The network is cut between single parties (threat 57)."""

import os
import time

import pytest

from heldout.market.lifecycle import Outcome, State
from tests.e2e.cables import behind_cables
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended, eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.docker,
    pytest.mark.deep,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network of one's own needs root"),
]

CUT_S = 12
"""Longer than any time-out of a client, so that each notices."""
PATIENT = {
    **GOOD_ENOUGH,
    "release": '"60 s"',
    "challenge": '"150 s"',
    "work": '"120 s"',
    "commit": '"120 s"',
    "reveal": '"120 s"',
}


def test_a_provider_that_loses_store_service_and_chain_in_turn_is_paid(town: Town) -> None:
    """It neither gives up nor hands in twice; what it owed while it was cut off goes out when it is back."""
    with behind_cables(town, "provider-0") as cables, Kept(town):
        client, job = town.post("cut-provider", **PATIENT)
        town.until_state(job, State.RUNNING)
        with cables["store"].cut():
            time.sleep(CUT_S)
            assert town.job(job).state is State.RUNNING, "weights that no store has are not handed in"
        town.until(job, "votes on what it delivered", lambda j: any(len(r.commits) == 3 for r in j.rounds))
        with cables["chain"].cut(), cables["service"].cut():
            town.until_state(job, State.SCORED)
            time.sleep(CUT_S)
        town.fetch(client, town.job(job))
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.lanes[0].payout > 0, town.story(job)
    assert [event.name for event in client.events(ended)].count("Submitted") == 1


@pytest.mark.parametrize("cable", ["store", "chain"])
def test_a_seat_that_is_cut_off_before_its_vote_rejoins_and_votes_with_the_others(town: Town, cable: str) -> None:
    with Kept(town):
        client, job = town.post(f"cut-seat-{cable}", **PATIENT)
        with town.stopped(job, town.lone) as seats:
            ((victim, place),) = town.lone(seats).items()
            two = town.until(job, "two commits", lambda j: len(j.rounds[0].commits) == 2)
            assert place not in two.rounds[0].commits
            town.kill(name := f"validator-{victim}")
        starts = town.starts(name)
        with behind_cables(town, name) as cables:
            if cable == "chain":  # without it no node starts
                eventually(lambda: town.starts(name) > starts, "it is online")
            with cables[cable].cut():
                time.sleep(CUT_S)
            ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert len(ended.rounds[0].votes) == 3 and len(set(ended.rounds[0].votes.values())) == 1
    assert [event.name for event in client.events(ended)].count("Committed") == 3
