"""`heldout network deploy`, `verify`: a market of your own, and a look at one before it is trusted."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heldout.market.console import Command, amount, ask_password, confirm, emit, home_path, load_network, run_table, say
from heldout.market.errors import BadInput, WrongNetwork

if TYPE_CHECKING:
    from heldout.market.chain.rpc import Rpc
    from heldout.market.deployment.creation import Plan
    from heldout.market.deployment.findings import Finding

_HERE = "heldout.market.deployment.cli"

COMMANDS: Final = {
    "deploy": Command("put a market and its value chain on a chain; --dry-run prints the plan", f"{_HERE}:deploy"),
    "verify": Command("check a market's code, creation and parameters against this package", f"{_HERE}:verify"),
}
_MARKS = {True: "ok", False: "WRONG", None: "judge"}


def main(argv: Sequence[str]) -> int:
    """Markets on chains."""
    about = "Deploy a market to any EVM chain, or check one that somebody deployed. See docs/deploying.md."
    return run_table("heldout network", about, COMMANDS, argv)


def deploy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specification", metavar="FILE", type=Path, help="TOML; docs/deploying.md has one")
    parser.add_argument("--rpc", metavar="URL", action="append", required=True, help="of the chain; may be repeated")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="network file to write")
    parser.add_argument(
        "--keystore", metavar="FILE", type=Path, help="V3 keystore of the deployer (default: in --home)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and send nothing; no password is asked")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def deploy(args: argparse.Namespace) -> int:
    """Create Market and ValueChain with the parameters of FILE, which nobody can change afterwards, write the network
    file, and check what is there. Run again after an interruption, it goes on with what it had signed."""
    from heldout.market.deployment.market import network_of, plan_market
    from heldout.market.deployment.sending import keep, kept, send, sign
    from heldout.market.deployment.specification import read_specification
    from heldout.market.keys import ACCOUNT, address_in, open_account

    specification = read_specification(_text_of(args.specification))
    if args.out.exists():
        raise BadInput(f"{args.out} exists", hint="name another file with --out", code="file_exists")
    pending = args.out.with_name(args.out.name + ".pending")
    keystore = args.keystore or home_path(args) / ACCOUNT
    rpc = _open_rpc(args.rpc)
    signed = kept(pending)
    if signed:
        say(f"going on with {len(signed)} transactions of {pending}")
    else:
        _refuse_token(rpc, specification.token)
        plan = plan_market(rpc, address_in(keystore), specification)
        say(*_plan_lines(plan))
        if args.dry_run:
            emit(args, _plan_json(plan), "nothing was sent")
            return 0
        plan.refuse_unaffordable()
        confirm(f"Send these {len(plan.creations)} transactions?", yes=args.yes)
        account = open_account(keystore, ask_password(args, f"Password of {keystore}: "))
        signed = sign(plan, account)
        keep(pending, signed)
    network = network_of(specification, rpc, signed, send(rpc, signed))
    args.out.write_text(network.to_json())
    pending.unlink(missing_ok=True)
    say(f"{args.out} is written", *(f"{each.contract:10} {each.address}  {each.hash}" for each in signed))
    return _tell(args, network, rpc)


def verify(args: argparse.Namespace) -> int:
    """Check every claim of the network file, and list what only you can judge. Needs no keys. `ok`: proved by the chain
    and this package; `judge`: a choice of who deployed it; `WRONG`: put no money there, and the exit code is 7."""
    network = load_network(args)
    return _tell(args, network, _open_rpc(network.rpc))


def _tell(args: argparse.Namespace, network: Any, rpc: "Rpc") -> int:
    from heldout.market.deployment.findings import examine

    found: list[Finding] = list(examine(network, rpc))
    width = max(len(finding.what) for finding in found)
    told = [{"what": finding.what, "ok": finding.ok, "says": finding.says} for finding in found]
    lines = [f"{_MARKS[finding.ok]:5}  {finding.what:{width}}  {finding.says}" for finding in found]
    emit(args, {"network": network.name, "market": network.market, "findings": told}, *lines)
    return WrongNetwork.exit_code if any(finding.ok is False for finding in found) else 0


def _refuse_token(rpc: "Rpc", token: str) -> None:
    """Before anything is fixed for ever. Raises BadInput for a token that these tools could not count."""
    from heldout.market.deployment.findings import examine_token

    for finding in examine_token(rpc, token):
        if finding.ok is False:
            raise BadInput(f"{finding.what} of {token}: {finding.says}", hint="name a plain ERC-20", code="bad_token")


def _open_rpc(urls: Sequence[str]) -> "Rpc":
    from heldout.market.chain.rpc import Rpc

    return Rpc(urls, timeout_s=30, check=lambda _: None)


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise BadInput(f"there is no {path}", hint="docs/deploying.md has one to start from") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text", hint="docs/deploying.md has one to start from") from None


def _plan_lines(plan: "Plan") -> list[str]:
    lines = [f"chain {plan.chain_id}, from {plan.deployer}, who has {plan.balance / 10**18:.6f} ETH for gas"]
    for creation in plan.creations:
        lines += [
            f"{creation.contract} at {creation.address}: gas at most {creation.gas:,}",
            f"  arguments  {', '.join(map(str, creation.args))}",
            f"  encoded    {creation.encoded_args.hex()}",
        ]
    price = f"{plan.fees.max_fee / 10**9:.3f} gwei"
    return [*lines, f"gas costs at most {plan.cost / 10**18:.6f} ETH, at {price}"]


def _plan_json(plan: "Plan") -> dict[str, Any]:
    creations = [
        {
            "contract": creation.contract,
            "address": creation.address,
            "nonce": creation.nonce,
            "gas": creation.gas,
            "arguments": creation.encoded_args.hex(),
        }
        for creation in plan.creations
    ]
    return {
        "chain_id": plan.chain_id,
        "deployer": plan.deployer,
        "creations": creations,
        "gas_price": str(plan.fees.max_fee),
        "gas_cost": amount(plan.cost),
    }
