"""`heldout provider doctor`: is this machine fit to be bound by a contract?"""

import argparse
import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from heldout.market.chain import Chain, connect
from heldout.market.console import emit, home_path, load_network, open_keys, table
from heldout.market.errors import HeldoutError
from heldout.market.keys import KeyRing
from heldout.market.money import format_gas, format_tokens
from heldout.market.sandbox import TIERS
from heldout.market.sandbox.hostile import load_manifest
from heldout.market.settings import Network
from heldout.provider.assembly import read_config
from heldout.provider.config import Config
from heldout.provider.hardware import probe
from heldout.provider.owner import Wish, objection, unmeasured
from heldout.provider.proving import describe, prove, time_devices
from heldout.provider.sandboxing import CANNOT_HIDE, attack, record
from heldout.provider.senses import feel
from heldout.provider.shown import FILE_NAME, Shown, keep

NOTE, ABSENT = "note", "-"
CLOCK_SKEW_S = 120
"""Deadlines are block time, so a wrong clock costs nothing but sign-in; a worse one than this deserves a look."""


@dataclass(frozen=True)
class Finding:
    check: str
    ok: bool
    detail: str
    mark: str = "ok"
    """How it is told if nothing is wrong: `note` for what was not checked, `-` for what is not there."""


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-sandbox", action="store_true", help="leave out the attack on the own sandbox")
    parser.add_argument("--tier", choices=TIERS, help="attack this tier only, and offer no other")
    parser.add_argument("--publish", action="store_true", help="sign what the sandbox held, and put it in the stores")
    parser.add_argument("--no-timing", action="store_true", help="leave out what the machine's devices are timed at")
    parser.add_argument("--prove", type=Path, metavar="FILE", help="sign the timing into FILE and put it into a store")
    parser.add_argument(
        "--products", type=Path, metavar="DIR", help="with --prove: keep the products, to be checked fast"
    )


def doctor(args: argparse.Namespace) -> int:
    """Check everything a node needs and print what was found. Exit code 1 if something is wrong."""
    findings = list(_examine(args))
    rows = [(finding.mark if finding.ok else "WRONG", finding.check, finding.detail) for finding in findings]
    healthy = all(finding.ok for finding in findings)
    emit(args, {"ok": healthy, "findings": [asdict(finding) for finding in findings]}, *table(("", "check", ""), rows))
    return 0 if healthy else 1


def _examine(args: argparse.Namespace) -> Iterator[Finding]:
    home = home_path(args)
    network, settings = load_network(args), read_config(home)
    yield Finding("config", True, f"{format_tokens(settings.offer.price)} tokens per job-hour")
    yield from _examine_chain(network, home, settings)
    yield _tried("disk", lambda: _disk(home, settings))
    yield _tried("stores", lambda: _stores(network))
    yield Finding("hardware", True, probe(home).describe(), NOTE)
    yield Finding("when", True, _when(settings), NOTE)
    if args.prove:
        yield _tried("proof", lambda: _prove(args, network, home))
    elif not args.no_timing:
        yield from _examine_speed()
    for condition in unmeasured(settings.when, feel()):
        yield Finding("when", False, f"[when] {condition} on this machine")
    if not args.no_sandbox:
        yield from _examine_sandbox(args, network, home, settings)


def _examine_speed() -> Iterator[Finding]:
    """Not signed, and drawn from no block: for the owner's eyes."""
    try:
        for device in time_devices(bytes(32)):
            yield Finding(f"speed: {device.device}", True, f"{device.name}: {describe(device)}", NOTE)
    except HeldoutError as problem:
        yield Finding("speed", False, problem.message)


def _prove(args: argparse.Namespace, network: Network, home: Path) -> tuple[bool, str]:
    from heldout.market.artifacts import Stores

    keys = open_keys(args)
    proof, data = prove(connect(network), keys, probe(home).platform, args.products)
    args.prove.write_bytes(data)
    credits = sum(device.credits_per_day for device in proof.devices)
    stored = Stores.of(network.stores, keys.account).put(data)
    return True, f"{credits:,.0f} credits a day, signed in {args.prove}; artifact {stored}"


def _examine_chain(network: Network, home: Path, settings: Config) -> Iterator[Finding]:
    try:
        chain = connect(network)
        head = chain.head()
    except HeldoutError as problem:
        yield Finding("rpc", False, f"{problem.message}: {problem.hint}")
        return
    yield Finding("rpc", True, f"chain {network.chain_id}, block {head.number}")
    skew = time.time() - head.timestamp
    yield Finding("clock", abs(skew) < CLOCK_SKEW_S or network.is_devnet, f"{skew:+.0f} s from the newest block's")
    yield _tried("money", lambda: _money(chain, KeyRing.address_of(home), settings))


def _money(chain: Chain, address: str, settings: Config) -> tuple[bool, str]:
    gas, free = chain.eth(address), chain.free(address)
    text = f"{address}: {format_gas(gas)} ETH for gas, {format_tokens(free)} free as collateral"
    return gas >= settings.gas_reserve and free > 0, text + ("" if free else ": heldout provider deposit")


def _disk(home: Path, settings: Config) -> tuple[bool, str]:
    free = shutil.disk_usage(home).free
    wanted = settings.offer.disk_bytes * settings.offer.jobs
    return free >= wanted, f"{free >> 30} GiB free, {wanted >> 30} GiB offered"


def _when(settings: Config) -> str:
    return objection(settings.when, Wish.WORK, feel()) or "new work may be taken now"


def _stores(network: Network) -> tuple[bool, str]:
    from heldout.market.artifacts import Stores, artifact_id

    Stores.of(network.stores).has(artifact_id(bytes(32)))
    return True, ", ".join(network.stores)


def _examine_sandbox(args: argparse.Namespace, network: Network, home: Path, settings: Config) -> Iterator[Finding]:
    """The hostile suite in every tier; what was seen to hold is written down, and the node offers no more."""
    from heldout.market.sandbox import open_runner
    from heldout.market.sandbox.escapes import AS_OF, State, notices

    machine = probe(home).platform
    image = network.images.get(machine, "")
    try:
        runner = open_runner(
            settings.runner, home / "doctor", chain_id=network.chain_id, accelerator=settings.accelerator
        )
        facts = asyncio.run(runner.facts())
        if facts is None:
            yield Finding("sandbox", True, "process runner: isolates nothing, for a devnet only", NOTE)
            return
        yield Finding("engine", True, facts.describe())
        yield from (Finding(f"{tier} tier", True, f"not offered: {why}", ABSENT) for tier, why in facts.missing.items())
        if settings.when.freeze and not facts.freezes:
            yield Finding("when", False, "[when] freeze: this engine has no freezer; running jobs would go on")
        known = [notice.describe() for notice in notices(facts.versions) if notice.state is not State.MENDED]
        yield from (Finding(f"known escapes, {AS_OF}", True, words, NOTE) for words in known)
        if not facts.runtimes:
            keep(home, record([], facts))
            yield Finding("sandbox", False, "not attacked, and nothing is offered: this engine gives no tier")
            return
        if not image:
            yield Finding("sandbox", True, f"not attacked: the network file names no image for {machine}", NOTE)
            return
        verdicts = []
        tiers = [tier for tier in facts.runtimes if args.tier in (None, tier)]
        for verdict in attack(runner, image, home / "doctor", tiers):
            verdicts.append(verdict)
            yield from (Finding(f"{verdict.tier}: {layer}", ok, text) for layer, ok, text in verdict.lines())
        yield Finding("cannot be hidden", True, CANNOT_HIDE, NOTE)
        yield _publish(args, network, home, record(verdicts, facts))
    except HeldoutError as problem:
        yield Finding("sandbox", False, f"{problem.message}: {problem.hint}")


def _publish(args: argparse.Namespace, network: Network, home: Path, shown: Shown) -> Finding:
    """Keep what was seen for the node; with --publish, signed and in the stores, for everybody."""
    where = home / FILE_NAME
    if args.publish:
        from heldout.market.artifacts import Stores

        keys = open_keys(args)
        shown = shown.signed_by(keys.account)
        artifact = Stores.of(network.stores, keys.account).put(shown.encode())
    keep(home, shown)
    tiers = ", ".join(sorted(shown.offered(load_manifest().tiers))) or "no tier"
    return Finding("offered", True, f"{tiers}: see {where}" + (f"; artifact {artifact}" if args.publish else ""))


def _tried(check: str, look: Callable[[], tuple[bool, str]]) -> Finding:
    try:
        return Finding(check, *look())
    except HeldoutError as problem:
        return Finding(check, False, f"{problem.message}: {problem.hint}")
