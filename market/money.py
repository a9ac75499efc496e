"""Amounts, scores and the arithmetic that turns one into the other (P3.3, P3.6, P7.3). Rounding is in the names."""

import re
from typing import NewType

from heldout.market.errors import BadInput

Wei = NewType("Wei", int)
"""An amount in the token's smallest unit."""
Ppm = NewType("Ppm", int)
"""Parts per million: a score in its metric's own offset and direction, or a share."""
BasisPoints = NewType("BasisPoints", int)

DECIMALS = 18
ONE_TOKEN = Wei(10**DECIMALS)
MILLION = 1_000_000
_AMOUNT = re.compile(rf"([0-9]{{1,29}})(?:\.([0-9]{{1,{DECIMALS}}}))?")


def parse_tokens(text: str) -> Wei:
    """`"12.5"` tokens as wei, exactly. Raises BadInput for anything negative, finer than one wei, or not a number."""
    match = _AMOUNT.fullmatch(text)
    wei = int(match[1]) * ONE_TOKEN + int((match[2] or "").ljust(DECIMALS, "0")) if match else 2**96
    if wei >= 2**96:
        raise BadInput(f"{text!r} is not an amount of tokens", hint="write a decimal number such as 12.5")
    return Wei(wei)


def format_tokens(wei: int, places: int = 4) -> str:
    """Tokens with thousands separators, exact: more digits than `places` are shown if the amount has them."""
    sign = "-" if wei < 0 else ""
    whole, fraction = divmod(abs(wei), ONE_TOKEN)
    digits = f"{fraction:0{DECIMALS}d}".rstrip("0")
    return f"{sign}{whole:,}.{digits.ljust(places, '0')}"


def format_gas(wei: int) -> str:
    """The chain's own coin, to a millionth: what gas costs changes from block to block."""
    return f"{wei / ONE_TOKEN:,.6f}"


def payout_down(bid: Wei, score: Ppm, floor: Ppm, target: Ppm, floor_pay: Ppm) -> Wei:
    """What a lane earns (P3.3), rounded down: 0 below the floor, the whole bid from the target on.

    target < floor means lower is better. Raises ValueError if floor equals target (`post` refuses such terms).
    """
    if floor == target:
        raise ValueError("floor equals target")
    span = abs(target - floor)
    gained = score - floor if target > floor else floor - score
    if gained < 0:
        return Wei(0)
    share = min(gained, span)
    return Wei(bid * (floor_pay * span + (MILLION - floor_pay) * share) // (MILLION * span))


def royalty_down(payout: Wei, bps: BasisPoints) -> Wei:
    """A parent's part of a payout (P7.3), rounded down."""
    return Wei(payout * bps // 10_000)


def appeal_bond(round_: int, committee: int, fee: Wei, accepted: Wei) -> Wei:
    """Bond to call round 2 or 3 (P3.6): `accepted` is V, the sum of accepted bids."""
    if round_ == 2:
        return Wei(max(2 * (2 * committee + 1) * fee, accepted // 10))
    if round_ == 3:
        return Wei(max(2 * (4 * committee + 3) * fee, accepted * 15 // 100))
    raise ValueError(f"no appeal leads to round {round_}")


def escrow(lanes: int, cap: Wei, committee: int, fee: Wei, bond: Wei) -> Wei:
    """What `post` locks (P2.2): the most a requester can pay, bond included."""
    return Wei(lanes * cap + committee * fee + bond)
