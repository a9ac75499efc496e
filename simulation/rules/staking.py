"""How money comes and goes, and how a seat is taken and left (P1.3, P5.1, P5.5)."""

from heldout.market.errors import Reverted
from heldout.market.settlement import NOBODY
from heldout.market.terms import Address
from heldout.simulation.rules.world import World


class Staking(World):
    def deposit(self, sender: Address, amount: int) -> None:
        """The token is plain, and everybody has enough of it."""
        if amount == 0:
            raise Reverted("ZeroAmount")
        self.emit("Deposited", **{"account": sender, "from": sender, "amount": amount})

    def withdraw(self, sender: Address, to: Address, amount: int) -> None:
        if to == NOBODY:
            raise Reverted("ZeroAddress")
        if amount == 0:
            raise Reverted("ZeroAmount")
        self.require_free(sender, amount)
        self.emit("Withdrawn", account=sender, to=to, amount=amount)

    def stake(self, sender: Address, count: int, hot: Address, wrap_key: bytes) -> None:
        if count == 0:
            raise Reverted("ZeroAmount")
        if hot == NOBODY:
            raise Reverted("ZeroAddress")
        self.require_free(sender, count * self.seat_stake)
        for _ in range(count):
            vacated = self.vacated["indices"]
            seat = vacated[-1] if vacated else self.totals["seat_count"]
            self.emit("Staked", seat=seat, cold=sender, hot=hot, wrapKey=wrap_key)

    def rotate(self, sender: Address, seat: int, hot: Address, wrap_key: bytes) -> None:
        self._require_cold(sender, seat)
        if hot == NOBODY:
            raise Reverted("ZeroAddress")
        self.emit("Rotated", seat=seat, hot=hot, wrapKey=wrap_key)

    def exit(self, sender: Address, seat: int) -> None:
        self._require_cold(sender, seat)
        if self.seats[seat].exiting_at:
            raise Reverted("SeatNotLive", (seat,))
        self.emit_exit(seat)

    def emit_exit(self, seat: int) -> None:
        self.emit("Exiting", seat=seat, withdrawableAt=self.now + self.limits.exit_delay)

    def unstake(self, sender: Address, seat: int) -> None:
        stored = self.seats.get(seat)
        if stored is None or not stored.exiting_at:
            raise Reverted("SeatNotExiting", (seat,))
        if self.now < stored.withdrawable_at:
            raise Reverted("TooEarly", (self.now, stored.withdrawable_at))
        self.emit("Unstaked", seat=seat, cold=stored.cold, amount=stored.stake)

    def _require_cold(self, sender: Address, seat: int) -> None:
        stored = self.seats.get(seat)
        if stored is None or stored.cold != sender:
            raise Reverted("NotCold", (sender, seat))
