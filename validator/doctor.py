"""`heldout validator doctor`: everything that would keep this node from earning, looked at once."""

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from heldout.kernels import child
from heldout.kernels.errors import KernelError
from heldout.market.artifacts import Stores, artifact_id
from heldout.market.chain import Chain, connect
from heldout.market.console import emit, home_path, load_network, open_keys, table
from heldout.market.errors import HeldoutError
from heldout.market.keys import KeyRing
from heldout.market.money import format_gas
from heldout.market.settings import Network
from heldout.validator.node import DUTY_GAS, RESERVE_GAS
from heldout.validator.seats import seats_of

LEAST_DISK = 1 << 30
MOST_DRIFT_S = 120
_EMPTY = bytes(32)


class Finding(NamedTuple):
    check: str
    ok: bool
    told: str
    mark: str = "ok"
    """How it is told if nothing is wrong: `-` for a device that is not there."""


def doctor(args: argparse.Namespace) -> int:
    """Check keys, chain, scorer, stores, gas, seats and disk. Exit code 1 if anything keeps the node from voting."""
    network, keys = load_network(args), open_keys(args)
    findings = [Finding("keys", True, f"{keys.address}, mode 0600"), *_checks(args, network, keys)]
    rows = [(f.check, f.mark if f.ok else "FAILED", f.told) for f in findings]
    emit(
        args,
        {"ok": all(f.ok for f in findings), "checks": [f._asdict() for f in findings]},
        *table(("", "", ""), rows)[1:],
    )
    return 0 if all(f.ok for f in findings) else 1


def _checks(args: argparse.Namespace, network: Network, keys: KeyRing) -> Iterator[Finding]:
    yield from _devices()
    yield _tried("stores", lambda: _stores(network))
    free = shutil.disk_usage(home_path(args)).free
    yield Finding("disk", free >= LEAST_DISK, f"{free >> 30} GiB free, {LEAST_DISK >> 30} needed")
    try:
        chain = connect(network)
    except HeldoutError as problem:
        yield Finding("chain", False, f"{problem.message} {problem.hint}")
        return
    yield from _on_chain(chain, keys)


def _devices() -> Iterator[Finding]:
    """What could score. A device that is absent keeps nobody from voting, one that is wrong must not be chosen."""
    try:
        for seen in child.survey():
            mark = "ok" if seen["present"] else "-"
            yield Finding(f"scorer {seen['device']}", seen["proven"] or not seen["present"], seen["told"], mark)
    except KernelError as problem:
        yield Finding("scorer", False, problem.message)


def _on_chain(chain: Chain, keys: KeyRing) -> Iterator[Finding]:
    head = chain.head()
    drift = int(abs(time.time() - head.timestamp))
    yield Finding("chain", True, f"{chain.network.name}, block {head.number}")
    told = f"block time is {drift} s from this machine's; deadlines follow block time"
    yield Finding("clock", drift <= MOST_DRIFT_S or chain.network.is_devnet, told)
    gas, needed = chain.eth(keys.address, at=head), (DUTY_GAS + RESERVE_GAS) * head.base_fee
    yield Finding("gas", gas >= needed, f"{format_gas(gas)} ETH, {format_gas(needed)} for one duty at this base fee")
    seats = seats_of(chain, head, hot=keys.address)
    live = [seat for seat, view in seats.items() if not view.exiting_at]
    yield Finding(
        "seats", bool(live), f"{len(live)} live: {', '.join(map(str, live)) or 'see `heldout validator stake`'}"
    )
    told_on_chain = chain.recipients(live) if live else {}
    wrong = [seat for seat, recipient in told_on_chain.items() if recipient.wrap_key != keys.wrap_public]
    told = f"seats {wrong} name another: `rotate` them" if wrong else "envelopes to the seats open with this ring"
    yield Finding("wrapping key", not wrong, told)


def _stores(network: Network) -> str:
    """Asks for an artifact nobody has: an answer is all that counts."""
    Stores.of(network.stores).has(artifact_id(_EMPTY))
    return f"{len(network.stores)} answer"


def _tried(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, look())
    except HeldoutError as problem:
        return Finding(check, False, problem.message)
