"""What a job-hour fetches on this market, and what it costs here: a suggestion for [pay] price. Pure."""

from collections.abc import Callable, Iterable, Iterator
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


@dataclass(frozen=True)
class Sale:
    """One lane that was accepted: what it was paid an hour of the reserved time, and how it ended."""

    hourly: Wei
    settled: bool
    paid: bool
    """Whether its score paid anything; false while the job runs."""


@dataclass(frozen=True)
class Suggestion:
    """Prices a job-hour. `low` and `high` are the quartiles of what was accepted; None without sales."""

    sales: int
    paid: int
    low: Wei | None
    middle: Wei | None
    high: Wei | None
    floor: Wei
    """What the machine's power costs in that hour."""

    @property
    def price(self) -> Wei | None:
        """The middle of what was accepted, never below the cost of power; None if nothing is known of either."""
        best = max(self.middle or 0, self.floor)
        return Wei(best) if best else None


def sales(jobs: Iterable[JobState], manifest_of: Callable[[JobTerms], Manifest | None]) -> Iterator[Sale]:
    """Every accepted lane of jobs whose manifest can be read."""
    for job in jobs:
        manifest = manifest_of(job.terms) if job.lanes else None
        if manifest is None or not manifest.resources.seconds:
            continue
        for lane in job.lanes:
            yield Sale(Wei(lane.price * HOUR // manifest.resources.seconds), job.final, lane.payout > 0)


def power_up(watts: float, per_kwh: Wei) -> Wei:
    """Tokens that an hour at `watts` costs, rounded up. Raises BadInput for what is no power."""
    if not 0 <= watts < 1e9:
        raise BadInput(f"{watts} W is no power of a machine", hint="what its meter shows in training", code="bad_input")
    return Wei(-(-int(watts * per_kwh) // 1000))


def suggest(found: Iterable[Sale], floor: Wei) -> Suggestion:
    """Of sales and the cost of power."""
    found = list(found)
    hourly = sorted(sale.hourly for sale in found)
    low, high = (hourly[0], hourly[-1]) if hourly else (None, None)
    if len(hourly) >= FEWEST:
        quartiles = quantiles(hourly, n=4, method="inclusive")
        low, high = Wei(int(quartiles[0])), Wei(int(quartiles[2]))
    middle = Wei(int(median(hourly))) if hourly else None
    return Suggestion(len(found), sum(sale.paid for sale in found), low, middle, high, floor)
