"""What an adversary gains and what it costs the others: exactly, by samples with real draws, and on the bytecode."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import inf

from heldout.market.lifecycle import JobState, Purpose
from heldout.market.votes import majority_of
from heldout.simulation.adversaries import Absent, Adversary
from heldout.simulation.bytecode import Bytecode
from heldout.simulation.chances import Deal, mean_over_deals
from heldout.simulation.play import NAMES, Play, Profits
from heldout.simulation.rules import Market
from heldout.simulation.scene import (
    CHAIN_ID,
    LIMITS,
    MARKET,
    MINIMUM_FEE,
    Numbers,
    Role,
    Stage,
    settle_people,
    terms_of,
    tokens,
)

POOL = 80
"""Seats of each side from which committees are dealt: enough for three rounds of n = 7 without a seat serving twice."""


class Dealt(Market):
    """A market whose committees are dealt: so many of the adversary's seats, the others honest."""

    deal: Deal
    served: int

    def _draw(self, job: JobState, seed: bytes) -> tuple[int, ...]:
        size = job.size_of(job.round)
        mine = self.deal(size)
        self.served += size
        places = range(self.served - size, self.served)
        return tuple(place if i < mine else POOL + place for i, place in enumerate(places))


@dataclass(frozen=True)
class Outcome:
    """Tokens a job, on average; losses are against the same job with honest people in the adversary's place, or against
    no job at all, if nobody wants the adversary's."""

    makes: float
    """The adversary, all its roles together."""
    instead: float
    """Honest people in its place; nothing, if nobody wants the job."""
    requester: float
    """What it loses; 0 if it is the adversary. So the next two."""
    provider: float
    honest: float
    """All honest seats together."""
    slashed: float
    """Stake of honest seats that was fined."""

    @property
    def damage(self) -> float:
        """Stake that honest seats lose for every token that the adversary spends."""
        return self.slashed / -self.makes if self.makes < 0 else inf


@lru_cache(maxsize=1024)
def measured(adversary: Adversary, numbers: Numbers) -> Outcome:
    """The exact mean over all committees."""
    honest = mean_profits(Adversary(), replace(numbers, vigilant=True))
    instead = dict.fromkeys(NAMES, 0.0) if adversary.is_needless else honest
    return _compared(adversary, mean_profits(adversary, numbers), instead)


@lru_cache(maxsize=1024)
def mean_profits(adversary: Adversary, numbers: Numbers) -> Profits:
    return mean_over_deals(lambda deal: _dealt(adversary, numbers, deal), numbers.share, numbers.seats)


def _dealt(adversary: Adversary, numbers: Numbers, deal: Deal) -> Profits:
    return _dealt_play(adversary, numbers, deal).profits


def _dealt_play(adversary: Adversary, numbers: Numbers, deal: Deal) -> Play:
    wanted = adversary.numbers(numbers)
    stage = _peopled(wanted).copy()
    stage.deal, stage.served = deal, 0
    play = Play(stage, adversary, wanted, lambda seat: seat < POOL, terms_of(wanted, 1))
    play.run()
    return play


@lru_cache(maxsize=64)
def _peopled(numbers: Numbers) -> Dealt:
    market = Dealt(tokens(numbers.stake), MINIMUM_FEE, LIMITS, chain_id=CHAIN_ID, address=MARKET)
    market.fines = numbers.fines
    settle_people(market, POOL, POOL)
    return market


def _compared(adversary: Adversary, profits: Profits, honest: Profits) -> Outcome:
    mine = sorted(adversary.roles)  # a set's own order differs from run to run, and so would the sum's last bit
    lost = {name: 0.0 if name in mine else honest[name] - profits[name] for name in profits}
    if Role.SEATS not in adversary.roles:  # then all seats are honest
        lost["honest"] += honest["seats"] - profits["seats"]
    makes, instead = (sum(each[name] for name in mine) for each in (profits, honest))
    return Outcome(makes, instead, lost["requester"], lost["provider"], lost["honest"], profits["slashed"])


def fee_after_absences(numbers: Numbers, rounds: int) -> float:
    """What a seat is paid, in f, after so many rounds in which just too many seats were absent."""

    def deal(size: int) -> int:
        benches.append(size)
        return majority_of(size) if len(benches) <= rounds else 0

    benches: list[int] = []
    play = _dealt_play(Absent(), numbers, deal)
    fees = [row.amount for row in play.job.money if row.purpose is Purpose.FEE]
    return fees[-1] / play.terms.fee


# ------------------------------------------------------------------------------- real draws, and real bytecode


def sampled(adversary: Adversary, numbers: Numbers, jobs: int) -> list[tuple[Profits, Profits]]:
    """Jobs in one market of `numbers.seats` seats with the contract's own draws; and beside each the profits that the
    exact mean counts for committees like these. `numbers` are as the adversary wants them."""
    market = Market(tokens(numbers.stake), MINIMUM_FEE, LIMITS, chain_id=CHAIN_ID, address=MARKET)
    market.fines = numbers.fines
    pairs = []
    for play in _played(market, adversary, numbers, jobs):
        benches = iter(play.benches())
        pairs.append((play.profits, _dealt(adversary, numbers, partial(_next_of, benches))))
    return pairs


def _next_of(benches: Iterator[int], size: int) -> int:
    return next(benches)


def on_bytecode(adversary: Adversary, numbers: Numbers, jobs: int) -> tuple[list[Profits], list[Profits]]:
    """The same jobs in Python and on the deployed bytecode, with the same draws."""
    bytecode = Bytecode(tokens(numbers.stake), MINIMUM_FEE, LIMITS)
    rules = Market(tokens(numbers.stake), MINIMUM_FEE, LIMITS, chain_id=CHAIN_ID, address=bytecode.address)
    rules.hash_of = bytecode.block_hash
    ours, theirs = (_played(stage, adversary, numbers, jobs) for stage in (rules, bytecode))
    return [play.profits for play in ours], [play.profits for play in theirs]


def _played(stage: Stage, adversary: Adversary, numbers: Numbers, jobs: int) -> list[Play]:
    mine = round(numbers.share * numbers.seats)
    settle_people(stage, numbers.seats - mine, mine)
    wanted = adversary.numbers(numbers)
    terms = (terms_of(wanted, serial) for serial in range(1, jobs + 1))
    plays = [Play(stage, adversary, wanted, lambda seat: seat < mine, each) for each in terms]
    for play in plays:
        play.run()
    return plays
