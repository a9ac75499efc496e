"""The commands' flags, and what each is for. What does the work is imported when it is called, so `--help` is cheap."""

import argparse
import os
from pathlib import Path

from heldout.kernels.devices import NAMES


def _live_at_home(parser: argparse.ArgumentParser) -> None:
    """Let --home default to $HELDOUT_HOME, else to this user's own place for a validator."""
    from platformdirs import user_state_path

    named = os.environ.get("HELDOUT_HOME")
    parser.set_defaults(home=Path(named) if named else user_state_path("heldout") / "validator")


init_arguments = doctor_arguments = duties_arguments = status_arguments = _live_at_home


def init(args: argparse.Namespace) -> int:
    """Make the hot key of a node: it commits and reveals, and can neither move nor withdraw any stake."""
    from heldout.validator import enrol

    return enrol.init(args)


def stake_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("count", type=int, metavar="N", help="seats to add")
    _cold_arguments(parser)


def stake(args: argparse.Namespace) -> int:
    """Turn tokens into seats of this node. A seat is one vote, drawn by chance; all of its stake can be slashed."""
    from heldout.validator import enrol

    return enrol.stake(args)


def unstake_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "seats", type=int, nargs="*", metavar="SEAT", help="seats to leave (default: all of the cold key)"
    )
    _cold_arguments(parser)


def unstake(args: argparse.Namespace) -> int:
    """Let seats leave: the first call begins the exit, a call after the delay credits the stake to the cold key."""
    from heldout.validator import enrol

    return enrol.unstake(args)


def _cold_arguments(parser: argparse.ArgumentParser) -> None:
    _live_at_home(parser)
    parser.add_argument("--cold", metavar="DIR", required=True, help="key ring that owns the stake; keep it elsewhere")
    parser.add_argument("--cold-password-file", metavar="FILE", help="file whose first line is that ring's password")
    parser.add_argument("--dry-run", action="store_true", help="show everything, send nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def doctor(args: argparse.Namespace) -> int:
    """Check keys, chain, scorer, stores, gas, seats and disk. Exit code 1 if anything keeps the node from voting."""
    from heldout.validator import doctor

    return doctor.doctor(args)


def run_arguments(parser: argparse.ArgumentParser) -> None:
    _live_at_home(parser)
    parser.add_argument(
        "--metrics", metavar="ADDRESS", default="127.0.0.1:0", help="where /metrics is served; port 0: any"
    )
    parser.add_argument(
        "--period", metavar="SECONDS", type=float, default=1.0, help="from one look at the chain to the next"
    )
    parser.add_argument(
        "--device", choices=NAMES, default=NAMES[0], help="what scores: the bits are the same; see `doctor`"
    )
    parser.add_argument(
        "--alarm-command", metavar="WORDS", default="", help="run when a duty is at risk; JSON on stdin"
    )
    parser.add_argument("--alarm-webhook", metavar="URL", default="", help="gets the same JSON by POST")
    parser.add_argument(
        "--relay-grace",
        metavar="SECONDS",
        type=_seconds,
        default=120,
        help="leave votes this long to one transaction for all seats, at most a quarter of a stage; 0: never",
    )
    parser.add_argument(
        "--relay-announce",
        action="store_true",
        help="send what is needed for that over the chain while no service answers; it costs more gas than it saves",
    )


def _seconds(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError("seconds are not negative")
    return value


def run(args: argparse.Namespace) -> int:
    """Commit, reveal and settle for all seats of this node's hot key, until stopped."""
    from heldout.validator import run

    return run.run(args)


def duties(args: argparse.Namespace) -> int:
    """The calendar of this node. Times are in block time; a vote is shown once its stage is open to everybody."""
    from heldout.validator import board

    return board.duties(args)


def status(args: argparse.Namespace) -> int:
    """Seats and gas from the chain, work from the running node."""
    from heldout.validator import board

    return board.status(args)


def replay_arguments(parser: argparse.ArgumentParser) -> None:
    _live_at_home(parser)
    parser.add_argument("job", metavar="JOB", help="id of a job whose votes are revealed, or how it begins")
    parser.add_argument(
        "--round", type=int, default=0, metavar="R", help="1 to 3 (default: the last one that was revealed)"
    )
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write what became of each row, node by node")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="show where another node's rows differ, and by which rule"
    )


def replay(args: argparse.Namespace) -> int:
    """Measure a job again and compare. Needs the letters that were sent to a seat of this node in the job.

    Exit code 5 if a vote differs.
    """
    from heldout.validator import replay

    return replay.replay(args)
