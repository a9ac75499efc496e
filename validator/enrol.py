"""Becoming a validator, and ceasing to be one. The hot key votes and lives on the node; the cold key owns the stake."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heldout.market.chain import Block, Chain, SeatView, connect
from heldout.market.chain.deposits import deposit
from heldout.market.chain.sender import Outbox
from heldout.market.console import (
    amount,
    confirm,
    emit,
    home_path,
    load_network,
    open_keys,
    password_path,
    say,
    table,
)
from heldout.market.errors import BadInput, InsufficientFunds
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing, new_password, open_ring
from heldout.market.money import Wei, format_gas, format_tokens
from heldout.market.spans import format_span
from heldout.market.terms import Address
from heldout.validator.seats import seats_of
from heldout.validator.voting import penalties

STAKE_GAS = 130_000
"""For one seat, measured; a further one takes as much again."""
DEPOSIT_GAS = 95_000


def init(args: argparse.Namespace) -> int:
    """Make the hot key of a node: it commits and reveals, and can neither move nor withdraw any stake."""
    network, home = load_network(args), home_path(args)
    password = new_password(password_file=password_path(args), password_fd=args.password_fd)
    keys = KeyRing.create(home, password, light=network.is_devnet)
    say(
        f"hot key {keys.address} in {home}, mode 0600",
        "1. back it up: `heldout key backup`; with it, votes survive a lost disk",
        "2. send it gas money: it pays for commits and reveals",
        "3. heldout validator stake N --cold DIR, with the key ring that owns your tokens",
    )
    emit(args, {"hot": keys.address, "wrap_key": "0x" + keys.wrap_public.hex(), "home": str(home)}, keys.address)
    return 0


# ---------------------------------------------------------------------------------------------------- stake


def stake(args: argparse.Namespace) -> int:
    """Turn tokens into seats of this node. A seat is one vote, drawn by chance; all of its stake can be slashed."""
    if args.count < 1:
        raise BadInput("at least one seat is needed", hint="heldout validator stake 3 --cold DIR")
    chain = connect(load_network(args))
    cold = KeyRing.address_of(Path(args.cold))
    parameters, head = chain.parameters(), chain.head()
    cost = Wei(parameters.seat_stake * args.count)
    lacking = Wei(max(0, cost - chain.free(cold, at=head)))
    _show_stake(chain, args.count, cost, lacking, cold)
    plan = {"seats": args.count, "stake": amount(cost), "deposit": amount(lacking), "cold": cold}
    refusal = _refusal(chain, head, cold, args.count, lacking)
    if args.dry_run:
        told = f"would be refused now: {refusal.message}; {refusal.hint}" if refusal else "nothing was sent"
        emit(args, {**plan, "sent": False, "refused": refusal and refusal.as_dict()}, told)
        return 0
    if refusal:
        raise refusal
    confirm(f"Stake {format_tokens(cost)} tokens of {cold}?", yes=args.yes)
    hot = open_keys(args)
    with _cold_outbox(args, chain) as (ring, outbox):
        if lacking:
            deposit(chain, outbox, ring.account, lacking)
        name = f"stake:{args.count}:{_staked(chain, cold)}:{hot.address}"
        receipt = outbox.send(name, "stake", args.count, hot.address, hot.wrap_public, wait=True)
    seats = [event.args["seat"] for event in receipt.events if event.name == "Staked"]
    emit(args, {**plan, "sent": True, "tx": receipt.hash, "seat_numbers": seats}, f"seats {_listed(seats)}")
    return 0


def _refusal(chain: Chain, head: Block, cold: Address, count: int, lacking: Wei) -> InsufficientFunds | None:
    """What the cold key lacks, in tokens or gas money."""
    tokens, gas = chain.token_balance(cold, at=head), chain.eth(cold, at=head)
    if tokens < lacking:
        text = f"{cold} holds {format_tokens(tokens)} tokens, {format_tokens(lacking)} are needed"
        return InsufficientFunds(text, hint="send it tokens, or stake fewer seats", code="insufficient_tokens")
    needed = Wei(_gas(count, lacking) * head.base_fee)
    if gas < needed:
        text = f"{cold} holds {format_gas(gas)} ETH for gas, {format_gas(needed)} are needed"
        return InsufficientFunds(text, hint="send gas money to the cold key", code="insufficient_gas_money")
    return None


def _gas(count: int, lacking: Wei) -> int:
    return STAKE_GAS * count + (DEPOSIT_GAS if lacking else 0)


def _staked(chain: Chain, cold: Address) -> int:
    """How many seats this key ever staked: named in an intent, a killed run stakes once, and who left and comes back
    stakes again."""
    told = chain.events(chain.network.deploy_block, chain.head().number, names=["Staked"])
    return sum(event.args["cold"].lower() == cold.lower() for event in told)


def _show_stake(chain: Chain, count: int, cost: Wei, lacking: Wei, cold: str) -> None:
    parameters = chain.parameters()
    least, most = parameters.minimum_fee, Wei(parameters.seat_stake // 32)
    gas = _gas(count, lacking)
    price = chain.head().base_fee
    say(
        f"locks {format_tokens(cost)} tokens of {cold}: {count} × {format_tokens(parameters.seat_stake)}",
        f"of which {format_tokens(lacking)} are deposited first",
        f"gas about {gas:,}, at the present base fee {format_gas(gas * price)} ETH",
        f"leaves {format_span(parameters.exit_delay)} after `heldout validator unstake`; until then it can be slashed",
        "one stake backs all jobs a seat is drawn for at the same time",
        "",
        f"what a seat loses in tokens, with a fee of {format_tokens(least)} to {format_tokens(most)} a round:",
    )
    rows = zip(penalties(parameters.seat_stake, least), penalties(parameters.seat_stake, most), strict=True)
    say(
        *table(
            ("fault", "least", "most"), [(a.fault, format_tokens(a.amount), format_tokens(b.amount)) for a, b in rows]
        )
    )


# -------------------------------------------------------------------------------------------------- unstake


def unstake(args: argparse.Namespace) -> int:
    """Let seats leave: the first call begins the exit, a call after the delay credits the stake to the cold key."""
    chain = connect(load_network(args))
    head, cold = chain.head(), KeyRing.address_of(Path(args.cold))
    owned = seats_of(chain, head, cold=cold)
    foreign = sorted(set(args.seats) - owned.keys())
    if foreign:
        raise BadInput(f"seats {_listed(foreign)} are not of {cold}", hint=f"its seats: {_listed(owned)}")
    chosen = {seat: owned[seat] for seat in args.seats or owned}
    steps = {seat: _next_step(chain, seat, view, head) for seat, view in chosen.items()}
    say(*table(("seat", "stake", "next"), [(s, format_tokens(chosen[s].stake), step[1]) for s, step in steps.items()]))
    due = {seat: step[0] for seat, step in steps.items() if step[0]}
    result: dict[str, Any] = {"seats": {str(seat): step[1] for seat, step in steps.items()}, "sent": False}
    if args.dry_run or not due:
        emit(args, result, "nothing was sent")
        return 0
    confirm(f"Send {len(due)} transactions from {cold}?", yes=args.yes)
    with _cold_outbox(args, chain) as (_, outbox):
        for seat, function in due.items():
            outbox.send(f"{function}:{seat}:{chosen[seat].active_from}", function, seat, wait=True)
    emit(args, {**result, "sent": True}, f"sent: {len(due)}")
    return 0


def _next_step(chain: Chain, seat: int, view: SeatView, head: Block) -> tuple[str, str]:
    """The function to call now, empty if it is too early; and what it means."""
    if not view.exiting_at:
        return "exit", "exit now; the stake stays slashable until it is withdrawn"
    told = chain.events(view.exiting_at, view.exiting_at, names=["Exiting"])
    due = max((event.args["withdrawableAt"] for event in told if event.args["seat"] == seat), default=0)
    if head.timestamp < due:
        return "", f"leaves in {format_span(due - head.timestamp)}"
    return "unstake", f"{format_tokens(view.stake)} tokens to the free balance of {view.cold}"


# -------------------------------------------------------------------------------------------------- cold key


@contextmanager
def _cold_outbox(args: argparse.Namespace, chain: Chain) -> Iterator[tuple[KeyRing, Outbox]]:
    directory = Path(args.cold)
    cold = argparse.Namespace(**{**vars(args), "home": directory, "password_file": args.cold_password_file})
    ring = open_ring(directory, password_file=password_path(cold))
    with Journal(directory / "journal") as journal:
        yield ring, Outbox(chain, ring.account, journal)


def _listed(seats: Any) -> str:
    return ", ".join(str(seat) for seat in sorted(seats)) or "none"
