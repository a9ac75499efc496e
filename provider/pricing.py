"""What lanes fetch on this market, and what an hour costs here: a suggestion for [pay] price and minimum. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from heldout.market.errors import BadInput
from heldout.market.lifecycle import JobState
from heldout.market.manifest import Manifest
from heldout.market.money import Wei
from heldout.market.terms import JobTerms

HOUR = 3600
FEWEST = 4
"""Sales below which quartiles would say more than is known."""
LONG_S = 900
"""A lane that reserved less went for a minimum, whatever the clock says: it tells no price of an hour."""


@dataclass(frozen=True)
class Sale:
    """One lane that was accepted: its price, the time it reserved, and how it ended."""

    price: Wei
    seconds: int
    paid: bool = False
    """Whether its score paid anything; false while the job runs."""

    @property
    def hourly(self) -> Wei:
        return Wei(self.price * HOUR // self.seconds)


@dataclass(frozen=True)
class Suggestion:
    """Prices a lane, and from long lanes a job-hour. `low` and `high` are the quartiles of the lanes that were
    accepted; None without sales."""

    sales: int
    paid: int
    low: Wei | None
    middle: Wei | None
    high: Wei | None
    hourly: Wei | None
    """The middle of what an hour went for, in lanes of LONG_S and more; None without one."""
    floor: Wei
    """What the machine's power costs in that hour."""

    @property
    def price(self) -> Wei | None:
        """A job-hour: the middle of what was accepted, never below the cost of power; None if neither is known."""
        best = max(self.hourly or 0, self.floor)
        return Wei(best) if best else None

    @property
    def minimum(self) -> Wei | None:
        """A whole job, however short: what three of four lanes went for at least."""
        return self.low


def sales(jobs: Iterable[JobState], manifest_of: Callable[[JobTerms], Manifest | None]) -> Iterator[Sale]:
    """Every accepted lane of jobs whose manifest can be read."""
    for job in jobs:
        manifest = manifest_of(job.terms) if job.lanes else None
        if manifest is None or not manifest.resources.seconds:
            continue
        for lane in job.lanes:
            yield Sale(lane.price, manifest.resources.seconds, lane.payout > 0)


def power_up(watts: float, per_kwh: Wei) -> Wei:
    """Tokens that an hour at `watts` costs, rounded up. Raises BadInput for what is no power."""
    if not 0 <= watts < 1e9:
        raise BadInput(f"{watts} W is no power of a machine", hint="what its meter shows in training", code="bad_input")
    return Wei(-(-int(watts * per_kwh) // 1000))


def suggest(found: Iterable[Sale], floor: Wei) -> Suggestion:
    """Of sales and the cost of power."""
    found = list(found)
    prices = sorted(sale.price for sale in found)
    low, high = (prices[0], prices[-1]) if prices else (None, None)
    if len(prices) >= FEWEST:
        quartiles = quantiles(prices, n=4, method="inclusive")
        low, high = Wei(int(quartiles[0])), Wei(int(quartiles[2]))
    hourly = _middle([sale.hourly for sale in found if sale.seconds >= LONG_S])
    return Suggestion(len(found), sum(sale.paid for sale in found), low, _middle(prices), high, hourly, floor)


def _middle(values: Sequence[Wei]) -> Wei | None:
    return Wei(int(median(values))) if values else None
