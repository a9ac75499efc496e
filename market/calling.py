"""Calls for bids (P2.5): a job's whole terms, signed by their requester and not posted, so that bids come before money
is locked, and one `open` posts and accepts. Pure: whether the requester signed it is for the chain room to say.

A call binds nobody: its requester may let it pass, and a bid given for it is good for that very job, and for who signed
its terms, until the call is over.
"""

from dataclasses import dataclass
from typing import Final

from heldout.market.errors import BadMessage
from heldout.market.lifecycle import ChainEvent, JobState
from heldout.market.messages import BULLETIN, Kind, Letter, hexed
from heldout.market.relayed import LONGEST_SIGNATURE
from heldout.market.settings import Network
from heldout.market.terms import BlockNumber, JobId, JobTerms, Timestamp, job_id, keccak256, typed_digest, words

SKEW_S: Final = 60
"""By which a requester's block may be ahead of the reader's."""
_TYPE: Final = keccak256(b"CallForBids(bytes32 job,uint64 until)")
_CALLED: Final = "Called"


@dataclass(frozen=True)
class CallForBids:
    """`until`: unix seconds of block time, inclusive, at most a bid window ahead."""

    job: JobId
    terms: JobTerms
    until: Timestamp

    def digest(self, chain_id: int, market: str) -> bytes:
        """The 32 bytes its requester signs; the job's id stands for all of its terms."""
        return typed_digest(chain_id, market, keccak256(words((_TYPE, bytes.fromhex(self.job[2:]), self.until))))

    def holds(self, now: int) -> bool:
        """Whether bids may be given for it: it is not over, and binds no bidder for longer than its bid window."""
        return now < self.until <= now + self.terms.bidWindow + SKEW_S

    def as_job(self, since: BlockNumber) -> JobState:
        """The job as if it were open. `since`: a block in which it was not posted yet, nor before."""
        called = ChainEvent(_CALLED, {}, since, "", "", 0, Timestamp(self.until - self.terms.bidWindow))
        return JobState(self.job, self.terms, called, deadline=self.until)


def is_called(job: JobState) -> bool:
    """Whether a job is no more than called for: nothing of it is on chain."""
    return job.posted.name == _CALLED


def call_letter(call: CallForBids, signature: bytes) -> Letter:
    body = {"terms": call.terms.as_json(), "until": call.until, "signature": hexed(signature)}
    return Letter(call.job, Kind.CALL, call.terms.requester, BULLETIN, body)


def call_of(letter: Letter, network: Network) -> tuple[CallForBids, bytes]:
    """The call and its signature, still to be verified. Raises BadMessage for what `call_letter` would not write, and
    for another market's job."""
    if letter.kind is not Kind.CALL or letter.body.keys() != {"terms", "until", "signature"}:
        raise BadMessage("a call for bids has other fields than this", code="bad_letter")
    terms, until = JobTerms.from_json(letter.body["terms"]), letter.body["until"]
    if type(until) is not int or not 0 <= until < 2**63:
        raise BadMessage("a call for bids ends at a unix time", code="bad_letter")
    call = CallForBids(job_id(terms, network.chain_id, network.market), terms, Timestamp(until))
    signature = letter.bytes_of("signature")
    if len(signature) > LONGEST_SIGNATURE or call_letter(call, signature) != letter:
        raise BadMessage("a call speaks of its own sender's job, to everybody", code="bad_letter")
    return call, signature
