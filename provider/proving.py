"""`doctor` times this machine, `doctor --prove` signs that, `check-capability` checks it (docs/capability.md)."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heldout.kernels import child
from heldout.kernels.devices import NAMES
from heldout.kernels.errors import KernelError
from heldout.market.artifacts import Stores, parse_id
from heldout.market.capability import MAX_BYTES, Capability, Device, capability_seed, devices_of
from heldout.market.chain import Chain, connect
from heldout.market.console import emit, load_network, table
from heldout.market.errors import HeldoutError
from heldout.market.keys import KeyRing

TIMEOUT_S = 300.0


def time_devices(seed: bytes, products: Path | None = None) -> tuple[Device, ...]:
    """Every device of this machine, at work for some seconds each. Raises HeldoutError."""
    if products:
        products.mkdir(parents=True, exist_ok=True)
    request = {"seed": seed.hex(), "devices": NAMES, "products": _folder(products)}
    return devices_of(_ask("--capability", request))


def describe(device: Device) -> str:
    """`41.2 GFLOP/s exact · 8.1 GB/s added · 9.0 GB/s copied · 8,240 credits a day`"""
    moved = f"{device.best('add'):.1f} GB/s added · {device.best('copy'):.1f} GB/s copied"
    return f"{device.best('multiply'):.1f} GFLOP/s exact · {moved} · {device.credits_per_day:,.0f} credits a day"


def prove(chain: Chain, keys: KeyRing, platform: str, products: Path | None) -> tuple[Capability, bytes]:
    """Work drawn from the newest block, and the signed file. Raises HeldoutError."""
    head, network = chain.head(), chain.network.chain_id
    block = head.hash.removeprefix("0x")
    devices = time_devices(capability_seed(keys.address, network, block), products)
    proof = Capability(keys.address, network, head.number, block, int(time.time()), platform, devices)
    return proof, proof.sign(keys.account)


def check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a capability file, or its 64-digit id in the network's stores")
    parser.add_argument("--products", type=Path, metavar="DIR", help="products to check instead of repeating the work")


def check(args: argparse.Namespace) -> int:
    """Check a capability file: its signature, its block, and each result on this CPU. Exit code 1 if one is wrong."""
    proof = Capability.read(_bytes_of(args))
    work = [asdict(work) for device in proof.devices for work in device.work]
    request = {"seed": proof.seed.hex(), "work": work, "products": _folder(args.products)}
    verdicts = _ask("--check-capability", request)
    block_ok, told = _block(args, proof)
    value = {"ok": all(verdicts) and block_ok, "block": told, "results": verdicts, "proof": asdict(proof)}
    emit(args, value, *_lines(proof, verdicts, told))
    return 0 if value["ok"] else 1


def _lines(proof: Capability, verdicts: Sequence[bool], told: str) -> list[str]:
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(proof.date))
    all_work = [(device.name, work) for device in proof.devices for work in device.work]
    rows = [
        ("ok" if right else "WRONG", name, work.kind, f"{work.size:,}", f"{work.rate:.1f} {_unit(work.kind)}")
        for (name, work), right in zip(all_work, verdicts, strict=True)
    ]
    total = sum(device.credits_per_day for device in proof.devices)
    return [
        f"{proof.provider}, {proof.platform}, {day}; {told}",
        *table(("", "device", "work", "size", "as signed"), rows),
        f"{total:,.0f} credits a day by its own clock; results are checked, times are the signer's word",
    ]


def _unit(kind: str) -> str:
    return "GFLOP/s" if kind == "multiply" else "GB/s"


def _block(args: argparse.Namespace, proof: Capability) -> tuple[bool, str]:
    """Whether the block is of the network's chain, as far as can be known here, and what to tell."""
    try:
        chain = connect(load_network(args))
        if chain.network.chain_id != proof.chain_id:
            return True, f"block {proof.block} of chain {proof.chain_id}, not compared with that chain"
        found = chain.block(proof.block).hash.removeprefix("0x")
    except HeldoutError as problem:
        return True, f"block {proof.block} not compared: {problem.message}"
    same = found == proof.block_hash
    return same, f"block {proof.block} {'is of the chain' if same else 'is ANOTHER on the chain'}"


def _bytes_of(args: argparse.Namespace) -> bytes:
    path = Path(args.file)
    if path.exists():
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    return Stores.of(load_network(args).stores).get(parse_id(args.file), MAX_BYTES)


def _folder(products: Path | None) -> str:
    return str(products.absolute()) if products else ""


def _ask(option: str, request: dict[str, Any]) -> Any:
    """The answer of the process that computes. Raises HeldoutError."""
    try:
        return child.ask(option, request, timeout_s=TIMEOUT_S)
    except KernelError as problem:
        raise HeldoutError(problem.message, code=problem.code) from None
