"""`heldout validator replay JOB`: measure a job again and hold every revealed vote against what this machine finds."""

import argparse
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from heldout.market.chain import Block, Chain, connect
from heldout.market.console import emit, load_network, open_keys, say, table
from heldout.market.errors import BadInput, Declined, HeldoutError, Refused
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import VACANT, JobState, State, fold
from heldout.market.mail import Mail
from heldout.market.messages import describe_score
from heldout.market.terms import Address, JobId, read_job_id
from heldout.validator.duties import Sight
from heldout.validator.letters import Letters
from heldout.validator.measuring import measure
from heldout.validator.rows import ROW_HEADINGS, ROW_KEYS, Recorder, compare_rows, read_accounts
from heldout.validator.run import tools
from heldout.validator.voting import Comparison, Undelivered, compare
from heldout.validator.watch import Watch

_DRAWN = "only the seats that were drawn, and the requester with `heldout verify`, can measure it again"


def replay(args: argparse.Namespace) -> int:
    """Measure again and compare. Needs the letters that were sent to a seat of this node in the job.

    Exit code 5 if a vote differs.
    """
    network, keys = load_network(args), open_keys(args)
    chain = connect(network)
    head = chain.head()
    job = _named(chain, args.job, head)
    state = _revealed(chain, job, head)
    round_ = args.round or max(i for i, each in enumerate(state.rounds, 1) if each.votes)
    if not 1 <= round_ <= len(state.rounds) or not state.rounds[round_ - 1].votes:
        raise HeldoutError(f"nobody revealed a vote in round {round_}", code="not_revealed")
    theirs = read_accounts(args.against) if args.against else None
    say(f"measuring {len(state.lanes)} lanes of {job} again")
    recorder = Recorder() if args.rows or theirs is not None else None
    mine = _measure(chain, keys, state, head, recorder)
    votes, seats = state.rounds[round_ - 1].votes, state.rounds[round_ - 1].seats
    compared = compare(votes, lambda place: seats[place], mine)
    rows = [(c.place, c.seat, c.lane, describe_score(c.theirs), describe_score(c.mine), c.meaning) for c in compared]
    record = _record(job, round_, compared)
    shown = table(("place", "seat", "lane", "voted", "here", "which means"), rows)
    if recorder is not None and args.rows:
        recorder.save(args.rows)
    if recorder is not None and theirs is not None:
        differing = compare_rows(recorder.accounts, theirs)
        record["rows"] = [dict(zip(ROW_KEYS, line, strict=True)) for line in differing]
        shown += table(ROW_HEADINGS, differing) if differing else ["no row differs"]
    emit(args, record, *shown)
    return 0 if all(c.same for c in compared) else 5


def _named(chain: Chain, text: str, head: Block) -> JobId:
    """The job whose id this is, or begins so. Raises BadInput."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{4,63}", text):
        return read_job_id(text)
    posted = chain.events(chain.network.deploy_block, head.number, names=["Posted"])
    fitting = {event.job for event in posted if event.job is not None and event.job.startswith(text.lower())}
    if len(fitting) > 1:
        raise BadInput(f"{len(fitting)} jobs begin with {text}", hint="give more digits", code="bad_job_id")
    return fitting.pop() if fitting else read_job_id(text)


def _revealed(chain: Chain, job: JobId, head: Block) -> JobState:
    """The job's story. Raises Declined while a reveal is still to come: nothing may be told before it (P4.7)."""
    state = fold(chain.events(chain.network.deploy_block, head.number, job=job)).get(job)
    if state is None:
        raise HeldoutError(f"the chain has no job {job}", hint="check the id and the network file", code="no_such_job")
    if state.state in (State.COMMITTING, State.REVEALING):
        raise Declined("a committee is at work: nothing is measured aloud before all votes are revealed")
    if not any(round_.votes for round_ in state.rounds):
        raise HeldoutError(f"nobody has revealed a vote in {job}", code="not_revealed")
    return state


def _measure(chain: Chain, keys: KeyRing, state: JobState, head: Block, recorder: Recorder | None) -> tuple[int, ...]:
    """This machine's values, lane by lane. A scratch journal: the node's own may be in use."""
    with TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
        view = chain.job(state.id, at=head)
        round_, hot = chain.round(state.id, state.round, at=head), _seated(chain, state, head)
        sight = Sight(state.id, state.terms, view, round_, {}, head.number, True, hot=hot)
        watch = Watch(chain, journal, keys.address)
        known = watch.case(sight, head)
        letters = Letters(journal, keys.address, Mail(chain.network, chain, keys.account).fetch)
        letters.collect(state.id, watch.writers(sight, head))
        given = (*known.to_me, *letters.of(state.id))
        if not given and keys.address not in hot.values():
            raise Refused("none of this node's seats was drawn: it holds no keys", hint=_DRAWN, code="not_drawn")
        used = tools(chain.network, keys, Path(folder) / "scratch")
        if recorder is not None:
            used = replace(used, score=recorder.listening(used.score))
        findings = measure(known.case, given, (), used)
    for lane, finding in enumerate(findings):
        if isinstance(finding, Undelivered):
            say(f"lane {lane}: {finding.reason}", style="yellow")
    return tuple(finding.value for finding in findings)


def _seated(chain: Chain, state: JobState, head: Block) -> dict[int, Address]:
    """Who may have handed letters on, by seat: of every round."""
    seats = sorted({seat for round_ in state.rounds for seat in round_.seats} - {VACANT})
    return {seat: view.hot for seat, view in zip(seats, chain.seats(seats, at=head), strict=True)}


def _record(job: JobId, round_: int, compared: tuple[Comparison, ...]) -> dict[str, object]:
    rows = [{**vars(c), "same": c.same, "meaning": c.meaning} for c in compared]
    return {"job": job, "round": round_, "agree": all(c.same for c in compared), "votes": rows}
