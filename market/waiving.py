"""Waivers that have come for a job, until all who must sign have signed (P6.1): for requester and providers alike.

A waiver is held against its signature alone, so it does not matter who brings it, and a wallet that is a contract may
sign (ERC-1271). It names round and result: after an appeal, or on a chain that turned back, it is worth nothing.
"""

from dataclasses import replace
from hashlib import sha256
from typing import Final, Protocol

from heldout.market.errors import BadMessage
from heldout.market.lifecycle import JobState, State
from heldout.market.messages import Kind, Letter
from heldout.market.relayed import Waiver, waiver_of
from heldout.market.terms import Address, JobId

MOST_PER_JOB: Final = 256
"""Nine parties in three rounds sign 27; strangers can announce more."""


_WILLING: Final = "waives"


def willing(letter: Letter, is_so: bool) -> Letter:
    """A letter to a seat, and in it that its sender would conclude: the seats then leave the reveals to the parties for
    one grace. It binds nobody."""
    return replace(letter, body={**letter.body, _WILLING: True}) if is_so else letter


def is_willing(letter: Letter) -> bool:
    return letter.body.get(_WILLING) is True


class Stored(Protocol):
    """What this needs of heldout.market.chain.JobView."""

    @property
    def state(self) -> State: ...
    @property
    def round(self) -> int: ...
    @property
    def result(self) -> bytes: ...


def consent_to(job: JobState, stored: Stored) -> Waiver | None:
    """The waiver of a Scored job's result: as the chain holds it, what silence made of it included; or as it will be
    once the openings by which `job` is foreseen are posted. None if the chain is past that, and in round 2, which may
    fine seats of round 1: the contract lets nobody conclude it (P6.1).

    `stored` is read at the block whose events `job` is folded of: nobody signs away what came after they decided.
    """
    if stored.round != job.round or job.round == 2:
        return None
    if stored.state is State.SCORED:
        return Waiver(job.id, stored.round, stored.result)
    result = job.rounds[-1].result if job.rounds else None
    return Waiver(job.id, job.round, result) if stored.state is State.REVEALING and result else None


class Asked(Protocol):
    """What this needs of heldout.market.chain.Chain."""

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool: ...


class Waivers:
    """For one thread. Kept in memory: a restarted node reads its mailbox anew."""

    def __init__(self, asked: Asked, chain_id: int, market: str) -> None:
        self._asked, self._chain_id, self._market = asked, chain_id, market
        self._found: dict[JobId, dict[bytes, tuple[Waiver, bytes]]] = {}
        self._checked: dict[tuple[JobId, bytes, Address, bytes], bool] = {}

    def keep(self, letter: Letter) -> None:
        """What is no waiver is dropped."""
        if letter.kind is not Kind.WAIVER:
            return
        try:
            found = waiver_of(letter)
        except BadMessage:
            return
        known = self._found.setdefault(letter.job, {})
        if len(known) < MOST_PER_JOB:
            known.setdefault(sha256(letter.encode()).digest(), found)

    def signatures(self, job: JobState, waiver: Waiver) -> tuple[bytes, ...] | None:
        """Of the requester and of every lane's provider, as `conclude` takes them; None while one is lacking.

        Raises ChainProblem.
        """
        offered = [signature for found, signature in self._found.get(job.id, {}).values() if found == waiver]
        digest = waiver.digest(self._chain_id, self._market)
        gathered = []
        for signer in (job.terms.requester, *(lane.provider for lane in job.lanes)):
            fitting = next((each for each in offered if self._is_by(job.id, signer, digest, each)), None)
            if fitting is None:
                return None
            gathered.append(fitting)
        return tuple(gathered)

    def to_post(self, job: JobState, waiver: Waiver, sender: Address) -> tuple[bytes, ...] | None:
        """As `signatures`, for a call by `sender`: it has signed by that, and saves the gas of its own signature."""
        signatures = self.signatures(job, waiver)
        signers = (job.terms.requester, *(lane.provider for lane in job.lanes))
        return signatures and tuple(
            b"" if signer.lower() == sender.lower() else each for signer, each in zip(signers, signatures, strict=True)
        )

    def forget(self, job: JobId) -> None:
        self._found.pop(job, None)
        self._checked = {key: value for key, value in self._checked.items() if key[0] != job}

    def _is_by(self, job: JobId, signer: Address, digest: bytes, signature: bytes) -> bool:
        key = (job, digest, signer, signature)
        if key not in self._checked:
            self._checked[key] = self._asked.verify_signature(signer, digest, signature)
        return self._checked[key]
