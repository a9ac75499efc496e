"""`heldout job agree`: propose how a job ends, gather the providers' signatures, and post it (P6.1)."""

import argparse
import time
from typing import TYPE_CHECKING

from heldout.market.console import amount, confirm, emit, table
from heldout.market.errors import BadInput, KeyProblem, TimedOut
from heldout.requester_cli.session import chosen_job, job_argument, signing

if TYPE_CHECKING:
    from heldout.market.lifecycle import JobState
    from heldout.market.messages import AgreedOutcome
    from heldout.requester_cli.client import Client

POLL_S = 1.0
SPARE_S = 600
"""Of a signature's validity, after the wait: for the transaction."""


def agree_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    parser.add_argument(
        "--score",
        metavar="SCORE",
        action="append",
        default=[],
        help="what a lane is worth, such as 0.95; once for each lane, in their order (default: the result that stands)",
    )
    parser.add_argument("--wait", metavar="SPAN", default="60 s", help="for the providers' signatures (default: 60 s)")
    parser.add_argument("--unseen", action="store_true", help="pay for lanes whose weights cannot be opened yet")
    parser.add_argument("--dry-run", action="store_true", help="show who gets what, send nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def agree(args: argparse.Namespace) -> int:
    """End a job by consent: you and every provider sign what each lane is paid, by the job's own terms, and one
    transaction settles it. No committee measures; seats that have committed get their fee. Providers sign only if their
    operators let them (`agree_at` in provider.toml). A provider that is paid still owes its half key: so lanes that
    cannot be opened yet are refused, unless you say --unseen. Exit code 6 if a signature does not come in time: yours
    is good for ten minutes more, and whoever has all of them may post the outcome until then."""
    from heldout.market.agreeing import propose, shares
    from heldout.market.money import format_tokens
    from heldout.market.narration import clock

    wait_s = _wait(args.wait)
    with signing(args) as client:
        job = chosen_job(args, client)
        _refuse(job, client)
        outcome = propose(job, _scores(args, job), client.chain.head().timestamp + wait_s + SPARE_S)
        rows = shares(job, outcome)
        told = [{"account": r.account, "purpose": r.purpose, "amount": amount(r.amount)} for r in rows]
        shown = table(("who", "for", "HELD"), [(r.account, r.purpose, format_tokens(r.amount)) for r in rows])
        good = f"once signed it can be posted until {clock(outcome.validUntil)}, by whoever has all signatures"
        emit(args, {"job": job.id, "valid_until": outcome.validUntil, "shares": told}, *shown, good)
        if rows[-1].amount < 0:
            raise BadInput("the job does not hold as much as that pays", hint="a lower --score", code="too_much")
        if not args.unseen:
            _refuse_unopened(client, job, outcome)
        if args.dry_run:
            return 0
        confirm("Sign this, and post it when every provider has signed?", yes=args.yes)
        signatures = _gather(client, job, outcome, wait_s)
        receipt = client.agree(job, outcome, signatures)
    emit(args, {"tx": receipt.hash}, "agreed; the job is settled")
    return 0


def _wait(text: str) -> int:
    """In seconds. Providers sign nothing that binds for longer."""
    from heldout.market.agreeing import LONGEST_VALIDITY_S
    from heldout.market.spans import format_span, parse_span

    wait_s, longest = parse_span(text), LONGEST_VALIDITY_S - 2 * SPARE_S
    if wait_s > longest:
        hint = f"at most {format_span(longest)}: providers sign nothing that binds for much longer"
        raise BadInput(f"--wait {text} is too long", hint=hint, code="usage")
    return wait_s


def _refuse(job: "JobState", client: "Client") -> None:
    if job.terms.requester.lower() != client.address.lower():
        raise KeyProblem(f"this job is {job.terms.requester}'s", hint="use that key ring with --home", code="not_yours")
    if job.final or not job.lanes:
        raise BadInput(
            "only a job with providers that is not over can be agreed on", hint="see `job show`", code="not_agreeable"
        )


def _scores(args: argparse.Namespace, job: "JobState") -> list[int]:
    from heldout.market.agreeing import read_score

    if not args.score and job.standing is not None:
        return list(job.standing)
    if len(args.score) != len(job.lanes):
        raise BadInput(f"one --score for each of {len(job.lanes)} lane(s)", hint="in their order", code="usage")
    try:
        return [read_score(text) for text in args.score]
    except ValueError as problem:
        raise BadInput(str(problem), hint="the number that the metric would show", code="usage") from None


def _refuse_unopened(client: "Client", job: "JobState", outcome: "AgreedOutcome") -> None:
    """Once agreed, nothing can be demanded any more: the weights must be here and open first (P4.4)."""
    closed = [i for i, lane in enumerate(outcome.lanes) if lane.payout and not client.opens(job, i)]
    if closed:
        hint = "wait until a result pays it, or trust its provider with --unseen"
        raise BadInput(f"the weights of lane {closed[0]} cannot be opened yet", hint=hint, code="not_delivered")


def _gather(client: "Client", job: "JobState", outcome: "AgreedOutcome", wait_s: int) -> list[bytes]:
    from heldout.market.narration import clock

    give_up = time.monotonic() + wait_s
    client.propose(job, outcome)
    while (signatures := client.consents(job, outcome)) is None:
        if time.monotonic() > give_up:
            hint = f"does its operator set agree_at? who signs late may still post it until {clock(outcome.validUntil)}"
            raise TimedOut("not every provider has signed", hint=hint, code="not_agreed")
        time.sleep(POLL_S)
    return signatures
