"""What an adversary gains and what it costs the others: exactly, by samples with real draws, and on the bytecode."""

from dataclasses import dataclass, replace
from functools import lru_cache

from heldout.market.lifecycle import JobState
from heldout.simulation.adversaries import Adversary
from heldout.simulation.bytecode import Bytecode
from heldout.simulation.chances import Deal, mean_over_deals
from heldout.simulation.play import Play, Profits
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
    """Tokens a job, on average, against the same job with honest people in the adversary's roles."""

    gain: float
    """Of the adversary, all its roles together."""
    requester: float
    """What it loses; 0 if it is the adversary. So the next two."""
    provider: float
    honest: float
    """All honest seats together."""


def measured(adversary: Adversary, numbers: Numbers) -> Outcome:
    """The exact mean over all committees."""
    return _compared(adversary, mean_profits(adversary, numbers), _honest_profits(numbers))


def mean_profits(adversary: Adversary, numbers: Numbers) -> Profits:
    template = _peopled(adversary.numbers(numbers))

    def play(deal: Deal) -> Profits:
        stage = template.copy()
        stage.deal, stage.served = deal, 0
        return Play(stage, adversary, numbers, lambda seat: seat < POOL).run()

    return mean_over_deals(play, numbers.share, numbers.seats)


@lru_cache(maxsize=1024)
def _honest_profits(numbers: Numbers) -> Profits:
    return mean_profits(Adversary(), replace(numbers, vigilant=True))


@lru_cache(maxsize=64)
def _peopled(numbers: Numbers) -> Dealt:
    market = Dealt(tokens(numbers.stake), MINIMUM_FEE, LIMITS, chain_id=CHAIN_ID, address=MARKET)
    market.fines = numbers.fines
    settle_people(market, POOL, POOL)
    return market


def _compared(adversary: Adversary, profits: Profits, honest: Profits) -> Outcome:
    mine = [role.value for role in adversary.roles]
    lost = {name: 0.0 if name in mine else honest[name] - profits[name] for name in profits}
    if Role.SEATS not in adversary.roles:  # then all seats are honest
        lost["honest"] += honest["seats"] - profits["seats"]
    gain = sum(profits[name] - honest[name] for name in mine)
    return Outcome(gain, lost["requester"], lost["provider"], lost["honest"])


# ------------------------------------------------------------------------------- real draws, and real bytecode


def sampled(adversary: Adversary, numbers: Numbers, jobs: int) -> list[Profits]:
    """Jobs in one market of `numbers.seats` seats, with the contract's own draws."""
    market = Market(tokens(numbers.stake), MINIMUM_FEE, LIMITS, chain_id=CHAIN_ID, address=MARKET)
    market.fines = numbers.fines
    return _played(market, adversary, numbers, jobs)


def on_bytecode(adversary: Adversary, numbers: Numbers, jobs: int) -> tuple[list[Profits], list[Profits]]:
    """The same jobs in Python and on the deployed bytecode, with the same draws."""
    bytecode = Bytecode(tokens(numbers.stake), MINIMUM_FEE, LIMITS)
    rules = Market(tokens(numbers.stake), MINIMUM_FEE, LIMITS, chain_id=CHAIN_ID, address=bytecode.address)
    rules.hash_of = bytecode.block_hash
    return _played(rules, adversary, numbers, jobs), _played(bytecode, adversary, numbers, jobs)


def _played(stage: Stage, adversary: Adversary, numbers: Numbers, jobs: int) -> list[Profits]:
    mine = round(numbers.share * numbers.seats)
    settle_people(stage, numbers.seats - mine, mine)
    return [Play(stage, adversary, numbers, lambda seat: seat < mine, serial).run() for serial in range(1, jobs + 1)]
