"""The tables of docs/mechanism.md, each a title, a head and rows of text."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from heldout.market.settlement import Fines
from heldout.simulation.adversaries import (
    ALL,
    Absent,
    BuyerOfScores,
    HeldOutKeysWithheld,
    Lazy,
    Noisy,
    NoShow,
    SlashHunter,
    TrainingKeysWithheld,
    UnwatchedBuyer,
)
from heldout.simulation.chances import majority_chance, seats_drawn
from heldout.simulation.measure import Outcome, fee_after_absences, mean_profits, measured
from heldout.simulation.scene import Numbers

BASE = Numbers()
SHARES = (0.05, 0.10, 0.20, 0.33)
LOSERS = ("requester loses", "provider loses", "honest seats lose", "of it fines")


@dataclass(frozen=True)
class Table:
    """`name` marks its place in the page."""

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        rule = "|".join(["---", *["---:"] * (len(self.head) - 1)])
        lines = [" | ".join(self.head), rule, *(" | ".join(row) for row in self.rows)]
        return "\n".join(f"| {line} |" if line is not rule else f"|{line}|" for line in lines)


def amount(tokens: float) -> str:
    """Tokens to a hundredth; a half is what the decimal number says, not the last bit of a sum; minus zero is zero."""
    return f"{round(round(tokens, 6), 2) + 0.0:,.2f}"


def percent(share: float, places: int = 0) -> str:
    return f"{100 * share:.{places}f} %"


def adversaries() -> Table:
    """Everybody at the starting numbers."""
    rows = []
    for adversary in ALL:
        outcome = measured(adversary, BASE)
        rows.append((f"**{adversary.name}**: {adversary.tries}", *(amount(value) for value in vars(outcome).values())))
    head = ("adversary", "makes a job", "honest makes", *LOSERS)
    return Table("adversaries", head, tuple(rows))


def majorities() -> Table:
    """P10: who has a majority of a committee, by share of stake, out of 10,000 seats."""
    rows = []
    for n, round_, size in ((3, 1, 3), (3, 2, 7), (3, 3, 15), (5, 1, 5), (7, 1, 7), (7, 3, 31)):
        chances = (f"{100 * majority_chance(size, share):.4f} %" for share in SHARES)
        rows.append((f"n = {n}, round {round_}: {size} seats", *chances))
    return Table("majorities", ("committee", *(percent(share) for share in SHARES)), tuple(rows))


def steering() -> Table:
    """P10: the same for who may discard a block hash that it does not like: a majority in one of so many tries."""
    tries = (1, 2, 4, 16, 64)
    rows = []
    for round_, size in ((1, 3), (2, 7), (3, 15)):
        for share in SHARES[1:]:
            chance = majority_chance(size, share)
            steered = (percent(1 - (1 - chance) ** count, 2) for count in tries)
            rows.append((f"n = 3, round {round_}", percent(share), *steered))
    heads = (f"{count} hash" if count == 1 else f"{count} hashes" for count in tries)
    return Table("steering", ("committee", "share of seats", *heads), tuple(rows))


def buyers() -> Table:
    """A bought majority by price and share; and how often somebody must look to make it worthless."""
    rows = []
    for value in (100, 500, 1_000):
        for share in SHARES:
            numbers = replace(BASE, value=value, fee=value / 100, share=share, worth=1.3 * value, training=0.6 * value)
            unwatched, watched = measured(UnwatchedBuyer(), numbers), measured(BuyerOfScores(), numbers)
            looks = max(unwatched.makes / (unwatched.makes - watched.makes), 0.0)
            made = (watched.instead, unwatched.makes, watched.makes)
            rows.append((f"{value}", percent(share), *map(amount, made), percent(looks)))
    head = ("V", "share of seats", "honest makes", "buys, nobody looks", "buys, appealed", "looks that suffice")
    return Table("buyers", head, tuple(rows))


def hunters() -> Table:
    """Sham jobs that burn the stake of others: by fee, share and slash."""
    rows = []
    for fee in (1.0, 5.0, 10.0, 31.25):
        for share in (0.10, 0.20, 0.33, 0.45):
            numbers = replace(BASE, fee=fee, share=share)
            once = measured(SlashHunter(), numbers)
            rows.append((_of_stake(fee), percent(share), amount(once.makes), amount(once.slashed), _damage(once)))
    head = ("fee", "share of seats", "makes a job", "honest stake slashed", "slashed per token spent")
    return Table("hunters", head, tuple(rows))


def _of_stake(fee: float) -> str:
    return f"{fee:g} = S/{BASE.stake / fee:g}"


def _damage(outcome: Outcome) -> str:
    return "pays for itself" if outcome.makes >= 0 else amount(outcome.damage)


def slashes() -> Table:
    """The same for smaller slashes, at V = 100; and what then deters a buyer of scores."""
    rows = []
    for divisor in (2, 5, 10, 20, 40):
        numbers = replace(BASE, fines=replace(BASE.fines, different=divisor))
        hunters = (measured(SlashHunter(), replace(numbers, share=share)) for share in (0.20, 0.33))
        buyer = measured(BuyerOfScores(), replace(numbers, share=0.20)).makes
        noise = measured(Noisy(), replace(numbers, share=0.05))
        slash = BASE.stake / divisor
        name = f"S/{divisor} = {slash / BASE.value:g} V"
        rows.append((name, *(_damage(hunter) for hunter in hunters), amount(buyer), amount(noise.makes)))
    hunter = "slashed per token spent"
    head = ("slash", f"{hunter}, 20 %", f"{hunter}, 33 %", "buyer makes, appealed, 20 %", "noise makes, 5 %")
    return Table("slashes", head, tuple(rows))


def seats() -> Table:
    """What it is worth to score, by fee: per seat drawn, for owners of few seats and of many."""
    rows = []
    for fee in (0.25, 0.5, 1.0, 2.0, 5.0):
        numbers = replace(BASE, fee=fee)
        honest = fee - numbers.scoring
        row = [f"{fee:g}", amount(honest)]
        for adversary, share in ((Lazy(), 0.003), (Lazy(), 0.10), (Noisy(), 0.003), (Noisy(), 0.10), (Absent(), 0.10)):
            drawn = _seats_drawn(share)
            row.append(amount(mean_profits(adversary, replace(numbers, share=share))["seats"] / drawn))
        rows.append(tuple(row))
    head = ("fee", "honest", "lazy 0.3 %", "lazy 10 %", "noise 0.3 %", "noise 10 %", "absent 10 %")
    return Table("seats", head, tuple(rows))


def _seats_drawn(share: float) -> float:
    """Seats of a holder that round 1 draws on average."""
    chances = seats_drawn(BASE.committee, round(share * BASE.seats), BASE.seats)
    return sum(k * chance for k, chance in enumerate(chances))


def bonds() -> Table:
    """Collateral and bond: does who was let down come out whole?"""
    rows = []
    for part in (0.20, 0.35, 0.50):
        numbers = replace(BASE, collateral=part, bond=part)
        outcomes = [
            measured(adversary, numbers) for adversary in (NoShow(), TrainingKeysWithheld(), HeldOutKeysWithheld())
        ]
        no_show, training, held_out = outcomes
        losses = (no_show.requester, training.provider, held_out.provider)
        rows.append((percent(part), *(amount(x) for x in losses), *(amount(outcome.makes) for outcome in outcomes)))
    head = (
        *("collateral, bond", "no work: requester loses", "no training keys: provider loses"),
        *("no held-out keys: provider loses", "no work makes", "no training keys makes", "no held-out keys makes"),
    )
    return Table("bonds", head, tuple(rows))


def fines() -> Table:
    """Whether what absent seats pay suffices for the round that their absence makes necessary."""
    rows = []
    for absent in (1, 2, 4):
        for n in (3, 5, 7):
            numbers = replace(BASE, fines=Fines(absent=absent), committee=n)
            rows.append((f"{absent}f", str(n), *(amount(fee_after_absences(numbers, rounds)) for rounds in (1, 2))))
    return Table("fines", ("absent pays", "n", "fee of round 2, in f", "fee of round 3, in f"), tuple(rows))


TABLES: dict[str, Callable[[], Table]] = {
    "adversaries": adversaries,
    "majorities": majorities,
    "steering": steering,
    "buyers": buyers,
    "hunters": hunters,
    "slashes": slashes,
    "seats": seats,
    "bonds": bonds,
    "fines": fines,
}
