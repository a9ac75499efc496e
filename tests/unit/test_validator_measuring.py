"""One finding for each lane, and whose fault it is when there is none (P3.1, P4.4, P4.5, P9.1)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import PROVIDERS, REQUESTER, digest
from delivered import READER, SPLIT, Delivery, deliver, key_of, rows, to_seat, training_letter

from heldout.kernels.child import ScoreRequest, ScoreResult
from heldout.kernels.errors import BadGraph, ChildFailed
from heldout.market.chain.views import Recipient
from heldout.market.lifecycle import REQUESTER as PARTY_R
from heldout.market.messages import BAD, MISSING, NO_KEYS, Kind, Letter
from heldout.market.sealing import wrap_public_key
from heldout.market.terms import scorer_id
from heldout.validator.forwarding import handed_on
from heldout.validator.letters import MOST_PER_SENDER
from heldout.validator.measuring import Case, Tools, measure
from heldout.validator.opening import HeldOutSecret, Reader
from heldout.validator.voting import Finding, Undelivered, Verdict

EVIDENCE = digest("predictions")


class Scorer:
    """Stands in for the scoring process: remembers what it was given to read."""

    def __init__(self, result: ScoreResult | Exception | None = None) -> None:
        self.result = result or ScoreResult(961_111, None, None, EVIDENCE, 540, 10**6)
        self.read: list[tuple[bytes, tuple[bytes, ...]]] = []

    def __call__(self, request: ScoreRequest, _timeout_s: float) -> ScoreResult:
        self.read.append((Path(request.weights).read_bytes(), tuple(Path(p).read_bytes() for p in request.shards)))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result if request.shards else replace(self.result, score=None, evidence=bytes(32))


def findings(
    job: Delivery,
    scratch: Path,
    letters: Sequence[Letter] | None = None,
    *,
    case: Case | None = None,
    scorer: Scorer | None = None,
    known: Sequence[Finding] = (),
) -> tuple[Finding, ...]:
    tools = Tools(READER, job.shelf, scorer or Scorer(), scratch)
    return measure(case or job.case, job.letters if letters is None else letters, known, tools)


def test_an_honest_lane_is_scored_on_the_held_out_rows_alone(tmp_path: Path) -> None:
    """P4.1: the split's order, and no training row."""
    scorer = Scorer()
    assert findings(deliver(), tmp_path, scorer=scorer) == (Verdict(961_111, EVIDENCE),)
    assert scorer.read == [(b"weights", tuple(rows(shard) for shard in SPLIT.held_out))]


def test_no_plaintext_outlives_the_measurement(tmp_path: Path) -> None:
    """P4.7"""
    findings(deliver(), tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_scratch_folder_is_nobody_elses_to_read(tmp_path: Path) -> None:
    """P4.7"""
    findings(deliver(), tmp_path / "scratch")
    assert (tmp_path / "scratch").stat().st_mode & 0o077 == 0


def test_weights_that_have_not_come_are_the_providers_to_deliver(tmp_path: Path) -> None:
    job = deliver()
    assert findings(job, tmp_path, [job.held_out]) == (Undelivered(0, "its weights have not come"),)


def test_a_blob_that_no_store_has_is_the_providers_too(tmp_path: Path) -> None:
    """Threat 49: the party that failed to publish loses."""
    job = deliver()
    job.shelf.lost.add(job.sealed_hash)
    (found,) = findings(job, tmp_path)
    assert isinstance(found, Undelivered) and found.party == 0


def test_rows_that_have_not_come_are_the_requesters_to_deliver(tmp_path: Path) -> None:
    job = deliver()
    assert findings(job, tmp_path, [job.submission]) == (Undelivered(PARTY_R, "the held-out keys have not come"),)


def test_bad_weights_are_bad_whether_or_not_the_rows_came(tmp_path: Path) -> None:
    """P3.1: BAD goes before NO_DATA."""
    job, scorer = deliver(), Scorer(ScoreResult(None, "BAD", "not finite", bytes(32), 0, 0))
    assert findings(job, tmp_path, scorer=scorer) == (Verdict(BAD),)
    assert findings(job, tmp_path, [job.submission], scorer=scorer) == (Verdict(BAD),)


def test_a_forged_letter_does_not_hide_the_honest_one(tmp_path: Path) -> None:
    """P4.3: anybody may write to a seat."""
    job = deliver()
    forged = [to_seat(kind, PROVIDERS[5], bytes(32 * 6), {"lane": 0}) for kind in (Kind.SUBMISSION, Kind.HELD_OUT_KEYS)]
    assert findings(job, tmp_path, [*forged, *job.letters]) == (Verdict(961_111, EVIDENCE),)


def test_letters_that_almost_open_cost_a_seat_no_time(tmp_path: Path) -> None:
    """Threat 89: a seat that has the keys writes to another what fails at the very last shard, as often as it may."""
    job = deliver()
    asked: list[bytes] = []
    keys = [key_of(shard) for shard in SPLIT.held_out]
    forged = [
        to_seat(Kind.HELD_OUT_KEYS, PROVIDERS[5], b"".join([*keys[:-1], digest(f"no key {place}")]))
        for place in range(MOST_PER_SENDER)
    ]

    def get(name: bytes, limit: int) -> bytes:
        asked.append(name)
        return job.shelf(name, limit)

    tools = Tools(READER, get, Scorer(), tmp_path)
    assert measure(job.case, [*forged, *job.letters], (), tools) == (Verdict(961_111, EVIDENCE),)
    assert len(asked) == len(set(asked)), "each artifact is fetched once"
    (found,) = measure(job.case, [*forged, job.submission], (), tools)
    assert isinstance(found, Undelivered) and found.party == PARTY_R
    assert len(asked) == 2 * len(set(asked)), "and once more"


def test_held_out_keys_are_as_good_from_another_seat(tmp_path: Path) -> None:
    """P4.3: seats forward keys to each other."""
    job = deliver()
    forwarded = to_seat(Kind.HELD_OUT_KEYS, PROVIDERS[5], b"".join(map(key_of, SPLIT.held_out)))
    assert findings(job, tmp_path, [job.submission, forwarded]) == (Verdict(961_111, EVIDENCE),)


def test_what_one_seat_hands_on_another_seat_can_score(tmp_path: Path) -> None:
    """P4.3: the letters of one seat, wrapped again for another."""
    job, other = deliver(), Reader(PROVIDERS[6], digest("another seat wraps"))
    seat = Recipient(other.address, wrap_public_key(other.wrap_private))
    letters = list(handed_on(job.letters, READER, lambda *parts: digest(repr(parts)), seat))
    tools = Tools(other, job.shelf, Scorer(), tmp_path)
    assert measure(job.case, letters, (), tools) == (Verdict(961_111, EVIDENCE),)
    assert list(handed_on(letters, READER, lambda *_: SEED, seat)) == [], "not mine to open"


def test_a_lane_that_is_missing_on_chain_is_missing(tmp_path: Path) -> None:
    """P4.5: an unanswered demand, or no submission."""
    job = deliver()
    assert findings(job, tmp_path, case=replace(job.case, missing=frozenset({0}))) == (Verdict(MISSING),)


def test_a_verdict_is_not_measured_twice(tmp_path: Path) -> None:
    scorer = Scorer()
    assert findings(deliver(), tmp_path, scorer=scorer, known=[Verdict(7)]) == (Verdict(7),)
    assert scorer.read == []


def _task(job: Delivery, old: bytes, new: bytes) -> bytes:
    """The hash of the job's manifest with something else in it."""
    return job.shelf.put(job.shelf.blobs[job.terms.taskHash].replace(old, new))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job: replace(job.terms, scorer=scorer_id("score-v9")),
        lambda job: replace(job.terms, metric=5),
        lambda job: replace(job.terms, taskHash=job.shelf.put(b"not a manifest")),
        lambda job: replace(job.terms, taskHash=_task(job, b'"score-v1"', b"1")),
        lambda job: replace(job.terms, metric=9, taskHash=_task(job, b'"accuracy"', b'"metric 9"')),
        lambda job: replace(job.terms, taskHash=digest("nowhere")),
    ],
    ids=["another scorer", "another metric", "no manifest", "no scorer", "a metric nobody has", "nowhere"],
)
def test_a_task_that_cannot_be_read_is_the_requesters_fault(spoil, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """P2.3"""
    job = deliver()
    (found,) = findings(job, tmp_path, case=replace(job.case, terms=spoil(job)))
    assert isinstance(found, Undelivered) and found.party == PARTY_R


def test_a_graph_that_cannot_be_scored_is_the_requesters_fault(tmp_path: Path) -> None:
    (found,) = findings(deliver(), tmp_path, scorer=Scorer(BadGraph("not ONNX")))
    assert isinstance(found, Undelivered) and found.party == PARTY_R


def test_a_machine_that_cannot_score_blames_nobody(tmp_path: Path) -> None:
    """P9.1: limits of this machine decide nothing."""
    with pytest.raises(ChildFailed):
        findings(deliver(), tmp_path, scorer=Scorer(ChildFailed("killed")))


# -------------------------------------------------------------------------------------------------- NO_KEYS

SEED = digest("training seed")


def no_keys(answer: Letter | None, shown: bytes, scratch: Path) -> Finding:
    """The finding about a lane that denies its training keys; the requester shows `shown` after the held-out keys."""
    job = deliver()
    entry = replace(job.entry, word=NO_KEYS)
    case = replace(job.case, lanes=(entry,), answered=(answer,) if answer else ())
    secret = b"".join(map(key_of, SPLIT.held_out)) + shown
    (found,) = findings(job, scratch, [to_seat(Kind.HELD_OUT_KEYS, REQUESTER, secret)], case=case)
    return found


def test_a_provider_that_denies_keys_it_got_is_missing(tmp_path: Path) -> None:
    """P4.5"""
    assert no_keys(training_letter(SEED), SEED, tmp_path) == Verdict(MISSING)


@pytest.mark.parametrize(
    "answer, shown",
    [
        (None, SEED),
        (training_letter(SEED), b""),
        (training_letter(SEED), digest("another seed")),
        (training_letter(SEED, b"no keys"), SEED),
        (training_letter(SEED, b"".join(map(key_of, SPLIT.training))[:-1]), SEED),
    ],
    ids=["no answer for this lane", "no seed shown", "another seed shown", "no keys inside", "a byte is cut off"],
)
def test_a_requester_that_cannot_prove_delivery_has_not_delivered(
    answer: Letter | None, shown: bytes, tmp_path: Path
) -> None:
    """P4.5"""
    found = no_keys(answer, shown, tmp_path)
    assert isinstance(found, Undelivered) and found.party == PARTY_R


def test_seeds_follow_the_keys_in_the_order_of_the_disputed_lanes() -> None:
    """P4.5"""
    secret = HeldOutSecret.decode(b"".join(map(key_of, SPLIT.held_out)) + SEED + digest("second"), 6)
    assert secret.seeds == (SEED, digest("second")) and len(secret.keys) == 6
