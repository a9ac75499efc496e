"""`heldout chain list`, `show`, `claim`, `offer`, `take`, `suggest`: the value chain (P7)."""

import argparse
from pathlib import Path

from heldout.market.console import confirm, emit, say, table
from heldout.market.errors import BadInput
from heldout.market.money import BasisPoints
from heldout.market.posting.jobfields import MOST_ROYALTIES
from heldout.requester_cli.session import chosen_job, job_argument, reading, signing


def list_artifacts(args: argparse.Namespace) -> int:
    """Every artifact of this market, read from the chain. With --json one object a line."""
    from heldout.market.valuechain.words import as_record, basis

    with reading(args) as client:
        chain = client.value_chain()
    if args.json:
        for made in chain.artifacts.values():
            emit(args, as_record(chain, made))
        return 0
    rows = [
        (made.id, made.metric, f"{made.score / 1_000_000:.6f}" if made.measured else "-", made.owner, basis(made))
        for made in chain.artifacts.values()
    ]
    emit(args, None, *table(("artifact", "metric", "score", "owner", "how it came about"), rows))
    return 0


def show_arguments(parser: argparse.ArgumentParser) -> None:
    _artifact_argument(parser)
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw it into this file, which needs nothing else")


def show(args: argparse.Namespace) -> int:
    """Who asked for an artifact, who trained it, who measured it, what it cost and what it was made of, back to the
    first. Told by events alone. Where terms pay a parent something else than its owner suggests, the difference is
    shown."""
    from heldout.market.durable import write_whole
    from heldout.market.valuechain.drawing import draw
    from heldout.market.valuechain.words import as_json, tree

    with reading(args) as client:
        chain = client.value_chain()
    artifact = chain.find(args.artifact).id
    if args.svg:
        write_whole(args.svg, draw(chain, artifact).encode())
        say(f"{args.svg} is written")
    emit(args, as_json(chain, artifact), *tree(chain, artifact))
    return 0


def claim_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    parser.add_argument("--lane", type=int, default=0, metavar="N", help="which of its lanes (default: 0)")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def claim(args: argparse.Namespace) -> int:
    """Enter what a paid lane of a settled job made in the registry, as yours. It publishes the hash of the weights."""
    from heldout.market.valuechain import artifact_id

    with signing(args) as client:
        job = chosen_job(args, client)
        confirm(f"Publish the hash of the weights of lane {args.lane} and own the artifact?", yes=args.yes)
        receipt = client.claim(job, args.lane)
    artifact, owner = artifact_id(job.id, args.lane), job.terms.requester
    emit(args, {"tx": receipt.hash, "artifact": artifact, "owner": owner}, f"{artifact} belongs to {owner}")
    return 0


def offer_arguments(parser: argparse.ArgumentParser) -> None:
    _artifact_argument(parser)
    parser.add_argument("to", metavar="ADDRESS", help="who may take it; the zero address withdraws the offer")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def offer(args: argparse.Namespace) -> int:
    """Offer an artifact of yours to an address, which owns it once it takes it. The weights are not offered with it."""
    from heldout.market.signatures import checksummed

    to = checksummed(args.to)
    with signing(args) as client:
        artifact = client.value_chain().find(args.artifact).id
        confirm(f"Offer {artifact} to {to}?", yes=args.yes)
        receipt = client.offer_artifact(artifact, to)
    emit(args, {"tx": receipt.hash, "artifact": artifact, "to": to}, f"offered to {to}")
    return 0


def take_arguments(parser: argparse.ArgumentParser) -> None:
    _artifact_argument(parser)


def take(args: argparse.Namespace) -> int:
    """Become the owner of an artifact that was offered to your address."""
    with signing(args) as client:
        artifact = client.value_chain().find(args.artifact).id
        receipt = client.take_artifact(artifact)
        owner = client.address
    emit(args, {"tx": receipt.hash, "artifact": artifact, "owner": owner}, f"{artifact} belongs to {owner}")
    return 0


def suggest_arguments(parser: argparse.ArgumentParser) -> None:
    _artifact_argument(parser)
    parser.add_argument("percent", metavar="PERCENT", help="of a payout, such as 2.5; at most 20")


def suggest(args: argparse.Namespace) -> int:
    """Suggest a royalty to those who build on an artifact of yours. No market reads it, and terms that pay less are
    valid: it is shown beside what they pay."""
    bps = parse_percent(args.percent)
    with signing(args) as client:
        artifact = client.value_chain().find(args.artifact).id
        receipt = client.suggest_royalty(artifact, bps)
    told = {"tx": receipt.hash, "artifact": artifact, "suggested_bps": bps}
    emit(args, told, f"{bps / 100:g} % is suggested to whoever builds on {artifact}")
    return 0


def parse_percent(text: str) -> BasisPoints:
    """`2.5` or `2.5 %` in basis points, exactly. Raises BadInput."""
    from decimal import Decimal, InvalidOperation

    try:
        bps = Decimal(text.strip().removesuffix("%").strip()) * 100
        in_range = 0 <= bps <= MOST_ROYALTIES and bps == int(bps)
    except InvalidOperation:  # no number, or one that compares with none
        in_range = False
    if not in_range:
        raise BadInput(f"{text!r} is not a share from 0 to 20 %", hint="write for example 2.5")
    return BasisPoints(int(bps))


def _artifact_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="its id, or the beginning of it")
