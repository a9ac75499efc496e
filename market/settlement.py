"""What a settlement pays to whom: a pure function of a job's events and its seats' stakes (P3.2 to P3.6, P4.5, P5.4).

    slashes come in ──▶ fees and appeals, round by round ──▶ lanes ──▶ bond, burned, and the rest to the requester

So the sum is right by construction (P1.4). The contract computes the same: tests/stateful/test_bytecode.py compares
every amount, in its order, on random lives of jobs. All amounts are in the token's smallest unit.
"""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field

from heldout.market.lifecycle import VACANT, Ending, JobState, Outcome, Purpose, Round, lane_pays
from heldout.market.messages import BAD, MISSING, NO_DATA, unpack_vote
from heldout.market.money import Wei, royalty_down
from heldout.market.terms import Address

NOBODY = Address("0x" + "00" * 20)
"""Who receives what is burned."""


@dataclass(frozen=True)
class Stake:
    """A seat as a settlement sees it."""

    cold: Address
    left: Wei
    """What is left of S."""
    active_from: int
    """Block number. A seat as young as the job is not the one that was drawn: its index was reused."""


StakeOf = Callable[[int], Stake | None]
"""The seat at an index; None for one that was withdrawn, and for a vacant place."""


@dataclass(frozen=True)
class Fines:
    """What a seat owes (P3, P5.4). The contract has these numbers; a simulation may try others."""

    absent: int = 4
    """Fees, for a seat that did not commit."""
    unrevealed: int = 8
    """Fees, for a commit that was not opened."""
    undelivered: int = 8
    """Fees, for MISSING or NO_DATA where the deciding round found a score."""
    different: int = 2
    """S divided by this, for a score or BAD that the deciding round does not share."""


PROTOCOL = Fines()


@dataclass(frozen=True)
class Slash:
    seat: int
    round: int
    amount: Wei


@dataclass(frozen=True)
class Payment:
    to: Address
    purpose: Purpose
    amount: Wei


@dataclass(frozen=True)
class LaneResult:
    lane: int
    provider: Address
    score: int
    """Or a code."""
    payout: Wei
    """Royalties included."""


@dataclass(frozen=True)
class Settlement:
    """How a job ends, and every movement of money in the contract's order."""

    outcome: Outcome
    result: bytes
    entries: tuple[Slash | Payment | LaneResult, ...]

    @property
    def slashes(self) -> tuple[Slash, ...]:
        return tuple(e for e in self.entries if isinstance(e, Slash))

    @property
    def payments(self) -> tuple[Payment, ...]:
        return tuple(e for e in self.entries if isinstance(e, Payment))

    @property
    def lanes(self) -> tuple[LaneResult, ...]:
        return tuple(e for e in self.entries if isinstance(e, LaneResult))


def settle(job: JobState, stake_of: StakeOf, seat_stake: Wei, fines: Fines = PROTOCOL) -> Settlement:
    """What `settle` would do to a job as it stands: a forecast, if the challenge is still running.

    Raises ValueError for a job that has no round and no outcome: nothing decides it yet.
    """
    if not job.round and job.outcome is Outcome.NONE:
        raise ValueError(f"job {job.id} has neither a round nor an outcome")
    verdict = _verdict_of(job)
    pot = _Pot(job.locked, withheld=job.terms.committee * job.terms.fee, bond=job.terms.bond)
    for slash in _slashes(job, verdict, stake_of, seat_stake, fines):
        pot.slash(slash)
    for number in range(1, job.round + 1):
        _pay_round(pot, job, number, verdict, stake_of)
    outcome = job.outcome or Outcome.MEASURED
    result = _pay_lanes(pot, job, outcome, verdict)
    pot.pay(job.terms.requester, Purpose.BOND, pot.bond)
    pot.burn(pot.slashed)
    pot.pay(job.terms.requester, Purpose.REFUND, pot.left)
    return Settlement(outcome, result, tuple(pot.entries))


@dataclass
class _Pot:
    """What is still to be given away."""

    left: int
    """All money of the job that is not paid yet; the next three are parts of it."""
    withheld: int
    """Round 1's fees; they pay later rounds after the slashes; the rest is the requester's."""
    bond: int
    """Of the requester."""
    slashed: int = 0
    """Pays appellants once over and later rounds' fees; the rest is burned."""
    entries: list[Slash | Payment | LaneResult] = field(default_factory=list)

    def pay(self, to: Address, purpose: Purpose, amount: int) -> None:
        if amount:
            self.left -= amount
            self.entries.append(Payment(to, purpose, Wei(amount)))

    def burn(self, amount: int) -> None:
        self.pay(NOBODY, Purpose.BURNED, amount)

    def slash(self, slash: Slash) -> None:
        self.left += slash.amount
        self.slashed += slash.amount
        self.entries.append(slash)


@dataclass(frozen=True)
class _Verdict:
    """What the votes decided."""

    round: int
    """The deciding one, 0 if none."""
    word: bytes
    values: tuple[int, ...]
    comparable: frozenset[int]
    """Lanes whose value is a score or BAD: delivery is a fact of its own round, and fines nobody of an earlier one."""


def _verdict_of(job: JobState) -> _Verdict:
    number = job.deciding_round
    word = job.rounds[number - 1].result if number else None
    if word is None:
        return _Verdict(0, bytes(32), (0,) * len(job.lanes), frozenset())
    values = unpack_vote(word, len(job.lanes))
    return _Verdict(number, word, values, frozenset(i for i, v in enumerate(values) if v <= BAD) - job.missing)


# ------------------------------------------------------------------------------------------------- slashes


def _slashes(job: JobState, verdict: _Verdict, stake_of: StakeOf, seat_stake: Wei, fines: Fines) -> Iterator[Slash]:
    left: dict[int, int] = {}
    for number, round_ in enumerate(job.rounds, 1):
        if round_.ending is Ending.DEFAULTED:
            continue
        for place, seat in enumerate(round_.seats):
            fine = _fine_of(job, round_, place, verdict if number < verdict.round else None, seat_stake, fines)
            stake = stake_of(seat) if fine and seat != VACANT else None
            if stake is None or stake.active_from >= (job.accept_block or 0):
                continue
            taken = min(fine, left.setdefault(seat, stake.left))
            left[seat] -= taken
            if taken:
                yield Slash(seat, number, Wei(taken))


def _fine_of(job: JobState, round_: Round, place: int, later: _Verdict | None, seat_stake: Wei, fines: Fines) -> int:
    """What a seat owes for its part in a round; `later` is what a later round decided, if one did."""
    fee = job.terms.fee
    if place not in round_.commits:
        return fines.absent * fee
    if place not in round_.votes:
        return 0 if round_.ending is Ending.UNCOMMITTED else fines.unrevealed * fee
    if later is None:
        return 0
    vote = unpack_vote(round_.votes[place], len(job.lanes))
    differing = [vote[i] for i in later.comparable if vote[i] != later.values[i]]
    if any(value <= BAD for value in differing):
        return seat_stake // fines.different
    return fines.undelivered * fee if differing else 0


# ---------------------------------------------------------------------------------------- fees and appeals


def _pay_round(pot: _Pot, job: JobState, number: int, verdict: _Verdict, stake_of: StakeOf) -> None:
    """A round's fees come from the requester (round 1), from an appellant who did not win, or from what earlier rounds
    withheld and slashed (P3.2, P3.6)."""
    round_ = job.rounds[number - 1]
    appellant, bond, fee = round_.appellant, round_.bond, int(job.terms.fee)
    won = appellant is not None and number <= verdict.round and _overturned(job, number, verdict, appellant)
    if won and appellant is not None:
        pot.pay(appellant, Purpose.APPEAL_BOND, bond)
        once_over = min(bond, pot.slashed)
        pot.slashed -= once_over
        pot.pay(appellant, Purpose.APPEAL_BOND, once_over)
    from_pot = number > 1 and (appellant is None or won)
    if from_pot:
        fee = min(fee, (pot.slashed + pot.withheld) // job.size_of(number))
    fees = _pay_fees(pot, job, number, verdict, fee, stake_of)
    if from_pot:
        from_slashes = min(fees, pot.slashed)
        pot.slashed -= from_slashes
        pot.withheld -= fees - from_slashes
    elif appellant is None:
        pot.withheld -= fees
    else:
        _pay_lost_bond(pot, job, appellant, bond - fees, decided=number <= verdict.round)


def _overturned(job: JobState, number: int, verdict: _Verdict, appellant: Address) -> bool:
    """Whether what was decided differs from the round before. A lane that is MISSING now tells for the requester only:
    a provider would else win by its own silence, or a friend's (P3.6)."""
    before = unpack_vote(job.rounds[number - 2].result or bytes(32), len(job.lanes))
    is_requester = appellant == job.terms.requester
    return any(
        now != then and (is_requester or now != MISSING) for now, then in zip(verdict.values, before, strict=True)
    )


def _pay_fees(pot: _Pot, job: JobState, number: int, verdict: _Verdict, fee: int, stake_of: StakeOf) -> int:
    """Returns what the round's fees came to."""
    round_, fees = job.rounds[number - 1], 0
    for place, seat in enumerate(round_.seats):
        if not fee or not _served(job, round_, place, number > verdict.round):
            continue
        stake = stake_of(seat) if seat != VACANT else None
        if stake is not None:  # else it left before the settlement, and its fee with it
            pot.pay(stake.cold, Purpose.FEE, fee)
            fees += fee
    return fees


def _served(job: JobState, round_: Round, place: int, is_after_verdict: bool) -> bool:
    """Whether a seat earned its fee: it voted as its round decided; or nothing was decided in the end and it revealed;
    or a party's silence ended the round, and it was drawn."""
    if round_.ending is Ending.DEFAULTED:
        return True
    if place not in round_.votes:
        return False
    if round_.result is None:
        return is_after_verdict
    vote, result = (unpack_vote(word, len(job.lanes)) for word in (round_.votes[place], round_.result))
    return all(vote[i] == result[i] for i in job.all_lanes - round_.missing)


def _pay_lost_bond(pot: _Pot, job: JobState, appellant: Address, rest: int, *, decided: bool) -> None:
    """What an appellant's bond leaves after the fees: back if the round decided nothing, else to the other side: of the
    requester the providers who submitted, of a provider the requester, of a seat nobody (P3.6)."""
    if not decided:
        pot.pay(appellant, Purpose.APPEAL_BOND, rest)
    elif appellant == job.terms.requester:
        for lane in sorted(job.submitted):
            pot.pay(job.lanes[lane].provider, Purpose.APPEAL_BOND, rest // len(job.submitted))
    elif job.lane_of(appellant) is not None:
        pot.pay(job.terms.requester, Purpose.APPEAL_BOND, rest)
    else:
        pot.burn(rest)


# --------------------------------------------------------------------------------------------------- lanes


def _pay_lanes(pot: _Pot, job: JobState, outcome: Outcome, verdict: _Verdict) -> bytes:
    """Returns the final result word."""
    if outcome in (Outcome.VOID, Outcome.TRAINING_KEYS_WITHHELD):
        _return_collaterals(pot, job, outcome)
        return bytes(32)
    result = job.overlaid(verdict.word, forgiven=_unpaid_halves(job, verdict))
    # Of a bond that is lost for the whole job, those who delivered have all; else each lane answers for its part.
    shares = len(job.keys_withheld) if outcome is Outcome.HELD_OUT_KEYS_WITHHELD else len(job.lanes)
    bond_share = pot.bond // shares
    for lane, score in enumerate(unpack_vote(result, len(job.lanes))):
        _pay_lane(pot, job, lane, score, bond_share)
    return result


def _unpaid_halves(job: JobState, verdict: _Verdict) -> Set[int]:
    """Lanes that owe no half key: a paid lane owes one (P4.4), unless it was made without training keys (P4.5)."""
    unpaid = {i for i, lane in enumerate(job.lanes) if not lane_pays(job.terms, lane.price, verdict.values[i])}
    return unpaid | job.no_keys


def _pay_lane(pot: _Pot, job: JobState, lane: int, score: int, bond_share: int) -> None:
    terms, provider = job.terms, job.lanes[lane].provider
    payout = lane_pays(terms, job.lanes[lane].price, score)
    net = int(payout)
    for parent in terms.parents:
        royalty = royalty_down(payout, parent.bps)
        net -= royalty
        pot.pay(parent.payee, Purpose.ROYALTY, royalty)
    pot.pay(provider, Purpose.PAYOUT, net)
    forfeit = 0
    if score in (BAD, MISSING):
        forfeit = int(terms.collateral)
    elif not payout:
        forfeit = min(terms.committee * terms.fee // len(job.lanes), terms.collateral)
    pot.pay(terms.requester, Purpose.COLLATERAL, forfeit)
    pot.pay(provider, Purpose.COLLATERAL, terms.collateral - forfeit)
    if score == NO_DATA:
        pot.bond -= bond_share
        pot.pay(provider, Purpose.BOND, bond_share)
    pot.entries.append(LaneResult(lane, provider, score, payout))


def _return_collaterals(pot: _Pot, job: JobState, outcome: Outcome) -> None:
    """Everybody gets back what they put in, but who never submitted (P3.2). Withheld training keys cost the bond, in
    equal parts for those who asked, and excuse every provider (P4.5)."""
    withheld = outcome is Outcome.TRAINING_KEYS_WITHHELD
    share = pot.bond // len(job.demanders) if withheld else 0
    for lane in range(len(job.lanes)):
        provider = job.lanes[lane].provider
        receiver = job.terms.requester if lane in job.missing else provider
        pot.pay(receiver, Purpose.COLLATERAL, job.terms.collateral)
        if withheld and lane in job.demanders:
            pot.bond -= share
            pot.pay(provider, Purpose.BOND, share)
