"""`heldout wallet`, `deposit`, `withdraw`: what you have, and moving it between your address and the market."""

import argparse

from heldout.market.console import amount, confirm, emit, home_path, say
from heldout.market.errors import InsufficientFunds
from heldout.market.money import Wei, format_tokens, parse_tokens
from heldout.requester_cli.session import reading, signing


def wallet(args: argparse.Namespace) -> int:
    """Your address, what it holds, what is free on the market, and what your jobs hold. Asks for no password."""
    from heldout.market.keys import KeyRing

    address = KeyRing.address_of(home_path(args))
    with reading(args) as client:
        chain = client.chain
        held, free, gas = chain.token_balance(address), chain.free(address), chain.eth(address)
        mine = [job for job in client.jobs() if job.terms.requester.lower() == address.lower() and not job.final]
    locked = Wei(sum(job.money_in - job.money_out for job in mine))
    emit(
        args,
        {"address": address, "tokens": amount(held), "free": amount(free), "in_jobs": amount(locked), "gas": str(gas)},
        f"address         {address}",
        f"wallet          {format_tokens(held)} HELD",
        f"free on market  {format_tokens(free)} HELD",
        f"in {len(mine)} open job(s)  {format_tokens(locked)} HELD, collateral of providers included",
        f"gas money       {gas / 10**18:.6f} ETH",
    )
    return 0


def deposit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("amount", metavar="AMOUNT", help="tokens, such as 12.5")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen and send nothing")


def deposit(args: argparse.Namespace) -> int:
    """Move tokens from your address into your free balance on the market, with a permit: one transaction."""
    wei = parse_tokens(args.amount)
    with signing(args) as client:
        held = client.chain.token_balance(client.address)
        say(f"deposit {_both(wei)} of {format_tokens(held)} held")
        if held < wei:
            raise InsufficientFunds(f"the wallet holds {_both(held)}", hint="send tokens to your address first")
        if args.dry_run:
            return _would_send(args, client.chain.head().base_fee, 120_000)
        confirm(f"Deposit {_both(wei)}?", yes=args.yes)
        receipt = client.deposit(wei)
        free = client.chain.free(client.address)
    emit(args, {"tx": receipt.hash, "free": amount(free)}, f"deposited; free balance {format_tokens(free)} HELD")
    return 0


def withdraw_arguments(parser: argparse.ArgumentParser) -> None:
    deposit_arguments(parser)
    parser.add_argument("--to", metavar="ADDRESS", help="another address than your own")


def withdraw(args: argparse.Namespace) -> int:
    """Move free balance from the market back to your address, or to another."""
    from heldout.market.signatures import checksummed

    wei = parse_tokens(args.amount)
    with signing(args) as client:
        free = client.chain.free(client.address)
        to = checksummed(args.to) if args.to else client.address
        say(f"withdraw {_both(wei)} of {format_tokens(free)} free, to {to}")
        if free < wei:
            raise InsufficientFunds(f"{_both(free)} are free on the market", hint="the rest is locked in jobs or seats")
        if args.dry_run:
            return _would_send(args, client.chain.head().base_fee, 70_000)
        confirm(f"Withdraw {_both(wei)} to {to}?", yes=args.yes)
        receipt = client.withdraw(wei, to)
        left = client.chain.free(client.address)
    emit(args, {"tx": receipt.hash, "free": amount(left)}, f"withdrawn; free balance {format_tokens(left)} HELD")
    return 0


def _both(wei: int) -> str:
    """Tokens and wei, so that a unit mistake shows before it is signed."""
    return f"{format_tokens(wei)} HELD ({wei} wei)"


def _would_send(args: argparse.Namespace, base_fee: int, gas: int) -> int:
    cost = 2 * base_fee * gas
    emit(args, {"gas": gas, "gas_cost": amount(cost)}, f"gas at most {cost / 10**18:.6f} ETH; nothing was sent")
    return 0
