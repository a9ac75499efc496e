"""Whose seats are whose."""

from heldout.market.chain import Block, Chain, SeatView

NOBODY = "0x" + "00" * 20


def seats_of(chain: Chain, head: Block, *, hot: str = "", cold: str = "") -> dict[int, SeatView]:
    """Seats with this hot or cold key at `head`, by number; a withdrawn seat is nobody's."""
    told = chain.events(chain.network.deploy_block, head.number, names=["Staked", "Rotated"])
    numbers = sorted({event.args["seat"] for event in told})
    views = zip(numbers, chain.seats(numbers, at=head), strict=True)
    wanted = {address.lower() for address in (hot, cold) if address}
    return {n: view for n, view in views if wanted & {view.hot.lower(), view.cold.lower()} and view.cold != NOBODY}
