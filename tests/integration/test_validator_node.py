"""A real validator node judges real deliveries on a real chain, and is not thrown by what chains and disks do."""

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from court import PERFECT, WINDOW, Case, Court, held_court, working

from heldout.market.lifecycle import REQUESTER, Outcome, State
from heldout.market.messages import BAD, MISSING, NO_DATA, Kind, Letter, encode_answer, hexed, unpack_vote

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with held_court(tmp_path_factory.mktemp("devnet")) as court:
        yield court


def delivered(court: Court, weights: bytes | None = None) -> Case:
    case = court.case(weights)
    court.send_weights(case)
    court.send_held_out_keys(case)
    return case


def test_three_seats_of_one_node_measure_commit_reveal_and_settle(
    court: Court, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """P3, P4.7, P5.2: the same exact score three times, and no word of it before the reveal."""
    caplog.set_level(logging.INFO)
    case = delivered(court)
    with working(court, tmp_path) as node:
        node.until(case, lambda job: len(job.rounds[0].commits) == 3)
        told = caplog.text + (tmp_path / "board.json").read_text()
        assert "1000000" not in told and "1.000000" not in told
        job = node.settle(case)
    assert {unpack_vote(vote, 1) for vote in job.rounds[0].votes.values()} == {(PERFECT,)}
    assert len(set(job.rounds[0].commits.values())) == 3
    assert job.outcome is Outcome.MEASURED and job.lanes[0].score == PERFECT and job.sums


def test_weights_that_are_no_safetensors_are_bad(court: Court, tmp_path: Path) -> None:
    """P9.1, threat 63"""
    case = delivered(court, b"\x80\x04 a pickle")
    with working(court, tmp_path) as node:
        job = node.settle(case)
    assert job.lanes[0].score == BAD and job.lanes[0].payout == 0


def test_a_disk_lost_between_commit_and_reveal_loses_no_vote(court: Court, tmp_path: Path) -> None:
    """Threat 43: salt and score are found again from the key ring and the chain."""
    case = delivered(court)
    with working(court, tmp_path / "first") as node:
        node.until(case, lambda job: len(job.rounds[0].commits) == 3)
    shutil.rmtree(tmp_path / "first")
    with working(court, tmp_path / "second") as node:
        job = node.until(case, lambda job: job.state >= State.SCORED)
    assert job.standing == (PERFECT,)


@pytest.mark.parametrize("blocks_before", [0, 2])
def test_a_commit_that_a_reorg_took_back_is_sent_again_unchanged(
    court: Court, tmp_path: Path, blocks_before: int
) -> None:
    """Threats 26, 28, P11b: the same commit and salt, within and beyond the confirmations."""
    case = delivered(court)
    with working(court, tmp_path) as node:
        before = node.until(case, lambda job: job.rounds[0].commits).rounds[0].commits
        court.take_back(case, "Committed", before=blocks_before)
        assert not before.items() <= court.look(case).rounds[0].commits.items()
        node.until(case, lambda job: len(job.rounds[0].commits) == 3)
        after = court.look(case).rounds[0].commits
        job = node.until(case, lambda job: job.state >= State.SCORED)
    assert before.items() <= after.items() and job.standing == (PERFECT,)


def test_a_settlement_that_a_deep_reorg_took_back_is_made_again(court: Court, tmp_path: Path) -> None:
    """Threat 27: deeper than the network's confirmations, so that the job was over for this node already."""
    case = delivered(court)
    deeper = court.devnet.network.confirmations + 2
    with working(court, tmp_path) as node:
        node.settle(case)
        court.devnet.mine(deeper)
        node.turn()
        court.take_back(case, "Settled")
        assert not court.look(case).final
        court.devnet.mine(deeper)
        assert node.until(case, lambda job: job.final).outcome is Outcome.MEASURED


def test_rows_that_never_come_are_demanded_and_their_silence_ends_the_job(court: Court, tmp_path: Path) -> None:
    """P4.5: the requester neither delivers nor answers."""
    case = court.case()
    court.send_weights(case)
    with working(court, tmp_path) as node:
        node.turn()
        court.devnet.warp(WINDOW // 3 + 10)
        node.until(case, lambda job: job.demanded)
        court.pass_deadline(case, spare=30)
        job = node.until(case, lambda job: job.state is State.SCORED)
        court.pass_deadline(case, spare=60)
        job = node.until(case, lambda job: job.final)
    assert job.outcome is Outcome.HELD_OUT_KEYS_WITHHELD and job.lanes[0].payout == job.lanes[0].price


@pytest.mark.parametrize("beside", [b"", b'NaN,"\\ud800",'], ids=["letters", "what no letter can hold"])
def test_rows_answered_on_chain_are_scored(court: Court, tmp_path: Path, beside: bytes) -> None:
    """P4.5: the answer itself is the letter, and nothing beside it keeps a seat from its vote."""
    case = court.case()
    court.send_weights(case)
    with working(court, tmp_path) as node:
        node.turn()
        court.devnet.warp(WINDOW // 3 + 10)
        node.until(case, lambda job: job.demanded)
        letter = court.letter(case, Kind.HELD_OUT_KEYS, court.requester, court.held_out_keys(case))
        court.call(
            court.requester, "answer", case.terms.as_tuple(), REQUESTER, b"[" + beside + encode_answer([letter])[1:]
        )
        job = node.until(case, lambda job: job.state >= State.SCORED)
    assert job.standing == (PERFECT,)


def flood(court: Court, case: Case, count: int) -> None:
    """A stranger announces so many letters to the node, a hundred a block."""
    stranger, anvil = "0x" + "ee" * 20, court.devnet.anvil
    anvil.set_eth(stranger, 10**20)
    anvil.call("anvil_impersonateAccount", stranger)
    call = {"from": stranger, "to": court.network.market, "gas": hex(80_000)}
    to = court.validators[0].address
    for first in range(0, count, 100):
        letters = (Letter(case.id, Kind.HELD_OUT_KEYS, stranger, to, {"envelope": hex(first + n)}) for n in range(100))
        sent = [call | {"data": hexed(court.chain.market.encode("announce", [each.encode()]))} for each in letters]
        anvil.call("evm_setAutomine", False)
        anvil.rpc.batch([("eth_sendTransaction", [each]) for each in sent])
        anvil.mine()
        anvil.mine_on_demand()


def test_a_seat_whose_mailbox_a_stranger_floods_scores_by_the_answer_on_chain(court: Court, tmp_path: Path) -> None:
    """P4.5, threat 89: else it would say NO_DATA of a requester who did all that was demanded."""
    case = court.case()
    court.send_weights(case)
    flood(court, case, 300)
    with working(court, tmp_path) as node:
        node.turn()
        court.devnet.warp(WINDOW // 3 + 10)
        node.until(case, lambda job: job.demanded)
        letter = court.letter(case, Kind.HELD_OUT_KEYS, court.requester, court.held_out_keys(case))
        court.call(court.requester, "answer", case.terms.as_tuple(), REQUESTER, encode_answer([letter]))
        job = node.until(case, lambda job: job.state >= State.SCORED)
    assert job.standing == (PERFECT,)


def test_a_provider_that_denies_keys_it_was_given_is_missing(court: Court, tmp_path: Path) -> None:
    """P4.5: the requester shows the seed of the envelope it answered with, and the seats recompute it."""
    case = court.disputed_case(court.training_keys)
    court.send_held_out_keys(case, seeds=court.training_seed(case))
    with working(court, tmp_path) as node:
        job = node.settle(case)
    assert job.lanes[0].score == MISSING and job.lanes[0].payout == 0 and job.sums


def test_a_requester_that_answered_with_other_keys_has_not_delivered(court: Court, tmp_path: Path) -> None:
    """P4.5: demanded once more by the seats, it shows the same seed, and its lane is paid in full."""
    case = court.disputed_case(lambda _: b"\0" * 32 * 12)
    secret = court.held_out_keys(case) + court.training_seed(case)
    with working(court, tmp_path) as node:
        node.turn()
        court.devnet.warp(WINDOW // 3 + 10)
        node.until(case, lambda job: job.demanded - {0})
        letter = court.letter(case, Kind.HELD_OUT_KEYS, court.requester, secret)
        court.call(court.requester, "answer", case.terms.as_tuple(), REQUESTER, encode_answer([letter]))
        court.devnet.warp(WINDOW * 2 // 3 + 10)
        job = node.settle(case)
    assert job.lanes[0].score == NO_DATA and job.lanes[0].payout == job.lanes[0].price and job.sums


def test_a_commit_of_the_same_key_elsewhere_is_told_and_not_fought(court: Court, tmp_path: Path) -> None:
    """Threat 45"""
    case = delivered(court)
    seat = court.seats(case)[1]
    court.call(court.devnet.keys("validator-0"), "commit", case.id, 1, b"\7" * 32)
    with working(court, tmp_path) as node:
        node.until(case, lambda job: len(job.rounds[0].commits) == 3)
        node.until(case, lambda _: ("foreign_commit", case.id) in node.alarm.active)
        job = node.until(case, lambda job: len(job.rounds[0].votes) == 2)
    assert job.rounds[0].commits[1] == b"\7" * 32 and seat == job.rounds[0].seats[1]


def test_without_gas_for_the_reveal_no_duty_is_taken(court: Court, tmp_path: Path) -> None:
    """Threat 37"""
    address = court.devnet.keys("validator-0").address
    plenty = court.chain.eth(address)
    case = delivered(court)
    with working(court, tmp_path) as node:
        court.devnet.anvil.call("anvil_setBalance", address, hex(10**12))
        for _ in range(3):
            node.turn()
        assert ("low_gas", None) in node.alarm.active and not court.look(case).rounds[0].commits
        court.devnet.anvil.call("anvil_setBalance", address, hex(plenty))
        node.until(case, lambda job: len(job.rounds[0].commits) == 3)
        assert ("low_gas", None) not in node.alarm.active


def test_reveals_that_a_reorg_took_back_are_sent_again(court: Court, tmp_path: Path) -> None:
    """Threat 26"""
    case = delivered(court)
    with working(court, tmp_path) as node:
        before = node.until(case, lambda job: job.rounds[0].votes).rounds[0].votes
        court.take_back(case, "Revealed")
        assert court.look(case).rounds[0].votes != before
        job = node.until(case, lambda job: job.state >= State.SCORED)
    assert job.standing == (PERFECT,)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    return ballast


@pytest.mark.parametrize("until", ["commits", "votes"])
def test_a_node_on_a_full_disk_says_so_and_goes_on_once_there_is_room(
    court: Court, small_disk: Path, until: str
) -> None:
    """Threat 46: before its ballots, and between commits and reveals. Nothing is sent that was not written down."""
    case = delivered(court)
    with working(court, small_disk) as node:
        if until == "votes":
            node.until(case, lambda job: len(job.rounds[0].commits) == 3)
        ballast = fill(small_disk)
        told = node.until(case, lambda _: ("node_stalled", None) in node.alarm.active)
        assert len(getattr(told.rounds[0], until)) < 3, "a page that was free may hold one more, but not all"
        ballast.unlink()
        job = node.until(case, lambda job: job.state >= State.SCORED)
        assert ("node_stalled", None) not in node.alarm.active
    assert job.standing == (PERFECT,) and len(job.rounds[0].votes) == 3


def test_an_appeal_is_judged_by_the_bigger_committee(court: Court, tmp_path: Path) -> None:
    """P3.2, P3.6: seven seats, the same exact score, and the appellant loses its bond."""
    case = delivered(court)
    with working(court, tmp_path) as node:
        node.until(case, lambda job: job.state is State.SCORED)
        court.call(court.requester, "appeal", case.terms.as_tuple(), 0)
        job = node.until(case, lambda job: job.round == 2 and job.state is State.SCORED)
        assert len(job.rounds[1].votes) == 7 and job.standing == (PERFECT,)
        job = node.settle(case)
    assert job.outcome is Outcome.MEASURED and job.sums


def test_the_board_shows_a_vote_once_reveals_have_begun(court: Court, tmp_path: Path) -> None:
    """P4.7"""
    case = delivered(court)
    seen: dict[str, set[str]] = {}
    with working(court, tmp_path) as node:

        def watch(job: object) -> bool:
            for duty in json.loads((tmp_path / "board.json").read_text())["duties"]:
                if duty["job"] == case.id:
                    seen.setdefault(duty["state"], set()).add(str(duty["vote"]))
            return court.look(case).state >= State.SCORED

        node.until(case, watch)
        node.until(case, lambda job: watch(job) and "revealed" in seen)
    assert all(votes == {"None"} for state, votes in seen.items() if state in ("drawn", "measuring", "voted"))
    assert str([PERFECT]) in seen["revealed"]
