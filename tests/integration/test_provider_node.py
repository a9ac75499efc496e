"""The provider node as a process, from bid to payout, killed at every step, and cheated in every way P4.5 knows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from provider_process import PROVIDER, heldout, leftovers, provider, set_up, story
from score_graphs import node as onnx_node
from score_graphs import onnx_file
from scripted_job import ScriptedJob

from heldout.devnet.devnet import Devnet
from heldout.market.journal import glance
from heldout.market.lifecycle import REQUESTER, Outcome, State
from heldout.market.messages import NO_KEYS, Kind, Letter, decode_answer, encode_answer
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.sealing import envelope_context, open_envelope, open_weights
from heldout.market.terms import BlockNumber
from heldout.provider.book import Book
from heldout.provider.record import PREFIX, Record
from heldout.provider.untrained import constant_weights

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.up(tmp_path_factory.mktemp("devnet"), block_time=1, validators=8) as devnet:
        set_up(devnet, runner="process")
        yield devnet


@pytest.fixture
def job(net: Devnet, request: pytest.FixtureRequest) -> Iterator[ScriptedJob]:
    """A job posted by nobody yet; indirect parameters change it."""
    with ScriptedJob(net, **getattr(request, "param", {})) as scripted:
        yield scripted


def open_as_requester(job: ScriptedJob, submission: Letter, half: Letter, provider_address: str) -> bytes:
    """P4.4: what the requester does with half a from the submission and half b of a paid lane."""
    keys = job.requester.keys
    of_a = envelope_context(job.bytes, Kind.SUBMISSION, provider_address, keys.address)
    of_b = envelope_context(job.bytes, Kind.HALF_B, provider_address, keys.address)
    half_a = open_envelope(keys.wrap_private, submission.bytes_of("envelopeA"), of_a)
    half_b = open_envelope(keys.wrap_private, half.bytes_of("envelope"), of_b)
    sealed = job.stores.get(submission.bytes_of("sealedHash").hex())
    return open_weights(half_a, half_b, sealed, job.bytes, provider_address)


def secrets(net: Devnet, job: ScriptedJob) -> list[str]:
    """Threat 82: what must stand in no log, as the journal has it."""
    (raw,) = [raw for key, raw in glance(net.home(PROVIDER) / "journal", PREFIX) if raw["job"] == job.id]
    record = Record.from_dict(raw)
    assert record.sealed is not None and record.keys
    first_key, password = record.keys[:64], net.password_file.read_text().strip()
    return [record.sealed.half_a, record.sealed.half_b, record.sealed.seed_a, first_key, password]


def test_a_job_from_bid_to_payout(net: Devnet, job: ScriptedJob) -> None:
    """P3, P4: bid, keys, training, seal, submit, letters to seats, half b, settlement; nothing is left behind."""
    address = net.keys(PROVIDER).address
    before = job.chain.free(address)
    with provider(net):
        job.post()
        job.accept()
        assert job.state.lanes[0].price == 10 * ONE_TOKEN
        job.requester.mail.send(job.training_keys())
        job.await_state(State.COMMITTING)
        submission = job.until(lambda: job.letters(Kind.SUBMISSION, job.requester), 30, "the requester's letter")[0]
        seat = job.seat(job.drawn()[0])
        assert job.until(lambda: job.letters(Kind.SUBMISSION, seat), 30, "the seat's letter")
        job.vote(700_000)
        half = job.until(lambda: job.letters(Kind.HALF_B, job.requester), 30, "half b")[0]
        weights = open_as_requester(job, submission, half, address)
        assert sha256(weights).digest() == submission.bytes_of("weightsHash")
        shown = heldout(net, "job", "show", job.id)
        (run,) = shown["runs"]
        assert (run["lane"], run["exit_code"], run["weights"]) == (0, 0, submission.body["weightsHash"][2:])
        assert job.requester.mail.readings(job.id)[0][-1] == {"epoch": 2, "loss": pytest.approx(1 / 3)}
        status = heldout(net, "provider", "status")
        assert [each["stage"] for each in status["jobs"]] == ["paid"]
        assert status["jobs"][0]["last_reading"] == {"epoch": 2, "loss": pytest.approx(1 / 3)}
        net.warp(61)
        settled = job.await_state(State.SETTLED)
        job.until(lambda: not leftovers(net, job), 20, "a clean house")
    assert settled.sums
    assert settled.lanes[0].payout == 75 * ONE_TOKEN // 10
    assert job.chain.free(address) == before + settled.lanes[0].payout
    for secret in secrets(net, job):
        assert secret not in story(net)
    (told,) = heldout(net, "provider", "why", job.id)
    assert told["reason"] == "score 0.700000; paid 7.5000 of 10.0000"


PLACES = (
    "bid.noted",
    "bid.sent",
    "data.ready",
    "train.noted",
    "train.started",
    "train.ended",
    "weights.kept",
    "sealed",
    "uploaded",
    "submit.before",
    "submit.sent",
    "delivered",
    "half.sent",
)


@pytest.mark.parametrize("job", [{"epochs": 20}], indirect=True)
def test_a_node_killed_at_every_step_of_one_job_resumes_each_time_and_submits_once(
    net: Devnet, job: ScriptedJob
) -> None:
    """Threat 40: kill -9 at each named place, one after the other, in the life of one job."""
    job.post()
    for place in PLACES:
        with provider(net, failpoint=place) as node:
            if place == "data.ready":
                job.accept()
                job.requester.mail.send(job.training_keys())
            if place == "delivered":
                job.await_state(State.COMMITTING)
            if place == "half.sent":
                job.vote(900_000)
            job.until(lambda node=node: node.poll() is not None, 60, f"the end at {place}")
            assert node.returncode == -signal.SIGKILL
    with provider(net):
        net.warp(61)
        settled = job.await_state(State.SETTLED)
        job.until(lambda: not leftovers(net, job), 20, "a clean house")
    events = job.chain.events(0, job.chain.head().number, job=job.id)
    assert [event.name for event in events].count("Submitted") == 1
    assert settled.lanes[0].payout == 10 * ONE_TOKEN
    assert settled.sums


@pytest.mark.parametrize("job", [{"epochs": 150}], indirect=True)
def test_a_checkpoint_survives_the_attempt_that_wrote_it(net: Devnet, job: ScriptedJob) -> None:
    """Threat 61: an attempt that is cut down is followed by one that goes on from its checkpoint."""
    job.post()
    with provider(net):
        job.accept()
        job.requester.mail.send(job.training_keys())

        def readings() -> Any:
            (found,) = [each for each in heldout(net, "provider", "status")["jobs"] if each["job"] == job.id]
            return found["last_reading"] or {}

        job.until(lambda: readings().get("epoch", 0) >= 5, 40, "some epochs")
        (record,) = [*net.home(PROVIDER).glob(f"sandbox/process/{job.id}/*/record.json")]
        os.kill(int(json.loads(record.read_text())["ref"].partition("-")[0]), signal.SIGKILL)
        job.await_state(State.COMMITTING, 60)
    assert "attempt 1 failed" in story(net)
    resumed = [line for line in story(net).splitlines() if job.id in line and "attempt 2" in line]
    assert resumed


def test_withheld_training_keys_are_demanded_and_cost_the_requester_its_bond(net: Devnet, job: ScriptedJob) -> None:
    """P4.5, Running: unanswered means the bond goes to the demanding provider, and the job is over."""
    address = net.keys(PROVIDER).address
    before = job.chain.free(address)
    job.post()
    with provider(net):
        job.accept()
        net.warp(150)
        job.until(lambda: REQUESTER in job.state.pending, 30, "the demand")
        net.warp(61)
        settled = job.await_state(State.SETTLED)
    assert settled.outcome is Outcome.TRAINING_KEYS_WITHHELD
    assert job.chain.free(address) == before + job.terms.bond
    assert settled.sums


def test_keys_answered_on_chain_are_as_good_as_a_letter(net: Devnet, job: ScriptedJob) -> None:
    """P4.5: answer puts the envelopes in calldata."""
    job.post()
    with provider(net):
        job.accept()
        net.warp(150)
        job.until(lambda: REQUESTER in job.state.pending, 30, "the demand")
        job.requester.send("answer", job.terms.as_tuple(), REQUESTER, encode_answer([job.training_keys()]))
        job.await_state(State.COMMITTING)
    assert job.state.lanes[0].word != NO_KEYS


def test_answered_keys_that_do_not_open_are_submitted_as_no_keys(net: Devnet, job: ScriptedJob) -> None:
    """P4.5: the word NO_KEYS."""
    job.post()
    with provider(net):
        job.accept()
        net.warp(150)
        job.until(lambda: REQUESTER in job.state.pending, 30, "the demand")
        job.requester.send("answer", job.terms.as_tuple(), REQUESTER, encode_answer([job.training_keys(spoil=True)]))
        job.await_state(State.COMMITTING)
    assert job.state.lanes[0].word == NO_KEYS


def test_demands_of_seats_and_requester_are_answered_on_chain(net: Devnet, job: ScriptedJob) -> None:
    """P4.5: weights while Committing, half b while Scored; both answers open."""
    address = net.keys(PROVIDER).address
    job.post()
    with provider(net):
        job.accept()
        job.requester.mail.send(job.training_keys())
        job.await_state(State.COMMITTING)
        submission = job.until(lambda: job.letters(Kind.SUBMISSION, job.requester), 30, "the requester's letter")[0]
        job.drawn()
        job.requester.send("pin", job.id)
        seat = job.chain.round(job.id, 1).seats[0]
        job.seat(seat).send("demand", job.terms.as_tuple(), 0, 0)
        answers = job.until(lambda: job.state.answers, 30, "the answer")
        hot = {letter.receiver for letter in decode_answer(answers[-1][3])}
        assert job.chain.seat(seat).hot in hot
        job.vote(900_000)
        job.await_state(State.SCORED)
        job.requester.send("demand", job.terms.as_tuple(), 0, 0)
        answers = job.until(lambda: job.state.answers[1:], 30, "half b on chain")
        (half,) = decode_answer(answers[0][3])
        assert open_as_requester(job, submission, half, address)


def test_a_submission_that_a_reorg_drops_is_sent_again(net: Devnet, job: ScriptedJob) -> None:
    """Threat 26: what the node believed done is read again from the new branch, and done again once."""
    job.post()
    with provider(net):
        job.accept()
        job.requester.mail.send(job.training_keys())
        job.await_state(State.COMMITTING)
        events = job.chain.events(0, job.chain.head().number, job=job.id)
        net.anvil.take_back(next(event.block for event in events if event.name == "Submitted"))
        assert job.state.state is State.RUNNING
        job.await_state(State.COMMITTING, 30)
        job.until(lambda: job.letters(Kind.SUBMISSION, job.requester), 30, "the requester's letter")
    events = job.chain.events(0, job.chain.head().number, job=job.id)
    assert [event.name for event in events].count("Submitted") == 1


def verdict(net: Devnet, job: ScriptedJob, stage: str) -> Any:
    """What `provider why` says of a job, once it is at a stage."""

    def told() -> list[Any]:
        return [each for each in heldout(net, "provider", "why") if (each["job"], each["stage"]) == (job.id, stage)]

    return job.until(told, 30, stage)[0]


def test_a_node_killed_after_its_bid_for_a_call_works_on_the_job_that_was_opened_meanwhile(
    net: Devnet, job: ScriptedJob
) -> None:
    """P2.5, threat 40: nobody tells of the call any more, and the job was posted while the node was down."""
    job.fund()
    job.call()
    with provider(net, failpoint="bid.sent") as node:
        job.until(lambda: node.poll() is not None, 60, "the end at bid.sent")
    assert job.chain.job(job.id).state is State.NONE
    job.accept(function="open")
    with provider(net):
        job.requester.mail.send(job.training_keys())
        job.await_state(State.COMMITTING)


def test_a_call_is_bid_for_while_its_money_is_there_and_binds_nobody_once_it_is_over(
    net: Devnet, job: ScriptedJob
) -> None:
    """P2.5: its requester may withdraw, and may let it pass."""
    requester = job.requester.keys.address
    if free := job.chain.free(requester):
        job.requester.send("withdraw", requester, free)
    until = job.call()  # the service would not show it: it is announced
    before = story(net).count("online as")
    with provider(net):
        job.until(lambda: story(net).count("online as") > before, 20, "a node that listens")
        head = job.chain.head().number
        job.until(lambda: job.chain.head().number > head + 3, 20, "some blocks")
        assert job.id not in {each["job"] for each in heldout(net, "provider", "why")}, "no money, no trace"
        job.fund()
        job.until(lambda: job.requester.mail.bids(job.id), 40, "a bid")
        net.warp(until - job.chain.head().timestamp + 1)
        assert "nobody was accepted" in verdict(net, job, "over")["reason"]


def test_a_second_node_on_the_same_folder_is_refused(net: Devnet) -> None:
    """Threat 44."""
    with provider(net):
        started = time.monotonic()
        while "online as" not in story(net).splitlines()[-1] and time.monotonic() < started + 20:
            time.sleep(0.2)
        done = subprocess.run(net.command("provider", "run", home=PROVIDER), capture_output=True, text=True, timeout=30)
    assert done.returncode == 10
    assert "already_running" in done.stderr


@pytest.mark.parametrize("job", [{"priceCap": 9 * ONE_TOKEN}], indirect=True)
def test_why_tells_the_rule_that_kept_this_node_from_bidding(net: Devnet, job: ScriptedJob) -> None:
    job.post()
    with provider(net):
        told = job.until(
            lambda: [each for each in heldout(net, "provider", "why") if each["job"] == job.id], 120, "a verdict"
        )
    assert told[0]["rule"] == "above_cap"
    assert "asks 10.0000, the job pays at most 9.0000" in told[0]["reason"]


def test_an_owner_pauses_its_node_and_then_leaves_with_its_money(tmp_path: Path) -> None:
    """Issue 5 item 9: paused, it bids for nothing; leaving, it keeps its promise first and takes its balance along. On
    a devnet of its own, since a node stays for whatever job it is still bound to."""
    with Devnet.up(tmp_path / "devnet", block_time=1, validators=8) as net, ScriptedJob(net) as job:
        set_up(net, runner="process")
        address = net.keys(PROVIDER).address
        heldout(net, "provider", "pause")
        status = heldout(net, "provider", "status")
        assert (status["wish"], status["running"]) == ("pause", False)
        with provider(net) as node:
            job.post()
            told = job.until(
                lambda: [each for each in heldout(net, "provider", "why") if each["job"] == job.id], 120, "a verdict"
            )
            assert (told[0]["rule"], told[0]["stage"]) == ("owner", "no bid")
            assert heldout(net, "provider", "status")["running"]
            heldout(net, "provider", "resume")
            job.accept()
            heldout(net, "provider", "leave")
            job.requester.mail.send(job.training_keys())
            job.await_state(State.COMMITTING)
            assert node.poll() is None
            job.vote(900_000)
            assert job.until(lambda: job.letters(Kind.HALF_B, job.requester), 30, "half b")
            net.warp(61)
            settled = job.await_state(State.SETTLED)
            assert node.wait(60) == 0
        assert settled.lanes[0].payout == 10 * ONE_TOKEN
        assert job.chain.free(address) == 0
        assert job.chain.token_balance(address) >= 1000 * ONE_TOKEN


FAILS = "print('about to fail')\nraise SystemExit(1)\n"
ONE_WEIGHT = onnx_file([onnx_node("MatMul", "x w", "out")], [1], {"w": [1, 2]})


def test_a_program_that_fails_on_purpose_earns_its_requester_nothing(tmp_path: Path) -> None:
    """P10, threat 92: absent, the node would lose its collateral of 8 to the requester. It submits untrained weights of
    the graph's shapes instead, loses the 3 that the seats are paid, tells how the program ended, and remembers."""
    with Devnet.up(tmp_path / "devnet", block_time=1, validators=8) as net:
        set_up(net, runner="process", failing="1")
        terms = {"train": FAILS, "graph": ONE_WEIGHT, "collateral": Wei(8 * ONE_TOKEN)}
        with ScriptedJob(net, **terms) as job, provider(net, failpoint="untrained.noted") as killed:
            address = net.keys(PROVIDER).address
            job.fund()
            before = job.chain.free(address), job.chain.free(job.requester.keys.address)
            job.post()
            job.accept()
            job.requester.mail.send(job.training_keys())
            job.until(lambda: killed.poll() is not None, 60, "the decision, and the node's death")
            with provider(net):
                job.await_state(State.COMMITTING)
                submission = job.until(lambda: job.letters(Kind.SUBMISSION, job.requester), 30, "the letter")[0]
                job.vote(200_000)
                (run,) = heldout(net, "job", "show", job.id)["runs"]
                assert (run["attempt"], run["exit_code"]) == (3, 1)
                assert run["weights"] == submission.body["weightsHash"][2:]
                net.warp(61)
                assert job.await_state(State.SETTLED).lanes[0].payout == 0
                job.until(lambda: not leftovers(net, job), 20, "a clean house")
                after = job.chain.free(address), job.chain.free(job.requester.keys.address)
                assert (before[0] - after[0], after[1] - before[1]) == (3 * ONE_TOKEN, 0)
                weights = constant_weights({"w": (1, 2)}, 0.0)
                assert sha256(weights).digest() == submission.bytes_of("weightsHash")
                (told,) = heldout(net, "provider", "why", job.id)
                assert told["reason"].startswith(
                    "the program failed (exit code 1), untrained weights stood in; score 0.2"
                )
                lines = [line for line in story(net).splitlines() if "its last lines" in line]
                assert [line.count("about to fail") for line in lines] == [1, 1, 1]
                with ScriptedJob(net, **terms) as again:
                    again.post()
                    told = again.until(
                        lambda: [one for one in heldout(net, "provider", "why") if one["job"] == again.id],
                        60,
                        "a verdict",
                    )
    assert told[0]["rule"] == "programs_fail"


def test_the_book_has_of_every_job_the_events_that_a_second_rpc_is_asked_for(net: Devnet, job: ScriptedJob) -> None:
    """Threat 32: a job whose events compare unequal without a lie would keep its half keys for ever.

    Cancelled again, lest a later test's node give its one place to this job."""
    job.post()
    job.requester.send("cancel", job.terms.as_tuple())
    book = Book.from_block(job.chain, BlockNumber(net.network.deploy_block))
    book.advance()
    assert job.id in book.jobs
    for each in book.jobs:
        assert list(book.events(each)) == job.chain.events(0, book.cursor.block, job=each)


def test_with_the_market_service_gone_chain_and_store_carry_a_job_to_its_end(net: Devnet, job: ScriptedJob) -> None:
    """P8, threat 52. The last test of this file, since the service stays gone."""
    net.processes.stop("service")
    job.post()
    with provider(net):
        job.accept()
        job.requester.mail.send(job.training_keys(), fallback=True)
        job.await_state(State.COMMITTING)
        seat = job.seat(job.drawn()[0])
        assert job.until(lambda: job.letters(Kind.SUBMISSION, seat), 30, "the seat's letter")
        job.vote(900_000)
        assert job.until(lambda: job.letters(Kind.HALF_B, job.requester), 30, "half b")
        net.warp(61)
        settled = job.await_state(State.SETTLED)
    assert settled.lanes[0].payout == 10 * ONE_TOKEN
    announced = job.chain.events(0, job.chain.head().number, names=["Announced"])
    letters = [Letter.decode(event.args["message"]) for event in announced]
    assert {letter.kind for letter in letters if letter.job == job.id} == {
        Kind.BID,
        Kind.TRAINING_KEYS,
        Kind.SUBMISSION,
        Kind.HALF_B,
    }
