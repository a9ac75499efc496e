"""A provider's memory survives the journal; what it shows of it holds no secret."""

from __future__ import annotations

import json
from pathlib import Path

from builders import JOB, digest

from heldout.market.journal import Journal, glance
from heldout.market.made import Sealed
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.sandbox.readings import MOST_READINGS, add_readings, parse_reading
from heldout.market.terms import BlockNumber
from heldout.provider import showing
from heldout.provider.bidding import Refusal, Rule
from heldout.provider.owner import Wish
from heldout.provider.record import PREFIX, Record, Records

SEALED = Sealed(*(digest(name).hex() for name in ("weights", "sealed", "a", "b", "envelope", "seed")))
RECORD = Record(
    JOB,
    BlockNumber(7),
    price=Wei(ONE_TOKEN),
    keys=digest("keys").hex(),
    attempts=1,
    sealed=SEALED,
    delivered=(1, 2),
    refused=("ab",),
)


def test_the_owners_word_and_whether_the_node_runs_are_shown() -> None:
    assert showing.node_lines(Wish.WORK, None, True) == ["node     running; takes new work, as [when] allows"]
    stands, told = showing.node_lines(Wish.PAUSE, 1_800_000_000.0, False)
    assert "not running" in stands
    assert told.startswith("owner    pause since 2027-01-15 08:00 UTC: takes no new work") and "resume" in told


def test_a_record_comes_back_from_the_journal_as_it_went_in(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        Records(journal).keep(RECORD)
        refused = Records(journal).of(JOB, BlockNumber(0)).now_refusing(Refusal(Rule.CPUS, "needs 9"))
        assert Records(journal).keep(refused) == refused
    with Journal(tmp_path) as journal:
        assert [*Records(journal)] == [refused]
        assert refused.refusal == (Rule.CPUS, "needs 9")
        assert refused.sealed == SEALED


def test_an_unchanged_record_is_not_written_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        records = Records(journal)
        records.keep(RECORD)
        journal.delete(RECORD.key)
        records.keep(RECORD)
        assert journal.get(RECORD.key) is None


def test_status_may_look_while_the_node_holds_its_journal(tmp_path: Path) -> None:
    assert glance(tmp_path, PREFIX) == []
    with Journal(tmp_path) as journal:
        Records(journal).keep(RECORD)
        journal.put("other", {})
        assert [Record.from_dict(raw) for _, raw in glance(tmp_path, PREFIX)] == [RECORD]


def test_what_is_shown_of_a_record_holds_no_secret() -> None:
    """Threat 82."""
    shown = json.dumps(showing.as_json(RECORD))
    for secret in (SEALED.half_a, SEALED.half_b, SEALED.seed_a, RECORD.keys):
        assert secret not in shown


def test_why_counts_the_rules() -> None:
    refused = Record(JOB, BlockNumber(1)).now_refusing(Refusal(Rule.CPUS, "needs 9 cpus"))
    lost = Record(JOB, BlockNumber(1), price=Wei(ONE_TOKEN), done=True, ending="lost at 1")
    assert showing.reading({"accuracy": 0.998412, "step": 40}) == "accuracy 0.9984  step 40"
    assert showing.reading(None) == ""
    assert showing.summary([refused, refused, lost]) == "3 jobs: 2 cpus, 1 not_won"
    assert showing.reason(refused) == "needs 9 cpus"
    assert showing.reason(lost) == "lost at 1"


def test_live_metrics_take_finite_numbers_and_nothing_else() -> None:
    """Threats 67, 74: a stranger's program wrote these lines."""
    assert parse_reading('{"epoch": 3, "loss": 0.5}') == {"epoch": 3, "loss": 0.5}
    assert parse_reading('{"loss": NaN, "x": Infinity, "name": "text", "ok": true, "deep": {"a": 1}}') is None
    assert parse_reading('{"\\u001b[2Jloss": 1}') == {"[2Jloss": 1}
    assert parse_reading("epoch 3") is None
    assert parse_reading("{" * 4000) is None
    assert parse_reading('{"x": ' + "9" * 5000 + "}") is None
    assert len(parse_reading(json.dumps({f"k{i}": i for i in range(99)})) or {}) == 16


def test_only_the_latest_metrics_are_kept() -> None:
    kept = add_readings([], [f'{{"step": {step}}}' for step in range(500)])
    assert len(kept) == MOST_READINGS
    assert kept[-1] == {"step": 499}
