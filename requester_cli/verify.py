"""`heldout verify`."""

import argparse
from pathlib import Path

from heldout.market.console import emit, say, table
from heldout.market.errors import OutcomeNegative
from heldout.requester_cli.session import chosen_job, job_argument, signing


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights of lane 0 from here, instead of fetching")


def verify(args: argparse.Namespace) -> int:
    """Measure a job again on this machine: terms, task, split and held-out shards are recomputed from the chain, the
    weights are scored by the same exact arithmetic, and every number is compared. Exit code 5 if one differs."""
    with signing(args) as client:
        job = chosen_job(args, client)
        weights = {0: args.weights.read_bytes()} if args.weights else None
        checks = client.verify(job, weights)
    rows = [("ok" if check.ok else "DIFFERS", check.what, check.here, check.chain) for check in checks]
    told = [{"what": c.what, "here": c.here, "chain": c.chain, "ok": c.ok} for c in checks]
    good = all(check.ok for check in checks)
    emit(args, {"job": job.id, "ok": good, "checks": told}, *table(("", "what", "here", "on chain"), rows))
    say(*(f"{check.what}: {check.reason}" for check in checks if check.reason))
    if not good:
        hint = "while the challenge runs, `heldout job appeal` calls a bigger committee"
        if args.weights:
            hint = "is this the file that was submitted? `heldout job fetch` downloads that one"
        raise OutcomeNegative("something differs from the chain", hint=hint, code="not_verified")
    return 0
