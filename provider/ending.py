"""How a job ended for this node, in one sentence: for the log, `status` and `why`."""

from heldout.market.lifecycle import JobState, Outcome
from heldout.market.messages import NO_KEYS, describe_score
from heldout.market.money import format_tokens
from heldout.provider.bidding import outcome_of_bid
from heldout.provider.record import Record

_UNMEASURED = {
    Outcome.CANCELLED: "cancelled by the requester before anyone was accepted",
    Outcome.EXPIRED: "nobody was accepted in the bid window",
    Outcome.UNSUBMITTED: "no provider submitted",
    Outcome.TRAINING_KEYS_WITHHELD: "the requester withheld the training keys: its bond goes to who demanded them",
    Outcome.HELD_OUT_KEYS_WITHHELD: "the requester withheld the held-out keys: submitted lanes are paid in full",
    Outcome.VOID: "no round found a majority: everybody got back what they put in",
}


def describe_ending(job: JobState, lane: int | None, mine: Record) -> str:
    if lane is None:
        return _without_lane(job, mine)
    held = job.lanes[lane]
    if held.word is None:
        return "not submitted in time: the collateral is lost" + (f" ({mine.failure})" if mine.failure else "")
    sentence = _UNMEASURED.get(job.outcome) or f"score {_score(held.score)}"
    if mine.untrained:
        sentence = f"the program failed ({mine.untrained}), untrained weights stood in; {sentence}"
    if held.word == NO_KEYS:
        sentence = f"training keys did not open; {sentence}"
    return f"{sentence}; paid {format_tokens(held.payout)} of {format_tokens(held.price)}"


def _without_lane(job: JobState, mine: Record) -> str:
    if mine.price is None:
        return f"no bid: {mine.refusal[1]}" if mine.refusal else "no bid: it was over before it was looked at"
    never_accepted = None if job.lanes else _UNMEASURED.get(job.outcome)
    return never_accepted or outcome_of_bid(job, mine.price)


def _score(score: int | None) -> str:
    return "none" if score is None else describe_score(score)
