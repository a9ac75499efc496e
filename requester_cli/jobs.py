"""`heldout job list`, `show`, `accept`, `cancel`, `appeal`."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from heldout.market.console import confirm, emit, home_path, say, table
from heldout.market.errors import BadInput, KeyProblem, OutcomeNegative
from heldout.market.money import format_tokens
from heldout.requester_cli.session import chosen_job, job_argument, reading, signing

if TYPE_CHECKING:
    from heldout.market.lifecycle import JobState
    from heldout.requester_cli.client import Client
    from heldout.requester_cli.comparing import Compared


def list_jobs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mine", action="store_true", help="only jobs you posted")
    parser.add_argument(
        "--state", metavar="STATE", help="called, open, running, committing, revealing, scored or settled"
    )
    _trustless_argument(parser)


def list_jobs(args: argparse.Namespace) -> int:
    """All jobs of this market, read from the chain, and those you call for. With --json one object a line."""
    from heldout.market.keys import KeyRing
    from heldout.market.narration import clock
    from heldout.requester_cli.report import state_of, summary_json

    with reading(args) as client:
        found = [*client.jobs(), *client.called()]
        compared = _compared(args, client) if args.trustless else None
    if args.mine:
        me = KeyRing.address_of(home_path(args)).lower()
        found = [job for job in found if job.terms.requester.lower() == me]
    if args.state:
        found = [job for job in found if state_of(job) == args.state.lower()]
    if args.json:
        for job in found:
            emit(args, summary_json(job))
        return _tell(args, compared)
    rows = [
        (
            job.id,
            state_of(job),
            job.terms.metric_name,
            format_tokens(job.terms.priceCap),
            job.outcome.name.lower() if job.final else clock(job.deadline),
        )
        for job in found
    ]
    emit(args, None, *table(("job", "state", "metric", "price", "until, or outcome"), rows))
    return _tell(args, compared)


def show_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    _trustless_argument(parser)


def show(args: argparse.Namespace) -> int:
    """One job: where it stands, until when, what happens if nobody acts, bids, scores, the road it took, and every
    token's way."""
    from heldout.market.calling import is_called
    from heldout.market.lifecycle import State
    from heldout.market.roads import roads_of
    from heldout.requester_cli.report import as_json, lines, offer_json, offer_lines, run_lines

    with reading(args) as client:
        job = chosen_job(args, client)
        offers = client.offers(job) if job.state is State.OPEN else ()
        runs = client.runs(job)
        roads = roads_of(client.events(job))
        now = client.chain.head().timestamp
        compared = _compared(args, client, job) if args.trustless and not is_called(job) else None
    shown = as_json(job) | {"bids": [offer_json(offer) for offer in offers], "runs": [asdict(run) for run in runs]}
    emit(args, shown | {"roads": asdict(roads)}, *lines(job, now, roads), *run_lines(runs), *offer_lines(offers))
    return _tell(args, compared)


def _trustless_argument(parser: argparse.ArgumentParser) -> None:
    says = "ask the market service too, and say where it differs from the chain (exit code 5)"
    parser.add_argument("--trustless", action="store_true", help=says)


def _compared(args: argparse.Namespace, client: "Client", job: "JobState | None" = None) -> "Compared | None":
    """What is shown comes from the chain alone; this is what the service makes of it. None if there is none to ask."""
    from heldout.market.carrier import ServiceProblem
    from heldout.market.index_client import IndexClient
    from heldout.requester_cli.comparing import compare_job, compare_jobs

    if client.network.service is None:
        say("the network file names no market service: nothing to compare")
        return None
    try:
        with IndexClient(client.network.service) as market:
            return compare_job(client.chain, market, job) if job else compare_jobs(client.chain, market)
    except ServiceProblem as problem:
        say(f"nothing to compare: {problem.message}")
        return None


def _tell(args: argparse.Namespace, compared: "Compared | None") -> int:
    """Raises OutcomeNegative if the service differs."""
    if compared is None:
        return 0
    behind = f", {compared.behind} block(s) behind the chain" if compared.behind else ""
    if not compared.differences:
        say(f"the service says the same in all of {compared.things} things, as of block {compared.block}{behind}")
        return 0
    rows = [(d.what, d.chain or "nothing", d.service or "nothing") for d in compared.differences]
    told = {"differences": [d._asdict() for d in compared.differences], "block": compared.block}
    emit(args, told, "", *table(("the service differs in", "chain", "service"), rows))
    hint = "believe the chain; tell whoever runs the service, who can rebuild it with --rebuild"
    raise OutcomeNegative(f"the service differs from the chain{behind}", hint=hint, code="service_differs")


def accept_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    parser.add_argument("--provider", metavar="ADDRESS", action="append", help="take this bid; may be repeated")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def accept(args: argparse.Namespace) -> int:
    """Accept the cheapest valid bids now, or those of the providers you name, and bind them to the job."""
    from heldout.requester_cli.report import offer_json, offer_lines

    with signing(args) as client:
        job = chosen_job(args, client)
        wanted = {address.lower() for address in args.provider or ()}
        offers = [o for o in client.offers(job) if not wanted or o.bid.provider.lower() in wanted][: job.terms.lanes]
        if not offers:
            hint = "bids come while the job is open; `heldout job show` lists them"
            raise BadInput("there is no valid bid to accept", hint=hint, code="no_bids")
        say(*offer_lines(offers))
        confirm(f"Accept {len(offers)} bid(s), {format_tokens(sum(o.bid.price for o in offers))} HELD?", yes=args.yes)
        receipt = client.accept(job, offers)
    emit(args, {"tx": receipt.hash, "accepted": [offer_json(o) for o in offers]}, f"accepted in {receipt.hash}")
    return 0


def cancel_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def cancel(args: argparse.Namespace) -> int:
    """Take an open job back before anybody is accepted: the whole escrow becomes free balance again. A call for bids is
    forgotten: nothing is locked, unless a transaction that takes bids is under way; bids for it are good for nobody
    else."""
    from heldout.market.calling import is_called

    with signing(args) as client:
        job = chosen_job(args, client)
        _refuse_foreign(job.terms.requester, client.address)
        if is_called(job):
            confirm(f"Forget the call for bids on {job.id}?", yes=args.yes)
            client.forget(job)
            said = "forgotten; unless bids are being taken at this moment, nothing is locked"
            emit(args, {"forgotten": job.id}, said)
            return 0
        confirm(f"Cancel {job.id} and take {format_tokens(job.terms.escrow)} HELD back?", yes=args.yes)
        receipt = client.cancel(job)
    emit(args, {"tx": receipt.hash}, f"cancelled; {format_tokens(job.terms.escrow)} HELD are free again")
    return 0


def appeal_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def appeal(args: argparse.Namespace) -> int:
    """Call a bigger committee on a scored job. The bond comes out of your free balance: back, and once over, if the
    result changes; else it pays that round. Measure first: `heldout verify`."""
    from heldout.market.money import Wei, appeal_bond

    with signing(args) as client:
        job = chosen_job(args, client)
        accepted = Wei(sum(lane.price for lane in job.lanes))
        if not 1 <= job.round < 3:
            raise BadInput("there is no round after this one", hint="the last round decides", code="last_round")
        bond = appeal_bond(job.round + 1, job.terms.committee, job.terms.fee, accepted)
        confirm(f"Appeal with a bond of {format_tokens(bond)} HELD ({bond} wei)?", yes=args.yes)
        receipt = client.appeal(job)
    emit(args, {"tx": receipt.hash}, f"round {job.round + 1} is called")
    return 0


def _refuse_foreign(requester: str, me: str) -> None:
    if requester.lower() != me.lower():
        raise KeyProblem(
            f"this job is {requester}'s, you are {me}", hint="use that key ring with --home", code="not_yours"
        )
