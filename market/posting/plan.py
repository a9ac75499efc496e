"""What posting a job would do, before anything is signed: cost, promises, deadlines, who could bid, what is lacking."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from heldout.market.chain import Block, Chain
from heldout.market.console import amount
from heldout.market.errors import InsufficientFunds
from heldout.market.lifecycle import State
from heldout.market.manifest import Manifest
from heldout.market.messages import describe_score, hexed
from heldout.market.money import MILLION, ONE_TOKEN, Wei, format_tokens
from heldout.market.narration import clock
from heldout.market.posting.publishing import public_lines
from heldout.market.posting.reuse import refuse_used_data
from heldout.market.spans import format_span
from heldout.market.terms import Address, JobId, JobTerms, Timestamp

_DEPOSIT_GAS = 120_000
_POST_GAS = 220_000
_OPEN_GAS = 200_000
_ACCEPT_GAS = 110_000
_ACCEPT_GAS_PER_LANE = 70_000
_CONCLUDE_GAS, _CONCLUDE_GAS_PER_SEAT, _CONCLUDE_GAS_PER_LANE = 90_000, 30_000, 40_000
"""Upper bounds for the dry run, where a call cannot be tried because money is not there yet or bids are not known."""
_MOST_CANDIDATES = 500


@dataclass(frozen=True)
class Plan:
    """Everything the dry run prints. Amounts in wei of the token, `gas` in gas, `gas_price` in wei of gas money."""

    job: JobId
    terms: JobTerms
    manifest: Manifest
    now: Block
    free: Wei
    held: Wei
    """Tokens in the wallet."""
    gas_money: Wei
    gas: dict[str, int]
    gas_price: int
    live_seats: int
    needed_seats: int
    candidates: int
    """Accounts, other than this one and validators, with enough free balance for the collateral."""
    median_bid: Wei | None
    """Of all accepted bids on this market."""
    bids_first: bool = False
    """Whether bids are called for before anything is locked (P2.5), and `open` posts and accepts."""

    @property
    def to_deposit(self) -> Wei:
        """What the free balance lacks for the escrow."""
        return Wei(max(0, self.terms.escrow - self.free))

    @property
    def gas_cost(self) -> Wei:
        return Wei(sum(self.gas.values()) * self.gas_price)

    def refuse_impossible(self) -> None:
        """Raises InsufficientFunds if the wallet cannot pay."""
        for refusal in self.refusals():
            raise refusal

    def refusals(self) -> Iterator[InsufficientFunds]:
        """What the wallet lacks."""
        if self.to_deposit > self.held:
            what = f"the escrow is {format_tokens(self.terms.escrow)}; {format_tokens(self.free)} are free on the"
            text = f"{what} market and {format_tokens(self.held)} in the wallet"
            yield InsufficientFunds(
                text, hint="send tokens to your address, or lower [pay]", code="insufficient_tokens"
            )
        if self.gas_money < self.gas_cost:
            text = f"gas costs about {_gas_text(self.gas_cost)}, the wallet holds {_gas_text(self.gas_money)}"
            yield InsufficientFunds(text, hint="send gas money to your address", code="insufficient_gas_money")

    # ----------------------------------------------------------------------------------------------- in words

    def lines(self) -> list[str]:
        return [
            *_money_lines(self.terms),
            *self._call_lines(),
            *self._cost_lines(),
            *self._time_lines(),
            *self._market_lines(),
            *public_lines(self.manifest),
        ]

    def _cost_lines(self) -> list[str]:
        steps = ", ".join(f"{step} {gas:,}" for step, gas in self.gas.items())
        deposit = (
            f"{format_tokens(self.to_deposit)} moves from the wallet first" if self.to_deposit else "nothing to add"
        )
        return [
            f"Account    {self.terms.requester} pays, and signs",
            f"Gas        about {_gas_text(self.gas_cost)} ({steps}), at {self.gas_price / 10**9:.3f} gwei;",
            "           answers to demands and appeals cost more",
            f"Wallet     {format_tokens(self.free)} free on the market, {format_tokens(self.held)} held: {deposit}",
        ]

    def _call_lines(self) -> list[str]:
        if not self.bids_first:
            return []
        until = clock(Timestamp(self.now.timestamp + self.terms.bidWindow))
        return [
            f"Bids first bids are called for until {until}; nothing is locked before you take some,",
            "           and then one transaction posts the job and accepts them. What is deposited for it you can",
            "           withdraw until then, but providers believe a call only while it is there",
        ]

    def _time_lines(self) -> list[str]:
        terms = self.terms
        spans = [
            ("bids", terms.bidWindow),
            ("work", terms.workWindow),
            ("release (once keys are demanded)", terms.releaseWindow),
            ("commit", terms.commitWindow),
            ("reveal", terms.revealWindow),
            ("challenge", terms.challengeWindow),
        ]
        listed = " · ".join(f"{name} {format_span(seconds)}" for name, seconds in spans)
        refund = clock(self.now.timestamp + terms.bidWindow)
        none = "nothing was ever locked" if self.bids_first else f"everything comes back from {refund}"
        return [f"Deadlines  {listed}", f"           if nobody is accepted, {none}"]

    def _market_lines(self) -> list[str]:
        price = "no bid was accepted yet" if self.median_bid is None else f"median bid {format_tokens(self.median_bid)}"
        shown = [
            f"Market     {_counted(self.candidates, 'account')} could back a bid now · {price} · "
            f"{_counted(self.live_seats, 'live seat')}"
        ]
        if self.live_seats < self.needed_seats:
            shown.append(f"           warning: bids can be accepted only from {self.needed_seats} live seats on")
        return shown

    def as_json(self) -> dict[str, Any]:
        terms = self.terms
        return {
            "job": self.job,
            "requester": terms.requester,
            "bids_first": self.bids_first,
            "escrow": amount(terms.escrow),
            "never_more_than": amount(terms.escrow),
            "lanes": terms.lanes,
            "price_cap": amount(terms.priceCap),
            "floor": terms.floor,
            "target": terms.target,
            "floor_pay": terms.floorPay,
            "seats": terms.committee,
            "fee": amount(terms.fee),
            "bond": amount(terms.bond),
            "collateral": amount(terms.collateral),
            "to_deposit": amount(self.to_deposit),
            "gas": self.gas,
            "gas_price": str(self.gas_price),
            "gas_cost": amount(self.gas_cost),
            "windows": {
                "bids": terms.bidWindow,
                "work": terms.workWindow,
                "release": terms.releaseWindow,
                "commit": terms.commitWindow,
                "reveal": terms.revealWindow,
                "challenge": terms.challengeWindow,
            },
            "refund_from": self.now.timestamp + terms.bidWindow,
            "eligible_providers": self.candidates,
            "median_bid": None if self.median_bid is None else amount(self.median_bid),
            "live_seats": self.live_seats,
            "needed_seats": self.needed_seats,
            "public": [
                {"path": file.path, "bytes": file.bytes} for file in (*self.manifest.files, self.manifest.graph)
            ],
        }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _money_lines(terms: JobTerms) -> list[str]:
    """Who gets what, and when. The amounts of the rows sum to the escrow."""
    floor, target = describe_score(terms.floor), describe_score(terms.target)
    least = Wei(terms.priceCap * terms.floorPay // MILLION)
    rows = [
        (
            _counted(terms.lanes, "provider"),
            terms.lanes * terms.priceCap,
            f"each up to {format_tokens(terms.priceCap)}: its bid from {target} on, {terms.floorPay / 10_000:g} % "
            f"of it at {floor} (at most {format_tokens(least)}), nothing if worse; the rest comes back to you",
        ),
        (
            f"{terms.committee} seats",
            terms.committee * terms.fee,
            f"{format_tokens(terms.fee)} each for its vote, also when nobody reaches the floor",
        ),
        ("your bond", terms.bond, "comes back when the job is settled, unless you withhold keys"),
    ]
    width = max(len(format_tokens(value)) for _, value, _ in rows)
    head = [f"You escrow {format_tokens(terms.escrow)} HELD: you can never pay more than this"]
    royalties = [
        f"  {parent.bps / 100:g} % of each payout goes to {parent.payee}, for {hexed(parent.artifact)}"
        for parent in terms.parents
    ]
    return head + [f"  {name:13} {format_tokens(value):>{width}}  {what}" for name, value, what in rows] + royalties


def _gas_text(wei: int) -> str:
    return f"{wei / ONE_TOKEN:.6f} ETH"


# -------------------------------------------------------------------------------------------------- gathering


def make_plan(
    chain: Chain, job: JobId, terms: JobTerms, manifest: Manifest, me: Address, *, bids_first: bool = False
) -> Plan:
    """Read what the plan needs. Raises BadInput for data that another job uses."""
    head = chain.head()
    refuse_used_data(chain, job, terms, head)
    free = chain.free(me, at=head)
    seat_count = chain.seat_count(at=head)
    return Plan(
        job=job,
        terms=terms,
        manifest=manifest,
        now=head,
        free=free,
        held=chain.token_balance(me, at=head),
        gas_money=chain.eth(me),
        gas=_gas(chain, job, terms, me, free, bids_first),
        gas_price=2 * head.base_fee + int(chain.rpc.call("eth_maxPriorityFeePerGas"), 16),
        live_seats=chain.live_seats(at=head),
        needed_seats=max(8 * terms.committee, seat_count // 4),
        candidates=_count_candidates(chain, terms, me, head),
        median_bid=_median_bid(chain, head),
        bids_first=bids_first,
    )


def _gas(chain: Chain, job: JobId, terms: JobTerms, me: Address, free: Wei, bids_first: bool) -> dict[str, int]:
    """By step, from the deposit to the end. Posting is tried as a call if the money is there."""
    gas = {} if free >= terms.escrow else {"deposit": _DEPOSIT_GAS}
    ends = _CONCLUDE_GAS + terms.committee * _CONCLUDE_GAS_PER_SEAT + terms.lanes * _CONCLUDE_GAS_PER_LANE
    if bids_first:
        return gas | {"open": _OPEN_GAS + terms.lanes * _ACCEPT_GAS_PER_LANE, "conclude": ends}
    gas["post"] = _POST_GAS
    if free >= terms.escrow and chain.job(job).state is State.NONE:
        gas["post"] = chain.gas_of(chain.market, hexed(chain.market.encode("post", [terms.as_tuple()])), me)
    gas["accept"] = _ACCEPT_GAS + terms.lanes * _ACCEPT_GAS_PER_LANE
    return gas | {"conclude": ends}


def _count_candidates(chain: Chain, terms: JobTerms, me: Address, head: Block) -> int:
    events = chain.events(chain.network.deploy_block, head.number, names=["Deposited", "Staked"])
    seats = {event.args["cold"].lower() for event in events if event.name == "Staked"}
    accounts = {event.args["account"].lower() for event in events if event.name == "Deposited"} - seats - {me.lower()}
    checked = sorted(accounts)[:_MOST_CANDIDATES]
    return sum(free >= terms.collateral for free in chain.calls("free", [(account,) for account in checked], head))


def _median_bid(chain: Chain, head: Block) -> Wei | None:
    accepted = chain.events(chain.network.deploy_block, head.number, names=["Accepted"])
    prices = [bid["price"] for event in accepted for bid in event.args["bids"]]
    return Wei(int(median(prices))) if prices else None
