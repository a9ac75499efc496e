"""The one vote a seat may cast in a round: in the journal before anybody sees its hash, and never another (P11b).

It protects the node from itself: a restart, a second measurement or a reorganised chain all come back to the ballot
that is here, so no two commits of one seat can ever differ.
"""

from collections.abc import Sequence

from heldout.market.errors import HeldoutError
from heldout.market.journal import Journal
from heldout.validator.voting import Ballot, Domain, Finding, cast, rediscover


class ConflictingBallot(HeldoutError):
    """This seat has another ballot in this round."""

    code = "conflicting_ballot"


class Ballots:
    """The ballots of all seats that share one vote secret."""

    def __init__(self, journal: Journal, vote_secret: bytes) -> None:
        self._journal = journal
        self._secret = vote_secret

    def get(self, domain: Domain, seat: int) -> Ballot | None:
        record = self._journal.get(f"{_prefix(domain)}{seat:08x}")
        return Ballot.from_record(record) if record else None

    def seats(self, domain: Domain) -> frozenset[int]:
        """Seats that have voted in this round, whether or not their commit has reached the chain."""
        return frozenset(record["seat"] for _, record in self._journal.items(_prefix(domain)))

    def cast(self, domain: Domain, seat: int, findings: Sequence[Finding]) -> Ballot:
        """The seat's ballot: the one in the journal if there is one, else a new one, on disk when this returns."""
        return self.get(domain, seat) or self.keep(domain, cast(domain, self._secret, seat, findings))

    def recover(self, domain: Domain, seat: int, findings: Sequence[Finding], committed: bytes) -> Ballot | None:
        """The ballot behind a commit on chain that the journal does not know; None if this node did not cast it."""
        ballot = rediscover(domain, self._secret, seat, findings, committed)
        return self.keep(domain, ballot) if ballot else None

    def keep(self, domain: Domain, ballot: Ballot) -> Ballot:
        """Raises ConflictingBallot if the seat has another one in this round."""
        known = self.get(domain, ballot.seat)
        if known is not None and known != ballot:
            hint = "the ballot in the journal stands; do not run one key on two machines"
            raise ConflictingBallot(f"seat {ballot.seat} has voted in round {domain.round} of {domain.job}", hint=hint)
        if known is None:
            self._journal.put(f"{_prefix(domain)}{ballot.seat:08x}", ballot.as_record())
        return ballot


def _prefix(domain: Domain) -> str:
    return f"ballot/{domain.chain_id}/{domain.market.lower()}/{domain.job}/{domain.round}/"
