"""What anybody can check of a job without a key: terms, task, draws, votes, payouts and money, from the chain (P7.5).

The scores themselves are out of reach: what opens weights and held-out rows, requester, provider and drawn seats
have.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

from heldout.market.chain import Chain
from heldout.market.lifecycle import REQUESTER, VACANT, ChainEvent, JobState, Outcome, Round
from heldout.market.messages import HIGHEST_SCORE, describe_score, unpack_vote
from heldout.market.money import Ppm, format_tokens, payout_down
from heldout.market.split import SEED_DELAY, draw_committee
from heldout.market.terms import BlockNumber
from heldout.market.votes import tally
from heldout.requester_cli.opening import Get
from heldout.requester_cli.verifying import Check, identity_checks, read_manifest


def witness(chain: Chain, job: JobState, get: Get) -> list[Check]:
    """Everything that follows from what is public, recomputed. Raises StoreProblem if no store has the task."""
    checks = identity_checks(chain, job, read_manifest(job.terms, get))
    checks += [*_draws(chain, job), *_results(job)]
    if job.final:
        checks += _payouts(job)
        checks.append(Check("money in, and out", format_tokens(job.money_in), format_tokens(job.money_out)))
    return checks


def drawn_split(chain: Chain, job: JobState) -> str:
    """Which shards the chain held out, in words; empty before anybody was bound."""
    if job.accept_block is None:
        return ""
    held_out = chain.split(job.terms, job.accept_block).held_out
    shards = ", ".join(map(str, held_out))
    return f"held out by the hash of block {job.accept_block + SEED_DELAY}: shards {shards} of {job.terms.shards}"


# --------------------------------------------------------------------------------------------------- draws (P5.2, P5.3)


def _draws(chain: Chain, job: JobState) -> Iterator[Check]:
    drawn = [(number, round_) for number, round_ in enumerate(job.rounds, 1) if round_.seats]
    if not drawn or job.accept_block is None:
        return
    raw, accept = bytes.fromhex(job.id[2:]), job.accept_block
    last = BlockNumber(max(round_.seed_block for _, round_ in drawn))
    lives = _lives(chain.events(chain.network.deploy_block, last, names=["Staked", "Exiting"]))
    by_hash = not int(chain.parameters().beacon, 16)
    for number, round_ in drawn:
        if by_hash:
            seed = chain.block(BlockNumber(round_.seed_block)).hash
            yield Check(f"seed of round {number}: hash of block {round_.seed_block}", seed, "0x" + round_.seed.hex())
        size, is_live = job.size_of(number), _is_live(lives, accept, round_.seed_block)
        seats = draw_committee(round_.seed, raw, number, size, job.seat_count, is_live)
        here = tuple(VACANT if seat is None else seat for seat in seats)
        yield Check(f"seats of round {number}", _seats(here), _seats(round_.seats))


def _lives(events: list[ChainEvent]) -> dict[int, list[ChainEvent]]:
    """By seat, when it was taken and when its exit began, in order."""
    lives: dict[int, list[ChainEvent]] = defaultdict(list)
    for event in events:
        lives[event.args["seat"]].append(event)
    return lives


def _is_live(lives: dict[int, list[ChainEvent]], accept: int, seed_block: int) -> Callable[[int], bool]:
    """Taken before the accept, and not exiting before the seed's block."""

    def is_live(seat: int) -> bool:
        past = [e for e in lives.get(seat, ()) if e.block < seed_block]
        return bool(past) and past[-1].name == "Staked" and past[-1].block < accept

    return is_live


def _seats(seats: tuple[int, ...]) -> str:
    return " ".join("vacant" if seat == VACANT else str(seat) for seat in seats)


# --------------------------------------------------------------------------------------- votes and money (P3.2, P3.3)


def _results(job: JobState) -> Iterator[Check]:
    lanes = len(job.lanes)
    for number, round_ in enumerate(job.rounds, 1):
        if round_.result is not None:
            what = f"result of round {number}, from {len(round_.votes)} votes"
            yield Check(what, _words(_tally(job, number, round_)), _words(unpack_vote(round_.result, lanes)))


def _tally(job: JobState, number: int, round_: Round) -> tuple[int, ...] | None:
    """As if everybody had been asked for delivery: a code that did not count would have left no result."""
    votes = [unpack_vote(word, len(job.lanes)) for word in round_.votes.values()]
    return tally(votes, job.size_of(number), len(job.lanes), job.all_lanes | {REQUESTER}, round_.missing)


def _words(values: tuple[int, ...] | None) -> str:
    return " ".join(map(describe_score, values)) if values else "no majority"


def _payouts(job: JobState) -> Iterator[Check]:
    terms = job.terms
    for number, lane in enumerate(job.lanes):
        if job.outcome is Outcome.MEASURED and lane.score is not None and lane.score <= HIGHEST_SCORE:
            here = payout_down(lane.price, Ppm(lane.score), terms.floor, terms.target, terms.floorPay)
            yield Check(f"payout of lane {number}", format_tokens(here), format_tokens(lane.payout))
