"""`heldout job post`."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from heldout.market.console import confirm, emit, say
from heldout.market.errors import BadInput, HeldoutError
from heldout.market.money import format_tokens
from heldout.requester_cli.session import folder_argument, signing

if TYPE_CHECKING:
    from heldout.market.posting.plan import Plan
    from heldout.requester_cli.posting import Posting
    from heldout.requester_cli.project import Project


def post_arguments(parser: argparse.ArgumentParser) -> None:
    folder_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the whole plan and send nothing")
    parser.add_argument(
        "--bids-first", action="store_true", help="lock nothing yet: call for bids, then post and accept in one"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--unchecked", action="store_true", help="post although `job check` has not passed on this")


def post(args: argparse.Namespace) -> int:
    """Escrow the price on chain and offer the job to everybody. Says first what it costs, who gets what and when, and
    the most you can ever pay. What the escrow lacks is deposited from your wallet. With --bids-first nothing is locked
    until bids are here: `job watch` or `requester run` then posts and accepts in one transaction, which costs less."""
    from heldout.market.lifecycle import State
    from heldout.market.narration import clock
    from heldout.requester_cli.project import Project

    with signing(args) as client:
        project, posting = Project(args.folder), client.draft(args.folder)
        plan = client.plan(posting, bids_first=args.bids_first)
        if client.chain.job(posting.job).state is not State.NONE:
            hint = "`heldout job watch` follows it; change job.toml or seal the data again to post another"
            raise BadInput(f"this very job was posted already: {posting.job}", hint=hint, code="job_exists")
        refusals = list(_refusals(project, posting, plan, unchecked=args.unchecked))
        if args.dry_run:
            return _show(args, plan, refusals)
        say(*plan.lines())
        for refusal in refusals:
            raise refusal
        escrow = f"{format_tokens(posting.terms.escrow)} HELD ({posting.terms.escrow} wei)"
        confirm(f"Call for bids that may lock {escrow}?" if args.bids_first else f"Escrow {escrow}?", yes=args.yes)
        project.save_job(posting.job, plan.as_json())
        if args.bids_first:
            until = client.call(posting).until
            said = f"called for bids on job {posting.job} until {clock(until)}; nothing is locked"
            emit(args, {"job": posting.job, "until": until}, said, "next: heldout job watch, which takes them")
            return 0
        client.post(posting)
    emit(args, {"job": posting.job}, f"posted job {posting.job}", "next: heldout job watch")
    return 0


def _refusals(project: "Project", posting: "Posting", plan: "Plan", *, unchecked: bool) -> Iterator[HeldoutError]:
    """What speaks against posting now."""
    if not unchecked and project.check_record(posting.subject) is None:
        hint = "run `heldout job check`, or add --unchecked"
        yield BadInput("this task and data have not passed `job check`", hint=hint, code="unchecked")
    yield from plan.refusals()


def _show(args: argparse.Namespace, plan: "Plan", refusals: Sequence[HeldoutError]) -> int:
    """The dry run: the plan, and what the post itself would say now."""
    flags = " --bids-first" * args.bids_first + " --unchecked" * args.unchecked
    told = [f"Would be refused now: {each.message}; {each.hint}" for each in refusals]
    refused = [{"code": each.code, "message": each.message, "hint": each.hint} for each in refusals]
    last = told or [f"Post it: heldout job post{flags}"]
    emit(args, plan.as_json() | {"refused": refused}, *plan.lines(), "Nothing was sent.", *last)
    return 0
