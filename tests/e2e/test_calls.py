"""Bids first (P2.5): a job that is called for, and posted by the very transaction that accepts the bids."""

import json

import pytest

from heldout.market.lifecycle import Outcome, State
from heldout.market.terms import JobId
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended, eventually, heldout

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def call(town: Town, name: str) -> JobId:
    """`heldout job post --bids-first`, as a person does it."""
    folder = town.folder(name, **GOOD_ENOUGH)
    heldout([*town.devnet.command("data", "seal", str(folder), home="requester")[3:]])
    words = ["post", str(folder), "--bids-first", "--unchecked", "-y", "--json"]
    said = heldout(town.devnet.command("job", *words, home="requester")[3:]).stdout
    return JobId(json.loads(said.splitlines()[-1])["job"])


def test_a_job_is_posted_by_the_transaction_that_accepts_its_bids(town: Town) -> None:
    job = call(town, "bids-first")
    chain = town.chain
    assert chain.job(job).state is State.NONE
    eventually(lambda: bool(town.requester().mail.bids(job)), "a bid")
    assert chain.job(job).state is State.NONE, "nothing is locked before a bid is taken"
    with Kept(town):
        eventually(lambda: chain.job(job).state is not State.NONE, "the job on chain")
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.lanes[0].payout > 0
    events = chain.events(town.devnet.network.deploy_block, chain.head().number, job=job)
    (accepted,) = [event.tx for event in events if event.name == "Accepted"]
    assert accepted == ended.posted.tx, "posted and accepted in one"


@pytest.mark.deep
def test_a_call_needs_no_service_and_outlives_its_requester(town: Town) -> None:
    """P8, P11, threats 40 and 52: the chain carries the call and its bids; kill -9 before the job is opened."""
    town.devnet.processes.stop("service")
    try:
        job = call(town, "bids-first-alone")
        with Kept(town):
            town.kill("requester")
        eventually(lambda: bool(town.requester().mail.bids(job)), "a bid")
        assert town.chain.job(job).state is State.NONE
        with Kept(town):
            eventually(lambda: town.chain.job(job).state is not State.NONE, "the job on chain")
            ended = town.settle(job)
    finally:
        town.start("service")
    check_ended(town, ended, Outcome.MEASURED)
