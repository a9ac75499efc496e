"""The rules in Python beside the deployed bytecode, on random histories: the same events, errors, money and records.

Calls, deadlines, draws, tallies, demands, appeals, slashes and payouts (P2 to P5) are decided twice: by Market.sol, run
in revm, and by heldout.simulation.rules over the fold of market/lifecycle.py, with market/settlement.py, votes.py and
split.py. After every call P1.4 holds on both sides; at the end of a history every job has reached a final state (P1.1).
"""

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from heldout.market.lifecycle import Outcome
from tests.players import Town

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


def agree(seeds: range) -> tuple[set[Outcome], set[int], set[str]]:
    """Histories that these seeds stand for; the outcomes, last rounds and errors that came up."""
    outcomes: set[Outcome] = set()
    rounds: set[int] = set()
    refusals: set[str] = set()
    for seed in seeds:
        rng = Random(seed)
        town = Town(rng)
        try:
            town.play(rng, STEPS)
        except AssertionError as difference:
            raise AssertionError(f"seed {seed}: {difference}") from difference
        outcomes |= {job.outcome for job in town.rules.jobs.values()}
        rounds |= {job.round for job in town.rules.jobs.values()}
        refusals |= set(town.duel.refusals)
    return outcomes, rounds, refusals


def test_rules_and_bytecode_agree_on_jobs_that_end_in_every_way() -> None:
    outcomes, rounds, refusals = agree(range(24))
    assert outcomes == set(Outcome) - {Outcome.NONE, Outcome.AGREED}
    assert rounds == {0, 1, 2, 3}
    assert len(refusals) > 30, "and on most errors"


@pytest.mark.deep
def test_rules_and_bytecode_agree_on_thousands_of_jobs() -> None:
    agree(range(1_000, 1_220))
