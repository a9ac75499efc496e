"""How a training ran, in its provider's words and under its signature: for people, and for the value chain's readers.

Nobody is paid or fined by it. It is what isolate(1) writes into its meta file, with the image that ran and the hash of
the log, so that a provider that lies leaves a lie with its name on it.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from heldout.market.errors import BadMessage
from heldout.market.jsontext import canonical_json
from heldout.market.messages import BULLETIN, Kind, Letter
from heldout.market.signatures import Signer, personal_digest, sign_text
from heldout.market.terms import Address, JobId

LONGEST: Final = 200
"""Characters of any field."""
_HEAD: Final = "Heldout run record\n"


@dataclass(frozen=True)
class RunRecord:
    """One attempt that left weights, or the last of a program that failed: then others stand in for what it should have
    left. Times in milliseconds, sizes in bytes; integers, so that it has one text."""

    job: JobId
    provider: Address
    lane: int
    attempt: int
    exit_code: int
    killed_by: str
    """Empty if it ended by itself."""
    wall_ms: int
    cpu_ms: int
    peak_memory: int
    bytes_out: int
    image: str
    tier: str
    log: str
    """SHA-256 of the cleaned log, hex."""
    weights: str
    """SHA-256 of the weights file, hex."""

    @property
    def text(self) -> str:
        """What the provider signs (EIP-191)."""
        return _HEAD + canonical_json(asdict(self)).decode()

    @property
    def digest(self) -> bytes:
        return personal_digest(self.text)

    def of_weights(self, weights: str) -> "RunRecord":
        """The same run, told with the file that is submitted."""
        return replace(self, weights=weights)

    def letter(self, signer: Signer) -> Letter:
        """The record on the job's board."""
        body = {**asdict(self), "signature": sign_text(signer, self.text)}
        return Letter(self.job, Kind.RUN_RECORD, self.provider, BULLETIN, body)


def read_record(letter: Letter) -> tuple[RunRecord, bytes]:
    """A record and its signature, still to be verified. Raises BadMessage for what `letter` would not write."""
    known = fields(RunRecord)
    body: dict[str, Any] = dict(letter.body)
    signature = letter.bytes_of("signature")
    body.pop("signature")
    if body.keys() != {field.name for field in known} or not all(_fits(f.type, body[f.name]) for f in known):
        raise BadMessage("a run record has other fields than this", code="bad_letter")
    record = RunRecord(**body)
    if (record.job, record.provider) != (letter.job, letter.sender) or letter.receiver != BULLETIN:
        raise BadMessage("a run record speaks of its own sender's lane, on the board", code="bad_letter")
    return record, signature


def _fits(annotation: object, value: object) -> bool:
    if annotation in (int, "int"):
        return type(value) is int and 0 <= value < 2**63
    return type(value) is str and len(value) <= LONGEST and value.isprintable()
