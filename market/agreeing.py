"""The cooperative road (P6.1): an outcome that the requester proposes, what a provider checks before it signs, and what
of the money goes where. Pure; the contract's side is Agreement.sol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from heldout.market.errors import BadMessage
from heldout.market.lifecycle import JobState, Outcome, lane_pays
from heldout.market.messages import HIGHEST_SCORE, NO_DATA, AgreedLane, AgreedOutcome, Kind, Letter, hexed
from heldout.market.money import Wei, format_tokens
from heldout.market.relayed import LONGEST_SIGNATURE
from heldout.market.terms import Address, JobId, Timestamp

LONGEST_VALIDITY_S: Final = 3_600
"""Seconds ahead that a provider signs for at most. No signature can be taken back: until then the requester may post
it, even if something better comes to stand meanwhile."""
_AT_FAULT: Final = (Outcome.TRAINING_KEYS_WITHHELD, Outcome.HELD_OUT_KEYS_WITHHELD)
"""Who withheld keys loses its bond to the providers at settlement, and by `agree` keeps it."""
_LANE_KEYS: Final = {"provider", "word", "score", "payout"}


def propose(job: JobState, scores: Sequence[int], valid_until: int) -> AgreedOutcome:
    """The outcome that pays every lane what its score is worth by the job's own terms, one score (ppm) for each lane.

    Raises ValueError for another number of scores.
    """
    lanes = tuple(
        AgreedLane(lane.provider, lane.word or bytes(32), score, lane_pays(job.terms, lane.price, score))
        for lane, score in zip(job.lanes, scores, strict=True)
    )
    return AgreedOutcome(bytes.fromhex(job.id[2:]), valid_until, lanes)


def objection(job: JobState, lane: int, outcome: AgreedOutcome, least_percent: int, now: Timestamp) -> str:
    """Why the provider of a lane does not sign; empty if nothing speaks against it.

    `least_percent`: of its bid, the operator's policy. What stands now is never undercut, nor a bond given away;
    what comes to stand until `validUntil` may be: that is what an operator sells below its whole bid.
    """
    held, lanes = job.lanes[lane], outcome.lanes
    if job.final or outcome.job != bytes.fromhex(job.id[2:]):
        return "it is of another job, or of one that is over"
    if [each.provider.lower() for each in lanes] != [each.provider.lower() for each in job.lanes]:
        return "it names other providers than the job has"
    if held.word is None or lanes[lane].word != held.word:
        return "its word is not what this node submitted"
    if not now < outcome.validUntil <= now + LONGEST_VALIDITY_S:
        return f"it has expired, or would bind for more than {LONGEST_VALIDITY_S} s"
    if sum(each.payout for each in lanes) > sum(each.price for each in job.lanes):
        return "it pays more than the bids, and would be refused"
    if job.pending or job.keys_withheld or job.outcome in _AT_FAULT or NO_DATA in (job.standing or ()):
        return "an answer is still due, or its requester owes the bond"
    return _misstated(job, lane, lanes[lane]) or _too_little(job, lane, lanes[lane], least_percent)


def _misstated(job: JobState, lane: int, offered: AgreedLane) -> str:
    """The record keeps the score for ever: it is the one that is paid for, and a code only if that stands."""
    if offered.score > HIGHEST_SCORE and (job.standing is None or job.standing[lane] != offered.score):
        return "it puts a code in the place of the score"
    if offered.payout != lane_pays(job.terms, job.lanes[lane].price, offered.score):
        return "it pays something else than its score is worth by the terms"
    return ""


def _too_little(job: JobState, lane: int, offered: AgreedLane, least_percent: int) -> str:
    price = job.lanes[lane].price
    if 100 * offered.payout < least_percent * price:
        return f"it pays {format_tokens(Wei(offered.payout))} of a bid of {format_tokens(price)}"
    if job.standing is not None and offered.payout < lane_pays(job.terms, price, job.standing[lane]):
        return "it pays less than the result that stands"
    return ""


@dataclass(frozen=True)
class Share:
    """What one account gets when the outcome is posted now."""

    account: str
    purpose: str
    amount: Wei


def shares(job: JobState, outcome: AgreedOutcome) -> list[Share]:
    """Who gets what, royalties still in the payouts they come out of. A seat that has left since gets no fee."""
    rows = [Share(lane.provider, "payout", lane.payout) for lane in outcome.lanes]
    rows += [Share(lane.provider, "collateral", job.terms.collateral) for lane in job.lanes]
    for round_ in job.rounds:
        rows += [Share(f"seat {round_.seats[place]}", "fee", job.terms.fee) for place in sorted(round_.commits)]
        rows += [Share(round_.appellant, "appeal_bond", round_.bond)] if round_.appellant else []
    rest = Wei(job.locked - sum(row.amount for row in rows))
    return [*rows, Share(job.terms.requester, "refund", rest)]


# -------------------------------------------------------------------------------------------------- letters


def outcome_letter(outcome: AgreedOutcome, signature: bytes, sender: Address, receiver: Address) -> Letter:
    """A proposal with its requester's signature, or a provider's consent with its own."""
    lanes = [
        {"provider": lane.provider, "word": hexed(lane.word), "score": lane.score, "payout": str(lane.payout)}
        for lane in outcome.lanes
    ]
    body = {"validUntil": outcome.validUntil, "lanes": lanes, "signature": hexed(signature)}
    return Letter(JobId(hexed(outcome.job)), Kind.OUTCOME, sender, receiver, body)


def outcome_of(letter: Letter) -> tuple[AgreedOutcome, bytes]:
    """The outcome and the signature, still to be verified. Raises BadMessage."""
    lanes, valid_until, signature = letter.body.get("lanes"), letter.int_of("validUntil"), letter.bytes_of("signature")
    if not isinstance(lanes, list) or not 1 <= len(lanes) <= 8 or len(signature) > LONGEST_SIGNATURE:
        raise BadMessage("an outcome has one to eight lanes, and a signature")
    if not 0 <= valid_until < 2**64:
        raise BadMessage("validUntil of an outcome is out of range")
    try:
        job = bytes.fromhex(letter.job[2:])
        return AgreedOutcome(job, valid_until, tuple(_lane(lane) for lane in lanes)), signature
    except (ValueError, TypeError, AttributeError, KeyError):
        raise BadMessage("a lane of an outcome is not whole") from None


def _lane(raw: dict[str, Any]) -> AgreedLane:
    provider, word = str(raw["provider"]), bytes.fromhex(raw["word"].removeprefix("0x"))
    score, payout = raw["score"], int(raw["payout"])
    whole = raw.keys() == _LANE_KEYS and type(score) is int and 0 <= score <= 0xFFFFFFFF and 0 <= payout < 2**96
    if not whole or len(word) != 32 or len(bytes.fromhex(provider.removeprefix("0x"))) != 20:
        raise ValueError
    return AgreedLane(Address(provider), word, score, Wei(payout))


def read_score(text: str) -> int:
    """`0.95` as 950,000 ppm. Raises ValueError."""
    whole, _, part = text.partition(".")
    if not (whole.isdecimal() and (part.isdecimal() or not part) and len(part) <= 6 and text.isascii()):
        raise ValueError(f"{text!r} is not a score such as 0.95")
    value = int(whole) * 1_000_000 + int(part.ljust(6, "0") or 0)
    if value > HIGHEST_SCORE:
        raise ValueError(f"{text!r} is above every score")
    return value
