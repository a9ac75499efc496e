"""Two generations on a real chain: a job whose terms pay the maker of an earlier artifact, told by events (P7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest
from builders import TERMS

from heldout.devnet import Devnet
from heldout.market.chain import Outbox
from heldout.market.chain.deposits import deposit
from heldout.market.chain.signatures import sign_digest
from heldout.market.errors import Reverted
from heldout.market.journal import Journal
from heldout.market.lifecycle import JobState, Purpose, fold
from heldout.market.messages import Bid, Submission, beside, commit_hash, pack_vote
from heldout.market.money import ONE_TOKEN, BasisPoints, Wei, payout_down
from heldout.market.split import SEED_DELAY
from heldout.market.terms import Address, JobTerms, Parent, job_id
from heldout.market.valuechain import Artifact, artifact_id
from heldout.requester_cli.client import Client
from heldout.requester_cli.main import dispatch
from heldout.requester_cli.shelf import Shelf

pytestmark = pytest.mark.integration

VALIDATORS = 8
PRICE = Wei(81 * ONE_TOKEN + 7)
WEIGHTS = b"weights of lane 0"
SUBMISSION = Submission(sha256(WEIGHTS).digest(), b"\x02" * 32, b"\x03" * 32, b"\x04" * 32)


class Town:
    """Every party of a devnet, each with an outbox, and a job played from post to payout in one call."""

    def __init__(self, devnet: Devnet, stack: ExitStack) -> None:
        self.devnet, self.chain = devnet, devnet.chain()
        self._stack = stack
        self._outboxes: dict[str, Outbox] = {}

    def send(self, who: str, function: str, *args: object) -> None:
        if who not in self._outboxes:
            journal = self._stack.enter_context(Journal(self.devnet.state / "town" / who))
            self._outboxes[who] = Outbox(self.chain, self.devnet.keys(who).account, journal)
        self._outboxes[who].send(f"{function}:{args!r}", function, *args, wait=True)

    def fund(self, who: str, amount: Wei) -> None:
        with Journal(self.devnet.state / "funds" / who) as journal:
            account = self.devnet.keys(who).account
            deposit(self.chain, Outbox(self.chain, account, journal), account, amount)

    def play(self, score: int, *, provider: str, parents: tuple[Parent, ...] = (), salt: bytes) -> JobState:
        """A job of one lane that ends with this score, and its weights on the requester's shelf."""
        ring = self.devnet.keys("requester")
        terms = replace(TERMS, requester=ring.address, lanes=1, bond=Wei(20 * ONE_TOKEN), parents=parents, salt=salt)
        self.fund("requester", terms.escrow)
        self.send("requester", "post", terms.as_tuple())
        job = job_id(terms, self.devnet.network.chain_id, self.devnet.network.market)
        raw = bytes.fromhex(job[2:])
        self._bind(terms, raw, provider)
        word = SUBMISSION.word(raw, self.devnet.keys(provider).address)
        self.send(provider, "submit", job, 0, word)
        self._measure(raw, score)
        self.devnet.warp(terms.challengeWindow)
        self.send("requester", "settle", terms.as_tuple())
        told = fold(self.chain.events(0, self.chain.head().number, job=job))[job]
        Shelf(self.devnet.home("requester") / "weights").keep(job, 0, SUBMISSION, WEIGHTS)
        return told

    def _bind(self, terms: JobTerms, job: bytes, provider: str) -> None:
        ring = self.devnet.keys(provider)
        self.fund(provider, terms.collateral)
        bid = Bid(job, ring.address, PRICE, ring.wrap_public, self.chain.head().timestamp + 3_600, int(job[0]))
        digest = bid.digest(self.devnet.network.chain_id, self.devnet.network.market)
        signature = sign_digest(ring.account, digest)
        self.send("requester", "accept", terms.as_tuple(), [bid.as_tuple()], [signature])

    def _measure(self, job: bytes, score: int) -> None:
        self.devnet.mine(SEED_DELAY + 1)
        vote, evidence, salt = pack_vote([score]), bytes(32), job
        seats = self.chain.committee("0x" + job.hex())[1]  # type: ignore[arg-type]
        commits = {}
        for place, seat in enumerate(seats):
            network = self.devnet.network
            hash_ = commit_hash(network.chain_id, network.market, job, 1, seat, vote, evidence, salt)
            self.send(f"validator-{seat // 3}", "commit", job, place, hash_)
            commits[place] = hash_
        for place in commits:
            others = beside(commits.items(), place)
            self.send("requester", "reveal", job, place, vote, evidence, salt, *others)

    def run(self, *words: str, who: str = "requester") -> int:
        return dispatch(self.devnet.command(*words, home=who)[3:])


@pytest.fixture
def town(devnet: Devnet) -> Iterator[Town]:
    for number in range(VALIDATORS):
        devnet.stake(number)
    with ExitStack() as stack:
        yield Town(devnet, stack)


def test_two_generations_are_paid_claimed_and_told(
    town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = town.devnet.keys("provider-0").address
    first = town.play(940_000, provider="provider-0", salt=b"\x01" * 32)
    parent = artifact_id(first.id, 0)
    assert town.run("chain", "claim", first.id, "--yes") == 0
    assert town.run("chain", "suggest", parent, "5 %") == 0

    before = town.chain.free(maker)
    named = Parent(bytes.fromhex(parent[2:]), maker, BasisPoints(333))
    second = town.play(950_000, provider="provider-1", parents=(named,), salt=b"\x02" * 32)
    payout = check_royalty(second, maker, town.chain.free(maker) - before)

    capsys.readouterr()
    drawing = tmp_path / "chain.svg"
    child = artifact_id(second.id, 0)
    assert town.run("chain", "show", child[:20], "--svg", str(drawing), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [made["id"] for made in told["artifacts"]] == [child, parent] and told["unknown"] == []
    made, source = told["artifacts"]
    assert made["payout"] == str(payout) and made["parents"][0]["royalty"] == made["royalties"]
    assert (made["weights"], source["weights"]) == (None, "0x" + SUBMISSION.weights_hash.hex())
    assert source["children"] == [child] and source["suggested_bps"] == 500
    assert ElementTree.parse(drawing).getroot().tag.endswith("svg")

    assert town.run("chain", "show", child) == 0
    assert "1.67 % less than the 5 % its owner suggests" in capsys.readouterr().out


def check_royalty(job: JobState, payee: Address, received: int) -> int:
    """P7.3: 333 basis points of the payout, rounded down, out of the provider's part; the job's sum stays even."""
    terms = job.terms
    payout = payout_down(PRICE, job.lanes[0].score or 0, terms.floor, terms.target, terms.floorPay)  # type: ignore[arg-type]
    royalty = payout * 333 // 10_000
    paid = {purpose: sum(row.amount for row in job.money if row.purpose is purpose) for purpose in Purpose}
    assert payout * 333 % 10_000 != 0, "the case must round"
    assert (received, paid[Purpose.ROYALTY], paid[Purpose.PAYOUT]) == (royalty, royalty, payout - royalty)
    assert job.sums and job.lanes[0].payout == payout
    return payout


def test_an_artifact_is_claimed_once_and_changes_hands_in_two_steps(town: Town) -> None:
    job = town.play(940_000, provider="provider-0", salt=b"\x03" * 32)
    artifact, buyer = artifact_id(job.id, 0), town.devnet.keys("provider-1").address
    assert known(town, artifact).entry is None
    assert town.run("chain", "claim", job.id, "--yes") == 0
    with (
        pytest.raises(Reverted, match="AlreadyClaimed"),
        Client.open(
            town.devnet.network_file, home=town.devnet.home("requester"), password_file=town.devnet.password_file
        ) as client,
    ):
        client.outbox.send("again", "claim", job.terms.as_tuple(), 0, preimage(), on=client.chain.registry, wait=True)
    with pytest.raises(Reverted, match="NotOffered"):
        town.run("chain", "take", artifact, who="provider-1")
    assert town.run("chain", "offer", artifact, buyer, "--yes") == 0
    assert known(town, artifact).owner == town.devnet.keys("requester").address
    assert town.run("chain", "take", artifact, who="provider-1") == 0
    made = known(town, artifact)
    assert made.owner == buyer and made.requester == town.devnet.keys("requester").address
    with pytest.raises(Reverted, match="NotOwner"):
        town.run("chain", "suggest", artifact, "1")


def preimage() -> tuple[bytes, ...]:
    made = SUBMISSION
    return (made.weights_hash, made.sealed_hash, made.half_b_hash, made.envelope_hash)


def known(town: Town, artifact: str) -> Artifact:
    return town.chain.value_chain(town.chain.head().number).find(artifact)


def test_a_lane_below_the_floor_made_nothing_to_claim(town: Town) -> None:
    job = town.play(899_999, provider="provider-0", salt=b"\x04" * 32)
    assert not town.chain.value_chain(town.chain.head().number).artifacts
    with pytest.raises(Reverted, match="NotPaid"):
        town.run("chain", "claim", job.id, "--yes")
