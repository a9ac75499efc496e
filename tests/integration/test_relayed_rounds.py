"""Three real validator nodes on a real chain take the relayed road (P6.1), and leave it for the plain one in time."""

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from court import PERFECT, WINDOW, Case, Court, Node, held_court, working

from heldout.market.failpoint import VARIABLE
from heldout.market.foreseen import Openings
from heldout.market.lifecycle import ChainEvent, JobState, State
from heldout.market.mail import Mail
from heldout.market.messages import hexed
from heldout.market.relayed import ScoreCommit, commit_letter, sign
from heldout.market.roads import End, Road, RoundRoads, roads_of
from heldout.market.waiving import consent_to

pytestmark = pytest.mark.integration

GRACE = 100


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with held_court(tmp_path_factory.mktemp("devnet"), (8, 8, 8), service=True) as court:
        yield court


class Committee:
    """A case that waits for three seats of different validators, and the nodes of some of them."""

    def __init__(self, court: Court, home: Path, **willing: bool) -> None:
        self.court, self.home = court, home
        while len(set(owners := self._drawn())) < 3:
            continue
        self.owners = owners
        court.send_weights(self.case, **willing)
        court.send_held_out_keys(self.case, **willing)

    def _drawn(self) -> list[int]:
        self.case: Case = self.court.case()
        hot = [seat.hot for seat in self.court.chain.seats(self.court.seats(self.case))]
        return [[ring.address for ring in self.court.validators].index(address) for address in hot]

    @contextmanager
    def at_work(
        self, places: Sequence[int] = (0, 1, 2), *, grace: int = GRACE, announce: bool = False
    ) -> Iterator["Nodes"]:
        with ExitStack() as stack:
            homes = {place: self.home / f"node-{place}" for place in places}
            nodes = {
                place: stack.enter_context(
                    working(self.court, home, self.owners[place], grace_s=GRACE, announce=announce)
                )
                for place, home in homes.items()
            }
            yield Nodes(self, nodes)

    def look(self) -> JobState:
        return self.court.look(self.case)

    def events(self, name: str) -> list[ChainEvent]:
        head = self.court.chain.head().number
        return self.court.chain.events(self.court.network.deploy_block, head, job=self.case.id, names=[name])

    def transactions(self, name: str) -> int:
        return len({event.tx for event in self.events(name)})


class Nodes:
    def __init__(self, committee: Committee, nodes: dict[int, Node]) -> None:
        self.committee, self.nodes = committee, nodes

    def __getitem__(self, place: int) -> Node:
        return self.nodes[place]

    def turn(self) -> None:
        for node in self.nodes.values():
            node.turn()

    def until(self, holds: Callable[[JobState], object], patience_s: float = 60) -> JobState:
        give_up = time.monotonic() + patience_s
        while time.monotonic() < give_up:
            self.turn()
            state = self.committee.look()
            if holds(state):
                return state
            time.sleep(0.05)
        raise AssertionError(f"it did not come true in {patience_s:g} s: {self.committee.look()}")

    def until_voted(self) -> None:
        """Every ballot is in its journal, and none on chain."""
        self.until(lambda job: all(self._state(place) == "voted" for place in self.nodes) or job.rounds[0].commits)
        assert not self.committee.look().rounds[0].commits

    def _state(self, place: int) -> str:
        duties = json.loads((self.committee.home / f"node-{place}" / "board.json").read_text())["duties"]
        return next((duty["state"] for duty in duties if duty["job"] == self.committee.case.id), "")


def test_commits_and_reveals_of_all_seats_take_one_transaction_each(
    court: Court, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """P6.1; and no opening leaves a node before the commits are as deep as the network file says."""
    caplog.set_level(logging.DEBUG)
    committee = Committee(court, tmp_path)
    with committee.at_work() as nodes:
        nodes.until(lambda job: len(job.rounds[0].commits) == 3)
        committed = committee.events("Committed")[0].block
        job = nodes.until(lambda job: job.state is State.SCORED)
    assert committee.transactions("Committed") == committee.transactions("Revealed") == 1
    assert committee.events("Revealed")[0].block > committed + court.network.confirmations
    assert job.standing == (PERFECT,)


@pytest.mark.deep
def test_parties_who_would_conclude_get_the_openings_and_end_the_job_with_them(court: Court, tmp_path: Path) -> None:
    """P6.1: reveals, waivers and settlement in one transaction, which no seat pays for."""
    committee = Committee(court, tmp_path, waives=True)
    network, case = court.network, committee.case
    openings = Openings(network.chain_id, network.market)
    mail = Mail(network, court.chain, court.requester.account)
    with committee.at_work() as nodes:
        while (foreseen := openings.foresee(committee.look())) is None:
            nodes.turn()
            assert not committee.look().rounds[0].votes if committee.look().rounds else True
            for letter in mail.fetch():
                openings.keep(letter)
        assert foreseen.job.standing == (PERFECT,)
        waiver = consent_to(foreseen.job, court.chain.job(case.id))
        assert waiver is not None
        digest = waiver.digest(network.chain_id, network.market)
        signatures = [sign(ring.account, digest) for ring in (court.requester, court.provider)]
        court.call(court.requester, "conclude", case.terms.as_tuple(), foreseen.as_tuples(), signatures)
    mail.close()
    job, roads = committee.look(), roads_of(court.chain.events(1, court.chain.head().number, job=case.id))
    assert job.final and job.lanes[0].score == PERFECT and job.sums
    assert (roads.rounds, roads.end) == ((RoundRoads(Road.RELAYED, Road.RELAYED),), End.WAIVED)


def test_a_silent_seat_sends_the_others_down_the_plain_road_in_time(court: Court, tmp_path: Path) -> None:
    """P6.1, P3: two commits by themselves when the grace is over; the absent one pays for its absence."""
    committee = Committee(court, tmp_path)
    with committee.at_work((1, 2)) as nodes:
        nodes.until_voted()
        court.devnet.warp(GRACE + 5)
        job = nodes.until(lambda job: len(job.rounds[0].commits) == 2)
        assert court.chain.head().timestamp < job.deadline - WINDOW // 3
        court.pass_deadline(committee.case, spare=30)
        job = nodes.until(lambda job: job.state is State.SCORED)
    assert committee.transactions("Committed") == 2
    assert job.standing == (PERFECT,) and len(job.rounds[0].votes) == 2


@pytest.mark.deep
def test_a_relayer_killed_before_it_posts_is_replaced_by_the_next(court: Court, tmp_path: Path) -> None:
    """P6.1, threat 41: it holds all messages and dies; the same batch goes out, and its own vote in it."""
    committee = Committee(court, tmp_path)
    relayer = court.validators[committee.owners[0]]
    with committee.at_work((1, 2)) as nodes:
        nodes.until_voted()
        _run_until_killed(court, committee.owners[0], "before_commit_all")
        assert not committee.look().rounds[0].commits
        nodes.until(lambda job: len(job.rounds[0].commits) == 3)
    (event,) = committee.events("Committed")[:1]
    sender = court.chain.rpc.call("eth_getTransactionByHash", event.tx)["from"]
    assert committee.transactions("Committed") == 1 and sender.lower() != relayer.address.lower()


def _run_until_killed(court: Court, validator: int, place: str) -> None:
    argv = [*court.devnet.command("validator", "run", home=f"validator-{validator}"), "--period", "0.1"]
    log = court.devnet.state / "relayer.log"
    with log.open("ab") as out:
        process = subprocess.Popen(argv, env={**os.environ, VARIABLE: place}, stdout=out, stderr=out)
    give_up = time.monotonic() + 60
    while process.poll() is None:
        if time.monotonic() > give_up:
            process.kill()
            raise AssertionError(log.read_text()[-3000:])
        court.devnet.mine()
        time.sleep(0.3)
    assert process.returncode == -signal.SIGKILL


def test_a_seat_that_forges_and_contradicts_itself_harms_nobody_but_itself(court: Court, tmp_path: Path) -> None:
    """P6.1, P11b: a commit in another seat's name is dropped; of two of its own the first that proves itself counts."""
    committee = Committee(court, tmp_path)
    case, seats = committee.case, court.seats(committee.case)
    with committee.at_work((1, 2)) as nodes:
        nodes.turn()
        for seat, text in ((seats[1], "forged"), (seats[0], "one"), (seats[0], "two")):
            _offer(committee, 0, seat, text)
        job = nodes.until(lambda job: len(job.rounds[0].commits) == 3)
        assert job.rounds[0].commits[0] == sha256(b"one").digest() and committee.transactions("Committed") == 1
        nodes.until(lambda job: job.state is State.REVEALING)
        court.devnet.warp(GRACE + 5)
        nodes.until(lambda job: len(job.rounds[0].votes) == 2)
        court.pass_deadline(case, spare=30)
        job = nodes.until(lambda job: job.state is State.SCORED)
    assert job.standing == (PERFECT,) and set(job.rounds[0].votes) == {1, 2}


def _offer(committee: Committee, place: int, seat: int, text: str) -> None:
    """The owner of a place signs a commit for a seat, its own or not, to the two others, who read it now."""
    court = committee.court
    ring, network = court.validators[committee.owners[place]], court.network
    commit = ScoreCommit(committee.case.id, 1, seat, sha256(text.encode()).digest())
    signature = sign(ring.account, commit.digest(network.chain_id, network.market))
    mail = Mail(network, court.chain, ring.account)
    for other in {0, 1, 2} - {place}:
        receiver = court.validators[committee.owners[other]].address
        mail.send(commit_letter(commit, signature, ring.address, receiver))
    mail.close()


@pytest.mark.deep
@pytest.mark.parametrize("announce", [False, True])
def test_without_a_service_each_seat_pays_for_itself_unless_it_is_told_to_announce(
    court: Court, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announce: bool
) -> None:
    """P8: with the service gone for ever a round still ends in time, by either road."""
    monkeypatch.setattr(court, "network", replace(court.network, service="http://127.0.0.1:9"))
    committee = Committee(court, tmp_path)
    with committee.at_work(announce=announce) as nodes:
        if not announce:
            nodes.until_voted()
            court.devnet.warp(GRACE + 5)
        nodes.until(lambda job: len(job.rounds[0].commits) == 3)
    assert committee.transactions("Committed") == (1 if announce else 3)


@pytest.mark.deep
def test_a_batch_that_a_reorg_took_back_comes_again_with_the_same_votes(court: Court, tmp_path: Path) -> None:
    """Threats 26, 28, P11b."""
    committee = Committee(court, tmp_path)
    with committee.at_work() as nodes:
        before = nodes.until(lambda job: len(job.rounds[0].commits) == 3).rounds[0].commits
        court.take_back(committee.case, "Committed")
        after = nodes.until(lambda job: len(job.rounds[0].commits) == 3).rounds[0].commits
        job = nodes.until(lambda job: job.state is State.SCORED)
    assert before == after and job.standing == (PERFECT,)


@pytest.mark.deep
def test_who_loses_the_race_to_post_moves_on(court: Court, tmp_path: Path) -> None:
    """P6.1, threat 38: two batches wait for one block; the contract refuses the second, and its node goes on."""
    committee, anvil = Committee(court, tmp_path), court.devnet.anvil
    with committee.at_work((1, 2)) as nodes:
        nodes.until_voted()
        court.devnet.warp(1)  # whoever holds all in the second in which its own went out posts at once
        _offer(committee, 0, court.seats(committee.case)[0], "played")
        nodes.turn()
        nodes.turn()  # both hold all now, and leave the first place its turn
        court.devnet.warp(20)
        anvil.call("evm_setAutomine", False)
        try:
            for node in nodes.nodes.values():
                node.look()
            begins = hexed(court.chain.market.encode("commitAll", [bytes.fromhex(committee.case.id[2:]), [], []])[:4])
            waiting = [each for queue in anvil.call("txpool_content")["pending"].values() for each in queue.values()]
            assert sum(each["input"].startswith(begins) for each in waiting) == 2
        finally:
            anvil.call("evm_setAutomine", True)
        nodes.until(lambda job: len(job.rounds[0].commits) == 3)
        assert committee.transactions("Committed") == 1
        nodes.until(lambda job: job.state is State.REVEALING)
        court.devnet.warp(GRACE + 5)
        nodes.until(lambda job: len(job.rounds[0].votes) == 2)


@pytest.mark.deep
def test_a_node_that_knows_only_the_plain_road_takes_the_others_with_it(court: Court, tmp_path: Path) -> None:
    """An older node among newer ones: its commit ends the wait at once, for commits and for reveals."""
    committee = Committee(court, tmp_path)
    with committee.at_work((0, 1)) as nodes, working(court, tmp_path / "old", committee.owners[2]) as old:
        nodes.until_voted()
        begun = court.chain.head().timestamp
        old.until(committee.case, lambda job: job.rounds[0].commits)
        nodes.until(lambda job: len(job.rounds[0].commits) == 3)
        assert court.chain.head().timestamp < begun + GRACE
        old.until(committee.case, lambda job: job.rounds[0].votes)
        job = nodes.until(lambda job: job.state is State.SCORED)
    assert committee.transactions("Committed") == committee.transactions("Revealed") == 3
    assert job.standing == (PERFECT,)
