"""Commits and openings exchanged with the other seats of a round, so that one transaction carries them all (P6.1).

A letter is believed only as far as it proves itself: a commit by the signature of the seat's hot key, an opening by the
commit on chain that it opens. What lies, contradicts or comes twice is dropped; then the set stays incomplete, and the
grace ends in each seat's own transaction (`exchanging`). Nothing here is journaled: the ballot is, before it is signed,
and a restarted node reads its mailbox anew.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

from heldout.market.chain import Block, Chain
from heldout.market.errors import BadMessage, HeldoutError
from heldout.market.lifecycle import State
from heldout.market.messages import Kind, Letter
from heldout.market.relayed import (
    Opening,
    ScoreCommit,
    commit_letter,
    commit_of,
    opening_letter,
    opening_of,
    sign,
)
from heldout.market.signatures import Signer
from heldout.market.terms import Address, JobId, Timestamp
from heldout.market.waiving import is_willing
from heldout.validator.ballots import Ballots
from heldout.validator.duties import Sight
from heldout.validator.exchanging import Exchange
from heldout.validator.voting import Domain

log = logging.getLogger(__name__)

KINDS = frozenset({Kind.SCORE_COMMIT, Kind.SCORE_REVEAL})
LONGEST = 1 << 14
"""Bytes of a letter: a contract wallet's signature may be long."""
MOST_PER_JOB = 512
"""Two letters a place in each of three rounds are 90; strangers can announce more."""

Stage = tuple[JobId, int, State, int]
Signed = tuple[bytes, bytes]
"""A commit's hash and the signature of its seat."""


@dataclass
class _Times:
    since: Timestamp
    whole: Timestamp | None = None
    parties: bool = False


@dataclass
class _Post:
    """What came about one job, unchecked, the first first."""

    letters: dict[bytes, Letter] = field(default_factory=dict)

    def keep(self, letter: Letter) -> None:
        data = letter.encode()
        if len(self.letters) < MOST_PER_JOB and len(data) <= LONGEST:
            self.letters.setdefault(sha256(data).digest(), letter)

    def of(self, kind: Kind) -> Iterator[Letter]:
        return (letter for letter in self.letters.values() if letter.kind is kind)


class Relay:
    """For one thread. `deliver` hands a letter to a carrier; `grace_s` of 0 keeps a node off this road."""

    def __init__(
        self, chain: Chain, account: Signer, ballots: Ballots, deliver: Callable[[Letter], None], grace_s: int
    ) -> None:
        self._chain, self._account, self._ballots = chain, account, ballots
        self._deliver, self._grace_s = deliver, grace_s
        self._me = Address(account.address)
        self._post: dict[JobId, _Post] = {}
        self._times: dict[Stage, _Times] = {}
        self._failures: Counter[Address] = Counter()
        self._checked: dict[tuple[JobId, bytes, Address, bytes], bool] = {}
        self._on_chain: dict[tuple[JobId, int], dict[int, bytes]] = {}

    def sifted(self, letters: Iterable[Letter]) -> Iterator[Letter]:
        """Keeps what belongs here and passes on the rest."""
        for letter in letters:
            if letter.kind not in KINDS:
                yield letter
            elif self._grace_s:
                self._post.setdefault(letter.job, _Post()).keep(letter)

    def forget(self, job: JobId) -> None:
        """Of a job that is over for good."""
        self._post.pop(job, None)
        self._times = {key: value for key, value in self._times.items() if key[0] != job}
        self._checked = {key: value for key, value in self._checked.items() if key[0] != job}
        self._on_chain = {key: value for key, value in self._on_chain.items() if key[0] != job}

    def exchange(self, sight: Sight, domain: Domain, head: Block) -> Exchange:
        """What `duties.decide` has to know."""
        times = self._times.get(_stage(sight))
        if times is None:
            return Exchange(self._grace_s)
        if times.whole is None and self._is_whole(sight, domain, head):
            times.whole = head.timestamp
        return Exchange(self._grace_s, times.since, times.whole, times.parties)

    # ---------------------------------------------------------------------------------------------- commits

    def offer(self, sight: Sight, domain: Domain, seats: Iterable[int], head: Block) -> None:
        """Send signed commits of ballots that are in the journal to the other seats."""
        for seat in seats:
            self._send(sight, partial(commit_letter, *self._signed(domain, seat), self._me))
        self._begin(sight, domain, head)

    def commits(self, sight: Sight, domain: Domain) -> tuple[list[bytes], list[bytes]]:
        """Hashes and signatures of all drawn seats, by place, as `commitAll` takes them."""
        held = self._commits(sight, domain)
        return [held[place][0] for place in sorted(held)], [held[place][1] for place in sorted(held)]

    def _commits(self, sight: Sight, domain: Domain) -> dict[int, Signed]:
        held: dict[int, Signed] = {}
        for place, seat in sight.places.items():
            if self._ballots.get(domain, seat):
                commit, signature = self._signed(domain, seat)
                held[place] = (commit.hash, signature)
        place_of = {seat: place for place, seat in enumerate(sight.seats)}
        for letter in self._letters(sight.job, Kind.SCORE_COMMIT):
            try:
                commit, signature = commit_of(letter)
            except BadMessage as problem:
                log.debug("job %s: %s", sight.job, problem.message)
                continue
            place = place_of.get(commit.seat, -1)
            if commit.round != domain.round or place in held or place not in sight.hot:
                continue
            if self._is_signed(domain, commit, sight.hot[place], signature):
                held[place] = (commit.hash, signature)
        return held

    def _signed(self, domain: Domain, seat: int) -> tuple[ScoreCommit, bytes]:
        ballot = self._ballots.get(domain, seat)
        assert ballot is not None, "a ballot is journaled before its commit is signed"
        commit = ScoreCommit(domain.job, domain.round, seat, ballot.hash)
        return commit, sign(self._account, commit.digest(domain.chain_id, domain.market))

    def _is_signed(self, domain: Domain, commit: ScoreCommit, signer: Address, signature: bytes) -> bool:
        """By key or by contract (ERC-1271), asked once."""
        digest = commit.digest(domain.chain_id, domain.market)
        key = (domain.job, digest, signer, signature)
        if key not in self._checked:
            self._checked[key] = self._chain.verify_signature(signer, digest, signature)
            if not self._checked[key]:
                log.warning("job %s: a commit for seat %d is not signed by its key", domain.job, commit.seat)
        return self._checked[key]

    # ---------------------------------------------------------------------------------------------- reveals

    def open(
        self, sight: Sight, domain: Domain, seats: Iterable[tuple[int, int]], had: Iterable[Letter], head: Block
    ) -> None:
        """Send the openings of these places: only once the commits are as deep as the network file says (P3.5). `had`:
        what this node was sent about the job; if all parties say there that they would conclude, they get them too."""
        assert sight.deep and sight.view.state is State.REVEALING, "decide opens deep commits only"
        parties = self._willing_parties(sight, had)
        for place, seat in seats:
            opening = self._opening(domain, place, seat)
            self._send(sight, partial(opening_letter, sight.job, domain.round, opening, self._me), parties)
        self._begin(sight, domain, head, parties=bool(parties))

    def openings(self, sight: Sight, domain: Domain, head: Block) -> list[tuple[int, bytes, bytes, bytes]]:
        """Of all commits, in the order of the chain, as `revealAll` takes them."""
        held = self._openings(sight, domain, head)
        return [held[place].as_tuple() for place in self._committed(sight, head)]

    def _openings(self, sight: Sight, domain: Domain, head: Block) -> dict[int, Opening]:
        """By place. Who sent an opening does not matter: it opens the commit on chain, or is none."""
        committed = self._committed(sight, head)
        mine = ((p, s) for p, s in sight.places.items() if p in committed and self._ballots.get(domain, s))
        held = {place: self._opening(domain, place, seat) for place, seat in mine}
        for letter in self._letters(sight.job, Kind.SCORE_REVEAL):
            try:
                round_, opening = opening_of(letter)
            except BadMessage as problem:
                log.debug("job %s: %s", sight.job, problem.message)
                continue
            if round_ != domain.round or opening.place in held or opening.place not in committed:
                continue
            seat = sight.seats[opening.place]
            if domain.hash(seat, opening.vote, opening.evidence, opening.salt) == committed[opening.place]:
                held[opening.place] = opening
        return held

    def _opening(self, domain: Domain, place: int, seat: int) -> Opening:
        ballot = self._ballots.get(domain, seat)
        assert ballot is not None, "decide opens only what the journal holds"
        return Opening(place, ballot.vote, ballot.evidence, ballot.salt)

    def _committed(self, sight: Sight, head: Block) -> dict[int, bytes]:
        """Hashes by place, in the order of the chain; read once, since what is asked here rests on deep commits."""
        key = (sight.job, sight.view.round)
        if key not in self._on_chain:
            found = dict(self._chain.commits(sight.job, sight.view, head))
            if not sight.deep:
                return found
            self._on_chain[key] = found
        return self._on_chain[key]

    # -------------------------------------------------------------------------------------------------- both

    def _letters(self, job: JobId, kind: Kind) -> Iterator[Letter]:
        return self._post[job].of(kind) if job in self._post else iter(())

    def _is_whole(self, sight: Sight, domain: Domain, head: Block) -> bool:
        if sight.view.state is State.COMMITTING:
            return self._commits(sight, domain).keys() == sight.hot.keys()
        return self._openings(sight, domain, head).keys() == self._committed(sight, head).keys()

    def _willing_parties(self, sight: Sight, had: Iterable[Letter]) -> tuple[Address, ...]:
        """Requester and providers if each of them would conclude, else none."""
        willing = {letter.sender.lower() for letter in had if is_willing(letter)}
        if sight.terms.requester.lower() not in willing:
            return ()
        lanes = self._chain.lanes(sight.job, sight.view.lanes)
        parties = (sight.terms.requester, *(lane.provider for lane in lanes))
        return parties if all(party.lower() in willing for party in parties) else ()

    def _begin(self, sight: Sight, domain: Domain, head: Block, *, parties: bool = False) -> None:
        """The grace runs from the first time that mine went out."""
        if _stage(sight) not in self._times:
            times = self._times[_stage(sight)] = _Times(head.timestamp, parties=parties)
            if self._is_whole(sight, domain, head):
                times.whole = times.since

    def _send(self, sight: Sight, letter_to: Callable[[Address], Letter], others: Iterable[Address] = ()) -> None:
        """A carrier that is down costs nobody a deadline: the grace runs all the same. One that fails is not tried for
        the others in the same cycle, since each try may take seconds; whoever failed least comes first in the next."""
        for receiver in sorted(dict.fromkeys((*sight.hot.values(), *others)), key=lambda to: self._failures[to]):
            if receiver == self._me:
                continue
            try:
                self._deliver(letter_to(receiver))
            except HeldoutError as problem:
                self._failures[receiver] += 1
                log.debug("job %s: no letter to %s: %s", sight.job, receiver, problem.message)
                return


def _stage(sight: Sight) -> Stage:
    return (sight.job, sight.view.round, sight.view.state, sight.view.seed_block)
