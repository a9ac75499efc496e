"""A provider measures its own lane again with what its node and the requester left it (P4.4, P4.6)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import JOB, JOB_BYTES, PROVIDERS, REQUESTER, TERMS, digest
from delivered import PROVIDER_PRIVATE, SPLIT

from heldout.market.errors import BadInput
from heldout.market.journal import Journal
from heldout.market.lifecycle import JobState, Lane
from heldout.market.made import JOURNAL, Sealed, sealed_in
from heldout.market.messages import Kind, Letter, hexed
from heldout.market.money import Wei
from heldout.market.sealing import envelope_context, make_envelope, seal_weights, wrap_public_key
from heldout.market.terms import BlockNumber
from heldout.provider.record import Record, Records
from heldout.requester_cli import provided
from heldout.requester_cli.provided import own_weights, verify_own

ME, WEIGHTS, A, B = PROVIDERS[0], b"weights", digest("a"), digest("b")
BLOB = seal_weights(A, B, WEIGHTS, JOB_BYTES, ME)
SEALED = Sealed(
    digest("weights").hex(), digest("blob").hex(), A.hex(), B.hex(), digest("envelope").hex(), digest("seed").hex()
)
KEYS: Any = SimpleNamespace(wrap_private=PROVIDER_PRIVATE, address=ME)
CHAIN: Any = SimpleNamespace(split=lambda terms, block: SPLIT)


def job(**changes: Any) -> JobState:
    word = SEALED.submission.word(JOB_BYTES, ME)
    lanes = (Lane(ME, Wei(1), wrap_public_key(PROVIDER_PRIVATE), word), Lane(PROVIDERS[1], Wei(1), b"", word))
    return replace(JobState(JOB, TERMS, None, lanes=lanes, accept_block=BlockNumber(7)), **changes)  # type: ignore[arg-type]


def letter(secret: bytes, *, sender: str = REQUESTER) -> Letter:
    context = envelope_context(JOB_BYTES, Kind.HELD_OUT_KEYS, sender, ME)  # type: ignore[arg-type]
    envelope = make_envelope(digest(sender), wrap_public_key(PROVIDER_PRIVATE), secret, context)
    return Letter(JOB, Kind.HELD_OUT_KEYS, REQUESTER, ME, {"envelope": hexed(envelope)})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Of a node that runs: it holds its journal."""
    with Journal(tmp_path / JOURNAL) as journal:
        Records(journal).keep(Record(JOB, BlockNumber(7), sealed=SEALED))
        yield tmp_path


def test_the_weights_open_with_what_the_nodes_journal_keeps(home: Path) -> None:
    assert sealed_in(home, JOB) == SEALED
    assert own_weights(home, job(), 0, lambda digest_, limit: BLOB) == WEIGHTS


def test_weights_that_the_node_did_not_submit_are_not_taken_for_the_lanes(home: Path, tmp_path: Path) -> None:
    for place, lane in ((home, 1), (tmp_path / "elsewhere", 0)):
        with pytest.raises(BadInput) as told:
            own_weights(place, job(), lane, lambda digest_, limit: BLOB)
        assert told.value.code == "not_delivered" and "--weights" in told.value.hint


def test_without_held_out_keys_it_is_said_why_there_are_none() -> None:
    """P6.4: what is concluded by waivers had no challenge in which they are sent."""
    forged = letter(b"", sender=PROVIDERS[1])
    with pytest.raises(BadInput, match="no held-out keys") as told:
        verify_own(CHAIN, KEYS, job(), {0: WEIGHTS}, [forged], lambda digest_, limit: b"")
    assert told.value.code == "keys_not_sent" and "waivers" in told.value.hint


def test_the_keys_of_the_requesters_letter_are_the_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the split's order, whoever else wrote before."""
    keys = [digest(f"key {shard}") for shard in SPLIT.held_out]
    used: list[bytes] = []

    def measure(chain: Any, key_of: Any, *rest: Any) -> list[Any]:
        used.extend(key_of(shard) for shard in SPLIT.held_out)
        return []

    monkeypatch.setattr(provided, "measure", measure)
    forged, genuine = letter(b"x" * 32, sender=PROVIDERS[1]), letter(b"".join(keys))
    assert verify_own(CHAIN, KEYS, job(), {0: WEIGHTS}, [forged, genuine], lambda digest_, limit: b"") == []
    assert used == keys
