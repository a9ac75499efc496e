"""What the devnet's market and token are deployed with: every number of it is here, and none is secret or of value.

Windows are short at the bottom, so that a demo's job runs in a minute. At the top they decide how long a seat's exit
takes, which must outlast three longest rounds (P5.5): three weeks with these. `post` checks
lanes · operationCap ≤ OPERATIONS_PER_SECOND · commitWindow: 10⁹ a second is what one old core scores with NumPy (P1.5).
"""

from heldout.market.chain.views import Limits, Window
from heldout.market.deployment.specification import Specification
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.terms import Address

_HOUR = 60 * 60
_DAY = 24 * _HOUR
_LEAST = 5
MIB = 2**20

SEAT_STAKE = Wei(1_000 * ONE_TOKEN)
MINIMUM_FEE = Wei(1 * ONE_TOKEN)
LIMITS = Limits(
    bid=Window(_LEAST, 7 * _DAY),
    work=Window(_LEAST, 30 * _DAY),
    release=Window(_LEAST, 1 * _HOUR),
    commit=Window(_LEAST, 2 * _HOUR),
    reveal=Window(_LEAST, 2 * _HOUR),
    challenge=Window(_LEAST, 12 * _HOUR),
    shard_bytes=64 * MIB,
    weights_bytes=256 * MIB,
    operations_per_second=10**9,
)

CONFIRMATIONS = 2
SUPPLY = Wei(100_000_000 * ONE_TOKEN)
GRANT = Wei(100_000 * ONE_TOKEN)
"""Tokens of every test account at the start, and of every address that `heldout devnet fund` is given."""
GAS_MONEY = Wei(10**18)
"""Ether that such an address has afterwards at least."""
SEATS_PER_VALIDATOR = 3
"""Eight validators hold the 24 seats that a committee of three needs (P2.2)."""
PROVIDER_DEPOSIT = Wei(10_000 * ONE_TOKEN)
"""Free balance of every provider, for collaterals."""
HOURLY_PRICE = 10
"""Tokens a job-hour that every provider asks."""
LEAST_PRICES = (40, 50, 60, 70, 80, 90)
"""Tokens that each provider asks at least for a job: short jobs then get bids that differ."""


def specification(token: Address, stores: tuple[str, ...]) -> Specification:
    """The market that a devnet deploys."""
    return Specification(
        token=token,
        seat_stake=SEAT_STAKE,
        minimum_fee=MINIMUM_FEE,
        limits=LIMITS,
        name="devnet",
        confirmations=CONFIRMATIONS,
        stores=stores,
    )
