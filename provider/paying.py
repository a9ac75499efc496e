"""`heldout provider deposit | withdraw | appeal`: a provider's own money. Each works beside a running node."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from heldout.market.chain import Chain, checksum, connect
from heldout.market.chain.sender import Outbox
from heldout.market.console import amount, confirm, emit, home_path, load_network, open_keys, say
from heldout.market.errors import BadInput, InsufficientFunds
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import ROUNDS, State
from heldout.market.messages import describe_score, unpack_vote
from heldout.market.money import Wei, appeal_bond, format_tokens, parse_tokens
from heldout.market.terms import JobId, read_job_id

NO_PLACE = 0
"""Only seats name a place when they appeal."""


@dataclass(frozen=True)
class _Purse:
    chain: Chain
    keys: KeyRing
    outbox: Outbox


@contextmanager
def _purse(args: argparse.Namespace) -> Iterator[_Purse]:
    """An outbox with a journal of its own, since a running node holds the other."""
    keys = open_keys(args)
    with Journal(home_path(args) / "purse") as journal:
        chain = connect(load_network(args))
        yield _Purse(chain, keys, Outbox(chain, keys.account, journal))


def deposit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("amount", metavar="TOKENS")


def deposit(args: argparse.Namespace) -> int:
    """Move tokens from this node's address into its free balance: collateral for bids."""
    from heldout.market.chain.deposits import deposit as pay_in

    with _purse(args) as purse:
        receipt = pay_in(purse.chain, purse.outbox, purse.keys.account, parse_tokens(args.amount))
        free = purse.chain.free(purse.keys.address)
    emit(args, {"tx": receipt.hash, "free": amount(free)}, f"free balance  {format_tokens(free)}")
    return 0


def withdraw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("amount", metavar="TOKENS", help='tokens, or "all"')
    parser.add_argument("--to", metavar="ADDRESS", help="where to (default: this node's address)")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def withdraw(args: argparse.Namespace) -> int:
    """Move free balance out of the market. What jobs hold as collateral stays until they are settled."""
    with _purse(args) as purse:
        free = purse.chain.free(purse.keys.address)
        wanted = free if args.amount == "all" else parse_tokens(args.amount)
        if not 0 < wanted <= free:
            text = f"{format_tokens(free)} are free, {format_tokens(wanted)} were asked for"
            raise InsufficientFunds(text, hint="collateral comes back when its job is settled")
        to = checksum(args.to or purse.keys.address)
        confirm(f"withdraw {format_tokens(wanted)} tokens to {to}?", yes=args.yes)
        intent = f"withdraw:{purse.chain.head().number}:{free}:{wanted}:{to}"
        receipt = purse.outbox.send(intent, "withdraw", to, wanted, wait=True)
    emit(args, {"tx": receipt.hash, "amount": amount(wanted), "to": to}, f"{format_tokens(wanted)} sent to {to}")
    return 0


def appeal_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="its whole id")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would cost")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def appeal(args: argparse.Namespace) -> int:
    """Ask for a bigger committee while the challenge runs (P3.6): the bond is lost if it comes to the same result."""
    job = read_job_id(args.job)
    with _purse(args) as purse:
        round_, bond = _price_of_appeal(purse.chain, job)
        say(f"round {round_}: bond {format_tokens(bond)}, back and once over if the appeal is won, else lost")
        if args.dry_run:
            emit(args, {"job": job, "round": round_, "bond": amount(bond)})
            return 0
        confirm(f"appeal with a bond of {format_tokens(bond)} tokens?", yes=args.yes)
        terms = purse.chain.terms(job).as_tuple()
        receipt = purse.outbox.send(f"appeal:{job}:{round_}", "appeal", terms, NO_PLACE, wait=True)
    emit(args, {"job": job, "round": round_, "bond": amount(bond), "tx": receipt.hash}, f"appealed  tx {receipt.hash}")
    return 0


def _price_of_appeal(chain: Chain, job: JobId) -> tuple[int, Wei]:
    """The round an appeal would start, and its bond. Raises BadInput if there is nothing to appeal against."""
    view = chain.job(job)
    if view.state is not State.SCORED:
        raise BadInput(f"the job is {view.state.name.lower()}: only a scored one can be appealed")
    if view.round >= ROUNDS:
        raise BadInput("the last round has spoken", hint="its result is final")
    scores = ", ".join(map(describe_score, unpack_vote(view.result, view.lanes)))
    say(f"standing result of round {view.round}: {scores}")
    accepted = Wei(sum(lane.price for lane in chain.lanes(job, view.lanes)))
    return view.round + 1, appeal_bond(view.round + 1, view.committee, chain.terms(job).fee, accepted)
