"""`heldout job fetch`."""

import argparse
from pathlib import Path

from heldout.market.console import emit
from heldout.requester_cli.session import chosen_job, job_argument, signing


def fetch_arguments(parser: argparse.ArgumentParser) -> None:
    job_argument(parser)
    parser.add_argument("--lane", type=int, metavar="N", help="one lane only (default: every lane that pays)")
    parser.add_argument("--to", type=Path, metavar="DIR", default=Path(), help="folder to write to (default: .)")


def fetch(args: argparse.Namespace) -> int:
    """Download the sealed weights of the lanes you pay for, open them with the two halves of their key, check them
    against the word on chain, and write weights.safetensors (weights-N.safetensors if there are several)."""
    from hashlib import sha256

    from heldout.market.errors import OutcomeNegative
    from heldout.requester_cli.duties import pays

    with signing(args) as client:
        job = chosen_job(args, client)
        paid = [lane for lane in range(len(job.lanes)) if pays(job, lane)]
        lanes = paid if args.lane is None else [args.lane]
        if not lanes:
            hint = "`heldout job show` says where it stands"
            raise OutcomeNegative("no lane of this job pays, so there are no weights", hint=hint, code="nothing_bought")
        saved = {}
        for lane in lanes:
            path = args.to / ("weights.safetensors" if len(lanes) == 1 else f"weights-{lane}.safetensors")
            saved[lane] = (path, sha256(client.save(job, lane, path)).hexdigest())
    emit(
        args,
        {"job": job.id, "weights": [{"lane": i, "path": str(p), "sha256": digest} for i, (p, digest) in saved.items()]},
        *(f"{path}  lane {lane}, matches the word on chain, sha256 {digest}" for lane, (path, digest) in saved.items()),
        f"next: heldout verify {job.id[:10]}",
    )
    return 0
