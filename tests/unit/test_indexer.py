"""The index of the chain: rows with their origin, reorgs undone, and a rebuild that gives the same rows (P11e)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from heldout.market.chain.logs import Cursor, Followed
from heldout.market.errors import BadInput, ChainProblem, WrongNetwork
from heldout.market.lifecycle import fold
from heldout.market.messages import hexed
from heldout.market.service.database import state_hash
from heldout.market.service.indexer import Follower, Index, Step
from heldout.market.service.letters import NotYetKnown
from heldout.market.service.reading import BEGINNING, JobFilter, Reading, parse_place
from heldout.market.service.rows import event_of, event_row
from heldout.market.terms import JobId
from tests.builders import JOB, PROVIDERS, REQUESTER, TERMS, EventLog, digest, terms_values
from tests.databases import database_of
from tests.scripted_chain import COLD, ScriptedChain, caught_up, seat_log
from tests.unit.test_lifecycle import honest_job


@pytest.fixture
def chain() -> ScriptedChain:
    return ScriptedChain()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = database_of(tmp_path / "service.db")
    yield engine
    engine.dispose()


def hash_of(engine: Engine) -> str:
    with engine.connect() as connection:
        return state_hash(connection)


# ------------------------------------------------------------------------------------------------------------ rows


def test_stored_events_are_the_events() -> None:
    class Row:
        def __init__(self, values: dict[str, Any]) -> None:
            self.__dict__ = values

    for event in (*honest_job().events, *seat_log()):
        again = event_of(Row(event_row(event)))
        assert fold([again]) == fold([event])
        assert again.args.keys() == event.args.keys()
        assert again.job == event.job


def test_a_job_is_shown_with_all_that_happened(chain: ScriptedChain, engine: Engine) -> None:
    for event in honest_job().events:
        chain.add(event)
    caught_up(Index(engine, chain))
    job = Reading(engine).job(JOB)
    assert (job["state"], job["outcome"], job["requester"]) == ("settled", "measured", REQUESTER)
    assert job["terms"]["priceCap"] == str(TERMS.priceCap)
    assert job["terms"]["dataRoot"] == hexed(TERMS.dataRoot)
    assert [(lane["provider"], lane["price"], lane["score"]) for lane in job["lanes"]] == [
        (PROVIDERS[0], "50", 960_000),
        (PROVIDERS[1], "50", 100_000),
    ]
    assert job["rounds"][0]["seats"] == [4, 9, 17]
    assert [vote["seat"] for vote in job["rounds"][0]["votes"]] == [4, 9, 17]
    money = Reading(engine).money(JOB)
    assert sum(int(row["amount"]) * (1 if row["incoming"] else -1) for row in money) == 0


def test_every_row_names_the_transaction_that_last_changed_it(chain: ScriptedChain, engine: Engine) -> None:
    log = honest_job()
    for event in log.events:
        chain.add(event)
    caught_up(Index(engine, chain))
    by_tx = {event.tx: event for event in log.events}
    job = Reading(engine).job(JOB)
    assert by_tx[job["tx"]].name == "Settled"
    assert by_tx[job["posted"]["tx"]].name == "Posted"
    assert {by_tx[lane["tx"]].name for lane in job["lanes"]} == {"LaneSettled"}
    assert {by_tx[vote["tx"]].name for vote in job["rounds"][0]["votes"]} == {"Revealed"}
    assert by_tx[job["rounds"][0]["tx"]].name == "Moved"
    claimed = log("Claimed", lane=0, artifact=digest("artifact"), maker=PROVIDERS[0])
    chain.add(claimed)
    caught_up(Index(engine, chain))
    again = Reading(engine).job(JOB)
    assert claimed.tx not in {again["tx"], *(lane["tx"] for lane in again["lanes"])}, "the registry paid nobody"
    assert again["lanes"] == job["lanes"]
    assert [by_tx[row["tx"]].name for row in Reading(engine).money(JOB)] == ["Locked", "Paid", "Paid"]


def test_a_seat_begins_anew_when_its_index_is_used_again(chain: ScriptedChain, engine: Engine) -> None:
    """P5.1"""
    events = seat_log()
    index, reading = Index(engine, chain), Reading(engine)
    chain.add(*events[:5])
    caught_up(index)
    (seat,) = reading.seats(COLD)
    assert (seat["hot"], seat["slashed"], seat["withdrawable_at"], seat["unstaked"]) == (PROVIDERS[1], "12", 900, False)
    chain.add(events[5])
    caught_up(index)
    assert reading.seats("")[0]["unstaked"]
    chain.add(events[6])
    caught_up(index)
    (seat,) = reading.seats(PROVIDERS[2].upper().replace("0X", "0x"))
    assert (seat["slashed"], seat["withdrawable_at"], seat["unstaked"]) == ("0", None, False)


def test_lists_go_page_by_page(chain: ScriptedChain, engine: Engine) -> None:
    for number in range(5):
        terms = replace(TERMS, salt=digest(str(number)))
        chain.add(EventLog(digest(f"job {number}"))("Posted", requester=REQUESTER, terms=terms_values(terms)))
    caught_up(Index(engine, chain))
    reading = Reading(engine)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = reading.jobs(JobFilter(state="open", requester=REQUESTER), before=cursor, limit=2)
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next"]
    assert seen == [hexed(digest(f"job {number}")) for number in (4, 3, 2, 1, 0)]
    assert reading.jobs(JobFilter(state="settled"), limit=2)["jobs"] == []
    assert reading.jobs(JobFilter(provider=PROVIDERS[0]), limit=2)["jobs"] == []


def test_events_go_on_after_a_place(chain: ScriptedChain, engine: Engine) -> None:
    events = honest_job().events
    for event in events:
        chain.add(event, event)
    caught_up(Index(engine, chain))
    reading = Reading(engine)
    first = reading.events(after=BEGINNING, job=JOB, limit=3)
    assert [event["id"] for event in first] == ["0:0", "0:1", "1:0"]
    rest = reading.events(after=parse_place("1:0"), job=JOB, until=2)
    assert [event["id"] for event in rest] == ["1:1", "2:0", "2:1"]


@pytest.mark.parametrize("text", ["", "1", "1:", ":1", "-1:0", "1:0:0", "a:b", "9" * 19 + ":0", "1:" + "9" * 19, "١:١"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_place(text)


def test_an_unknown_job_may_yet_come(engine: Engine) -> None:
    with pytest.raises(NotYetKnown) as unknown:
        Reading(engine).job(JobId("0x" + "00" * 32))
    assert unknown.value.retryable


# ---------------------------------------------------------------------------------------------- reorgs and rebuilds


@pytest.mark.parametrize("depth", [1, 3, 5, 12, 22])
def test_a_reorg_leaves_nothing_of_the_branch_that_is_gone(chain: ScriptedChain, engine: Engine, depth: int) -> None:
    """Threats 26 and 27."""
    index = Index(engine, chain)
    for event in honest_job().events:
        chain.add(event)
        caught_up(index)
    gone = chain.take_back(depth)
    chain.add()
    caught_up(index)
    shorter = hash_of(engine)
    for event in gone:
        chain.add(event)
    caught_up(index)
    longer = hash_of(engine)
    index.clear()
    caught_up(index)
    assert hash_of(engine) == longer != shorter


def test_a_job_whose_posting_left_the_chain_is_gone(chain: ScriptedChain, engine: Engine) -> None:
    """Threat 26."""
    index = Index(engine, chain)
    chain.add()
    caught_up(index)
    chain.add(*honest_job().events)
    caught_up(index)
    assert Reading(engine).job(JOB)
    chain.take_back(1)
    chain.add()
    caught_up(index)
    with pytest.raises(NotYetKnown):
        Reading(engine).job(JOB)
    assert Reading(engine).events(after=BEGINNING) == []


STEPS = st.lists(st.one_of(st.integers(1, 3), st.integers(-12, -1), st.none()), max_size=40)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_an_index_that_lived_through_anything_equals_one_rebuilt(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | None]
) -> None:
    """P11e, threat 53. A number adds blocks or takes some back; None lets the index look."""
    chain, story = ScriptedChain(), honest_job().events + seat_log()
    lived = database_of(tmp_path_factory.mktemp("lived") / "db")
    index = Index(lived, chain)
    told = 0
    for step in steps:
        if step is None:
            index.step()
        elif step > 0:
            chain.add(*story[told : told + step])
            told += step
        else:
            back = chain.take_back(min(-step, len(chain.blocks)))
            told -= len(back)
    chain.add()
    caught_up(index)
    rebuilt = database_of(tmp_path_factory.mktemp("rebuilt") / "db")
    caught_up(Index(rebuilt, chain))
    assert hash_of(lived) == hash_of(rebuilt)
    lived.dispose()
    rebuilt.dispose()


def test_a_step_that_fails_changes_nothing_and_the_next_goes_on(
    chain: ScriptedChain, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 46: killed or full in the middle of a step."""
    index = Index(engine, chain)
    chain.add(*honest_job().events[:4])
    caught_up(index)
    before = hash_of(engine)
    chain.add(*honest_job().events[4:])

    def full(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("heldout.market.service.indexer._fold_jobs", full)
        with pytest.raises(OSError, match="disk full"):
            index.step()
    assert hash_of(engine) == before
    caught_up(index)
    assert Reading(engine).job(JOB)["state"] == "settled"


def test_the_hash_sees_every_table(chain: ScriptedChain, engine: Engine) -> None:
    for event in (*honest_job().events, *seat_log()):
        chain.add(event)
    caught_up(Index(engine, chain))
    whole = hash_of(engine)
    for table in ("events", "jobs", "lanes", "rounds", "votes", "money", "seats"):
        with engine.connect() as connection:
            connection.exec_driver_sql(f"UPDATE {table} SET block = block + 1000")
            assert state_hash(connection) != whole
            connection.rollback()


# -------------------------------------------------------------------------------------------------------- following


class Stumbling(ScriptedChain):
    """Answers with these problems before it works."""

    def __init__(self, *problems: ChainProblem) -> None:
        super().__init__()
        self.problems = list(problems)

    def follow(self, cursor: Cursor, *, most: int, registry: bool = False) -> Followed:
        if self.problems:
            raise self.problems.pop(0)
        return super().follow(cursor, most=most)


def run_until(follower: Follower, condition: Any) -> None:
    import time

    follower.start()
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    follower.stop()


def test_a_chain_that_is_down_for_a_while_costs_nothing_but_time(engine: Engine) -> None:
    """Threat 29."""
    chain = Stumbling(ChainProblem("down"), ChainProblem("still down"))
    chain.add(*honest_job().events)
    blocks: list[int] = []
    follower = Follower(Index(engine, chain), CollectorRegistry(), lambda: blocks.append(1), lambda: 0.0, period_s=0.01)
    assert follower.age == float("inf")
    run_until(follower, lambda: blocks)
    assert (follower.age, follower.failed) == (0.0, None)
    assert Reading(engine).job(JOB)["state"] == "settled"


def test_a_database_that_is_full_for_a_while_costs_nothing_but_time(
    chain: ScriptedChain, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 46."""
    chain.add(*honest_job().events)
    index, blocks, problems = Index(engine, chain), list[int](), [OperationalError("INSERT", {}, OSError("disk full"))]
    step = index.step

    def stumbling() -> Step:
        if problems:
            raise problems.pop()
        return step()

    monkeypatch.setattr(index, "step", stumbling)
    follower = Follower(index, CollectorRegistry(), lambda: blocks.append(1), lambda: 0.0, period_s=0.01)
    run_until(follower, lambda: blocks)
    assert follower.failed is None
    assert Reading(engine).job(JOB)["state"] == "settled"


def test_an_index_that_meets_a_bug_says_so(
    chain: ScriptedChain, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(engine, chain)
    monkeypatch.setattr(index, "step", lambda: 1 // 0)
    follower = Follower(index, CollectorRegistry(), lambda: None, lambda: 0.0)
    run_until(follower, lambda: follower.failed)
    assert follower.failed is not None
    assert "ZeroDivisionError" in follower.failed.message


def test_another_chain_behind_the_same_url_ends_the_index(engine: Engine) -> None:
    """Threat 39."""
    wrong = WrongNetwork("other genesis")
    follower = Follower(Index(engine, Stumbling(wrong)), CollectorRegistry(), lambda: None, lambda: 0.0)
    run_until(follower, lambda: follower.failed)
    assert follower.failed is wrong
