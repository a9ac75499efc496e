"""Which letters release which keys, read off the chain: for whoever has the keys (P4.1 to P4.6)."""

from heldout.market.chain import Block, Chain, JobView
from heldout.market.chain.views import Recipient
from heldout.market.errors import BadEnvelope, ChainProblem, HeldoutError, Reverted
from heldout.market.lifecycle import JobState, State
from heldout.market.messages import Letter
from heldout.requester_cli.letters import Holder, Writer


def drawn_seats(chain: Chain, job: JobState, stored: JobView, head: Block) -> tuple[int, ...]:
    """The committee by place, once the block that draws it is deep; empty before."""
    deep = head.number >= stored.seed_block + chain.network.confirmations
    if job.state is not State.COMMITTING or not deep:
        return ()
    if pinned := job.rounds[job.round - 1].seats:
        return pinned
    try:
        return chain.committee(job.id, at=head)[1]
    except Reverted:  # the seed is too old, and somebody has to pin a new one
        return ()


def writer_for(chain: Chain, keys: Holder, job: JobState) -> Writer:
    """Raises ChainProblem while the split is not drawn, RpcsDisagree while that is in doubt."""
    if job.accept_block is None:
        raise ChainProblem(f"job {job.id} is not accepted yet")
    return Writer(keys, job, chain.split(job.terms, job.accept_block))


def letter_to_seat(chain: Chain, writer: Writer, seat: int) -> Letter | None:
    """None for a seat that is not drawn any more, or whose wrapping key is unusable: it shut itself out, and nobody
    else. Raises RpcsDisagree."""
    try:
        drawn = chain.agreed(lambda each: each.drawn(writer.job.id))
    except Reverted:  # as in drawn_seats, or the stage is over by now
        return None
    return _held_out_keys(writer, drawn[seat]) if seat in drawn else None


def _held_out_keys(writer: Writer, recipient: Recipient) -> Letter | None:
    try:
        return writer.held_out_keys(recipient)
    except BadEnvelope:
        return None


def owed(chain: Chain, keys: Holder, job: JobState) -> list[Letter]:
    """What an answer of the requester must hold in this stage (P4.5)."""
    writer = writer_for(chain, keys, job)
    match job.state:
        case State.RUNNING:
            return [writer.training_keys(lane) for lane in range(len(job.lanes))]
        case State.COMMITTING:
            drawn = chain.agreed(lambda each: each.drawn(job.id))
            return [letter for each in drawn.values() if (letter := _held_out_keys(writer, each))]
        case State.SCORED:
            return [writer.held_out_keys_for_lane(lane) for lane in range(len(job.lanes))]
    raise HeldoutError(f"nothing can be demanded while a job is {job.state.name}")
