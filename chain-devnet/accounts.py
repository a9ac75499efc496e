"""Who has which test account. The keys are anvil's own, derived from a mnemonic that everybody knows: never send value.

account   0          the deployer
          1          the requester
          2 …  7     providers
          8 … 19     validators' hot keys
         20 … 31     validators' cold keys
"""

from functools import lru_cache
from pathlib import Path

from eth_account import Account

from heldout.market.errors import BadInput
from heldout.market.keys import ACCOUNT, KeyRing

MNEMONIC = "test test test test test test test test test test test junk"
COUNT = 32
MOST_PROVIDERS = 6
MOST_VALIDATORS = 12
PASSWORD = "devnet play money"
_FIRST_PROVIDER, _FIRST_HOT, _FIRST_COLD = 2, 8, 20


def names(providers: int, validators: int) -> list[str]:
    """Key rings of a devnet with that many parties."""
    hot_and_cold = (f"validator-{i}{kind}" for i in range(validators) for kind in ("", "-cold"))
    return ["requester", *(f"provider-{i}" for i in range(providers)), *hot_and_cold]


def index_of(name: str) -> int:
    """The account of a name such as `provider-0`, `validator-3` or `validator-3-cold`. Raises BadInput."""
    if name in ("deployer", "requester"):
        return ("deployer", "requester").index(name)
    role, _, rest = name.partition("-")
    number, _, kind = rest.partition("-")
    ranges = {
        ("provider", ""): (_FIRST_PROVIDER, MOST_PROVIDERS),
        ("validator", ""): (_FIRST_HOT, MOST_VALIDATORS),
        ("validator", "cold"): (_FIRST_COLD, MOST_VALIDATORS),
    }
    first, most = ranges.get((role, kind), (0, 0))
    if not number.isdecimal() or int(number) >= most:
        hint = f"requester, provider-0 to -{MOST_PROVIDERS - 1}, validator-0 to -{MOST_VALIDATORS - 1}, with -cold"
        raise BadInput(f"the devnet has no account {name!r}", hint=hint)
    return first + int(number)


@lru_cache
def private_key(index: int) -> bytes:
    Account.enable_unaudited_hdwallet_features()
    return bytes(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}").key)


def address(index: int) -> str:
    return str(Account.from_key(private_key(index)).address)


def open_ring(keys: Path, name: str) -> KeyRing:
    """The ring of an account, made on first use."""
    directory = keys / name
    if (directory / ACCOUNT).exists():
        return KeyRing.open(directory, PASSWORD)
    return KeyRing.create(directory, PASSWORD, account_key=private_key(index_of(name)), light=True)
