"""`heldout job check`."""

import argparse

from heldout.market.console import amount, emit, say
from heldout.requester_cli.session import folder_argument, signing


def check_arguments(parser: argparse.ArgumentParser) -> None:
    folder_argument(parser)
    parser.add_argument(
        "--runner",
        choices=("docker", "process"),
        default="docker",
        help="docker, or on a devnet process, which isolates nothing (default: %(default)s)",
    )


def check(args: argparse.Namespace) -> int:
    """Try the job before money moves: runs baseline.py and the scorer twice in the sandbox that providers use, and the
    command until its first line of metrics. Refuses rows that occur in two shards, operators the scorer does not have,
    scores that differ between two runs, a floor that the baseline already passes, and a command that fails. Names
    every file that anybody will be able to read."""
    from heldout.market.messages import describe_score
    from heldout.market.posting.publishing import public_lines

    if args.runner == "process":
        say("the process runner isolates nothing: for a devnet and your own code only", style="yellow")
    with signing(args) as client:
        say("running baseline and scorer twice, and the command for a moment")
        report = client.check(args.folder, runner=args.runner)
        posting = client.draft(args.folder)
    terms, training, score = posting.terms, report.training, report.baseline.score or 0
    if training.large:
        say("rounding moves this score by more than 0.1 points: see docs/score-v1.md for more bits", style="yellow")
    sandbox = "ok: no network, limits held" if report.isolated else "none: a bare process"
    shown = {
        "rows": report.rows,
        "held_out_rows": report.held_out_rows,
        "baseline_ppm": score,
        "floor_ppm": terms.floor,
        "operations": report.baseline.operations,
        "evidence": report.baseline.evidence.hex(),
        "training_rows": training.rows,
        "exact_ppm": training.exact,
        "float32_ppm": training.float32,
        "command": report.trial.told,
        "seconds": round(report.seconds, 3),
        "isolated": report.isolated,
        "fee": amount(terms.fee),
    }
    emit(
        args,
        shown,
        f"sandbox   {sandbox}, {report.seconds:.1f} s",
        f"leaks     0 of {report.rows} rows occur in two shards",
        f"scorer    same bits in two runs, {report.baseline.operations:,} operations",
        f"baseline  {terms.metric_name} {describe_score(score)} on {report.held_out_rows} held-out rows;"
        f" the floor {describe_score(terms.floor)} is beyond it",
        f"exactness {describe_score(training.exact)} exactly, {describe_score(training.float32)} in float32, difference"
        f" {training.difference / 10_000:+.4f} points on {training.rows} training rows",
        f"command   {report.trial.told}",
        *public_lines(posting.manifest),
        "next: heldout job post --dry-run",
    )
    return 0
