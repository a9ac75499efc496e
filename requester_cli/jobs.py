"""`heldout job list`, `show`, `accept`, `cancel`, `appeal`."""

import argparse
from dataclasses import asdict

from heldout.market.console import confirm, emit, home_path, say, table
from heldout.market.errors import BadInput, KeyProblem
from heldout.market.money import format_tokens
from heldout.requester_cli.session import chosen_job, job_argument, reading, signing


def list_jobs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mine", action="store_true", help="only jobs you posted")
    parser.add_argument("--state", metavar="STATE", help="open, running, committing, revealing, scored or settled")


def list_jobs(args: argparse.Namespace) -> int:
    """All jobs of this market, read from the chain. With --json one object a line."""
    from heldout.market.keys import KeyRing
    from heldout.market.narration import clock
    from heldout.requester_cli.report import summary_json

    with reading(args) as client:
        found = client.jobs()
    if args.mine:
        me = KeyRing.address_of(home_path(args)).lower()
        found = [job for job in found if job.terms.requester.lower() == me]
    if args.state:
        found = [job for job in found if job.state.name == args.state.upper()]
    if args.json:
        for job in found:
            emit(args, summary_json(job))
        return 0
    rows = [
        (
            job.id,
            job.state.name.lower(),
            job.terms.metric_name,
            format_tokens(job.terms.priceCap),
            job.outcome.name.lower() if job.final else clock(job.deadline),
        )
        for job in found
    ]
    emit(args, None, *table(("job", "state", "metric", "price", "until"), rows))
    return 0


def show_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)


def show(args: argparse.Namespace) -> int:
    """One job: where it stands, until when, what happens if nobody acts, bids, scores, and every token's way."""
    from heldout.market.lifecycle import State
    from heldout.requester_cli.report import as_json, lines, offer_json, offer_lines, run_lines

    with reading(args) as client:
        job = chosen_job(args, client)
        offers = client.offers(job) if job.state is State.OPEN else ()
        runs = client.runs(job)
        now = client.chain.head().timestamp
    shown = as_json(job) | {"bids": [offer_json(offer) for offer in offers], "runs": [asdict(run) for run in runs]}
    emit(args, shown, *lines(job, now), *run_lines(runs), *offer_lines(offers))
    return 0


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
    """Take an open job back before anybody is accepted: the whole escrow becomes free balance again."""
    with signing(args) as client:
        job = chosen_job(args, client)
        _refuse_foreign(job.terms.requester, client.address)
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
