"""The rules in Python beside the deployed bytecode, on random histories: the same events, errors, money and records.

Calls, deadlines, draws, tallies, demands, appeals, slashes and payouts (P2 to P6) are decided twice: by Market.sol, run
in revm, and by heldout.simulation.rules over the fold of market/lifecycle.py, with market/settlement.py, votes.py and
split.py. After every call P1.4 holds on both sides; at the end of a history every job has reached a final state (P1.1).
"""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from heldout.market.lifecycle import Outcome
from heldout.market.money import ONE_TOKEN, Wei
from heldout.simulation.adversaries import Adversary
from heldout.simulation.bytecode import Bytecode
from heldout.simulation.play import Play
from heldout.simulation.rules import Market
from heldout.simulation.rules.terms import fifth_up
from heldout.simulation.scene import CHAIN_ID, LIMITS, MINIMUM_FEE, Numbers, Stage, settle_people, terms_of, tokens
from tests.players import Town

ROOT = Path(__file__).resolve().parents[2]
RANDOMS = st.randoms(use_true_random=False)
STEPS = 120


class Histories(RuleBasedStateMachine):
    """Any calls in any order. Hypothesis chooses what the people in the town choose, and shrinks it."""

    @initialize(rng=RANDOMS)
    def found(self, rng: Random) -> None:
        self.town = Town(rng)
        self.town.begin(rng)

    @rule(rng=RANDOMS)
    def begin(self, rng: Random) -> None:
        self.town.begin(rng)

    @rule(rng=RANDOMS, times=st.integers(1, 3))
    def advance(self, rng: Random, times: int) -> None:
        for _ in range(times):
            self.town.advance(rng)

    @rule(rng=RANDOMS)
    def demand(self, rng: Random) -> None:
        self.town.demand(rng)

    @rule(rng=RANDOMS)
    def answer(self, rng: Random) -> None:
        self.town.answer(rng)

    @rule(rng=RANDOMS)
    def appeal(self, rng: Random) -> None:
        self.town.appeal(rng)

    @rule(rng=RANDOMS)
    def agree(self, rng: Random) -> None:
        self.town.agree(rng)

    @rule(rng=RANDOMS)
    def wait(self, rng: Random) -> None:
        self.town.wait(rng)

    @rule(rng=RANDOMS)
    def tend_seats(self, rng: Random) -> None:
        self.town.tend_seats(rng)

    @rule(rng=RANDOMS)
    def meddle(self, rng: Random) -> None:
        self.town.meddle(rng)

    def teardown(self) -> None:
        if hasattr(self, "town"):
            self.town.finish()


def test_rules_and_bytecode_agree_on_whatever_hypothesis_tries() -> None:
    checks = settings(
        max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(Histories, settings=checks)


@dataclass
class Agreed:
    """What came up in some histories, and how often."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    rounds: Counter[int] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    without_keys: int = 0
    """Lanes whose provider submitted NO_KEYS."""


def agree(seeds: range) -> Agreed:
    """Plays the histories that these seeds stand for. Raises AssertionError, with the seed, at a difference."""
    agreed = Agreed()
    for seed in seeds:
        rng = Random(seed)
        town = Town(rng)
        try:
            town.play(rng, STEPS)
        except AssertionError as difference:
            raise AssertionError(f"seed {seed}: {difference}") from difference
        jobs = town.rules.jobs.values()
        agreed.outcomes.update(job.outcome for job in jobs)
        agreed.rounds.update(job.round for job in jobs)
        agreed.events.update(town.duel.seen)
        agreed.refusals.update(town.duel.refusals)
        agreed.calls.update(town.duel.taken)
        agreed.without_keys += sum(len(job.no_keys) for job in jobs)
    return agreed


def test_rules_and_bytecode_agree_on_jobs_that_end_in_every_way() -> None:
    agreed = agree(range(24))
    assert set(agreed.outcomes) == set(Outcome) - {Outcome.NONE}
    assert set(agreed.rounds) == {0, 1, 2, 3}
    assert agreed.without_keys
    assert len(agreed.refusals) > 30, "and on most errors"
    rare = {"Reseeded", "Appealed", "Answered", "Unanswered", "Slashed", "Artifact", "Exiting", "Unstaked"}
    assert rare <= set(agreed.events)
    assert {"commitAll", "revealAll", "conclude", "agree"} <= set(agreed.calls), "and on every road"


def test_the_bytecode_pays_the_payouts_of_the_shared_vectors() -> None:
    """P3.3: every curve of tests/vectors/payout.json as a whole job, settled by the bytecode and by the rules."""
    cases = json.loads((ROOT / "tests/vectors/payout.json").read_text())["cases"]
    numbers = Numbers(stake=2**80 / ONE_TOKEN, fee=1, seats=24, share=0.0)
    bytecode = Bytecode(tokens(numbers.stake), MINIMUM_FEE, LIMITS)
    rules = Market(tokens(numbers.stake), MINIMUM_FEE, LIMITS, chain_id=CHAIN_ID, address=bytecode.address)
    rules.hash_of = bytecode.block_hash
    for stage in (bytecode, rules):
        settle_people(stage, numbers.seats, 0)
    for serial, case in enumerate(cases, 1):
        for stage in (bytecode, rules):
            assert played_payout(stage, numbers, serial, case) == int(case["payout"]), case


def played_payout(stage: Stage, numbers: Numbers, serial: int, case: dict[str, Any]) -> int:
    """What the provider of a job on this curve was paid for this score."""
    curve = {name: case[name] for name in ("floor", "target", "floorPay")}
    bid = Wei(int(case["bid"]))
    least = Wei(max(fifth_up(bid), 3 * tokens(numbers.fee)))
    terms = replace(terms_of(numbers, serial), **curve, priceCap=bid, bond=least, collateral=least)
    return Play(stage, Scoring(case["score"]), numbers, lambda seat: False, terms).settled().lanes[0].payout


class Scoring(Adversary):
    """Honest people and a model with just this score."""

    def __init__(self, score: int) -> None:
        self.model = score


@pytest.mark.deep
def test_rules_and_bytecode_agree_on_many_jobs() -> None:
    agreed = agree(range(1_000, 1_150))
    assert agreed.outcomes.total() > 1_200
    assert min(agreed.outcomes.values()) > 20, "every way to end, often"
