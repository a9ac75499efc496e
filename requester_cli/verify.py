"""`heldout verify`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heldout.market.console import emit, home_path, say, table
from heldout.market.errors import BadInput, KeyProblem, OutcomeNegative
from heldout.requester_cli.session import chosen_job, job_argument, reading, signing

if TYPE_CHECKING:
    from heldout.market.lifecycle import JobState
    from heldout.requester_cli.verifying import Check

_OUT_OF_REACH: Final = ("keys_elsewhere", "keys_not_sent", "nothing_to_verify")
"""Why scores cannot be measured here, though everything else can be checked."""


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights from here, not fetched: of lane 0, or of your own lane"
    )


def verify(args: argparse.Namespace) -> int:
    """Check a job on this machine. Anybody, without keys: terms, task, split, draws, votes, payouts and money are
    recomputed from the chain. The requester, and a provider that was sent the held-out keys, also measure: the weights
    are scored on the held-out shards by the same exact arithmetic. Exit code 5 if one thing differs."""
    from heldout.requester_cli.witnessing import drawn_split

    with reading(args) as client:
        job = chosen_job(args, client)
        if job.standing is None and not job.final:
            hint = "a job has scores from its first majority on"
            raise BadInput("there is no score to compare with yet", hint=hint, code="nothing_to_verify")
        checks, split = client.witness(job), drawn_split(client.chain, job)
    found, lacking = _measured(args, job)
    checks = list(dict.fromkeys([*checks, *found]))
    _show(args, job, checks, split, lacking)
    if not all(check.ok for check in checks):
        hint = "while the challenge runs, `heldout job appeal` calls a bigger committee"
        if args.weights:
            hint = "is this the file that was submitted? `heldout job fetch` downloads that one"
        raise OutcomeNegative("something differs from the chain", hint=hint, code="not_verified")
    return 0


def _measured(args: argparse.Namespace, job: "JobState") -> "tuple[list[Check], BadInput | None]":
    """What measuring again found; or nothing, and why it cannot be done with the keys of this home."""
    from heldout.market.keys import KeyRing

    try:
        me = KeyRing.address_of(home_path(args))
    except KeyProblem as problem:
        if problem.code != "no_keys":
            raise
        me = None
    lane = job.lane_of(me) if me else None
    if me is None or (lane is None and me.lower() != job.terms.requester.lower()):
        hint = "requester, provider and drawn seats hold them (a seat: `heldout validator replay`)"
        return [], BadInput("the keys of weights and held-out rows are not here", hint=hint, code="keys_elsewhere")
    with signing(args) as client:
        try:
            weights = {lane or 0: args.weights.read_bytes()} if args.weights else None
            return client.verify(job, weights), None
        except BadInput as problem:
            if problem.code not in _OUT_OF_REACH:
                raise
            return [], problem


def _show(
    args: argparse.Namespace, job: "JobState", checks: "list[Check]", split: str, lacking: BadInput | None
) -> None:
    rows = [("ok" if check.ok else "DIFFERS", check.what, check.here, check.chain) for check in checks]
    told = [{"what": c.what, "here": c.here, "chain": c.chain, "ok": c.ok} for c in checks]
    good = all(check.ok for check in checks)
    record = {"job": job.id, "ok": good, "measured": lacking is None, "checks": told}
    notes = [f"{check.what}: {check.reason}" for check in checks if check.reason]
    if lacking is not None:
        notes.append(f"the scores were not measured again: {lacking.message}; {lacking.hint}")
    emit(args, record, *table(("", "what", "here", "on chain"), rows))
    say(*([split] if split else []), *notes)
