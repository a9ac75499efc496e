"""Terms from a folder: defaults the contract takes, bounds with the job file's line, and a plan that sums (P2.2)."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from heldout.market.chain.views import Block, Limits, Parameters, Window
from heldout.market.errors import BadJobFile, InsufficientFunds
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.narration import clock
from heldout.market.posting.drafting import GraphFacts, SealedData
from heldout.market.posting.plan import Plan
from heldout.market.settings import Network
from heldout.market.terms import Address, BlockNumber, JobTerms, Timestamp, job_id
from heldout.requester_cli import posting as p
from heldout.requester_cli.project import Project
from tests.builders import REQUESTER, digest

ANY = Window(5, 10**6)
MARKET = Parameters(
    token=Address("0x" + "44" * 20),
    beacon=Address("0x" + "55" * 20),
    seat_stake=Wei(1000 * ONE_TOKEN),
    minimum_fee=Wei(ONE_TOKEN // 10),
    exit_delay=100,
    limits=Limits(ANY, ANY, ANY, ANY, ANY, ANY, 2**20, 2**20, 10**6),
)
NETWORK = Network(
    "unit",
    31337,
    "0x",
    ("http://127.0.0.1:9",),
    "0x" + "33" * 20,
    "0x",
    0,
    "0x",
    (),
    images={"linux/amd64": "sha256:ab"},
)
SEALED = SealedData(digest("salt"), digest("root"), 20, 4096, (90,) * 19 + (87,), "")
JOB = """
[job]
name = "unit"
[task]
command = ["python", "/in/task/train.py"]
graph = "graph.onnx"
[data]
path = "data"
[score]
metric = "accuracy"
floor = 0.9
target = 0.95
[pay]
price = 100
"""
Draft = Callable[..., p.Posting]


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draft:
    """Drafts a job file with lines added after `price`. Graph and sealing are other modules' tests."""

    def make(*lines: str, text: str = JOB, market: Parameters = MARKET, sealed: SealedData = SEALED) -> p.Posting:
        (tmp_path / "job.toml").write_text(text + "\n".join(lines))
        (tmp_path / "task").mkdir(exist_ok=True)
        (tmp_path / "task" / "train.py").write_text("pass")
        (tmp_path / "graph.onnx").write_bytes(b"graph")
        monkeypatch.setattr(p, "read_graph", lambda graph: GraphFacts(operations_per_row=1000, weights_bytes=5000))
        monkeypatch.setattr(Project, "sealed_data", lambda self: sealed)
        return p.draft(Project(tmp_path), NETWORK, market, REQUESTER, digest("wrap"))

    return make


def least_that_the_contract_takes(terms: JobTerms) -> bool:
    """P2.2 in one expression."""
    value = terms.lanes * terms.priceCap
    return (
        MARKET.minimum_fee <= terms.fee <= MARKET.seat_stake // 32
        and 5 * terms.collateral >= terms.priceCap
        and terms.collateral >= terms.committee * terms.fee
        and 5 * terms.bond >= value
        and 4 * value <= MARKET.seat_stake * (terms.committee + 1)
        and terms.lanes * terms.operationCap <= MARKET.limits.operations_per_second * terms.commitWindow
    )


@pytest.mark.parametrize("price", ["1", "100", "333.333333333333333333", "1000"])
@pytest.mark.parametrize("committee", [3, 5, 7])
@pytest.mark.parametrize("lanes", [1, 8])
def test_defaults_are_what_the_contract_takes(draft: Draft, price: str, committee: int, lanes: int) -> None:
    if float(price) * lanes > 1000:
        price = str(1000 / lanes)
    lines = [f"lanes = {lanes}", f"validators = {committee}", "[deadlines]", 'commit = "1 h"']
    text = JOB.replace("price = 100", f'price = "{price}"')
    terms = draft(*lines, text=text).terms
    assert least_that_the_contract_takes(terms)
    assert terms.escrow == lanes * terms.priceCap + committee * terms.fee + terms.bond


def test_the_job_is_named_by_its_terms_and_the_salt_is_the_datas(draft: Draft) -> None:
    """P2.1. Shard keys can be derived again from the key ring and the chain alone."""
    made = draft()
    assert made.job == job_id(made.terms, NETWORK.chain_id, NETWORK.market)
    assert (made.terms.salt, made.terms.dataRoot) == (SEALED.salt, SEALED.root)
    assert made.terms.taskHash == made.manifest.task_hash
    assert {file.path for file in made.manifest.files} == {"train.py"}
    assert made.manifest.image == {"linux/amd64": "sha256:ab"}


def test_the_operation_cap_covers_the_largest_draw(draft: Draft) -> None:
    assert draft().terms.operationCap == 1000 * 6 * 90


def test_a_check_is_of_one_task_one_data_set_and_one_floor(draft: Draft) -> None:
    one = draft().subject
    assert draft("fee = 1").subject == one, "what is paid does not change what was checked"
    assert draft(sealed=replace(SEALED, root=digest("other"))).subject != one
    assert draft(text=JOB.replace("floor = 0.9", "floor = 0.91")).subject != one


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("fee = 0.4", "fee_too_low", "at least 0.5000"),
        ("fee = 40", "fee_too_high", "at most 31.2500"),
        ("bond = 19.9", "bond_too_small", "at least 20.0000"),
        ("collateral = 19.9", "collateral_too_small", "at least 20.0000"),
        ("lanes = 8\nvalidators = 3\nprice_ = 0", "bad_job_file", "no key"),
    ],
)
def test_money_out_of_bounds_is_refused_with_its_line(draft: Draft, line: str, code: str, says: str) -> None:
    with pytest.raises(BadJobFile) as refused:
        draft(*line.split("\n"))
    number = len(JOB.splitlines()) + len(line.split("\n"))
    assert refused.value.code == code and says in refused.value.message
    assert f"job.toml:{number}:" in refused.value.message


def test_more_than_the_committees_stake_can_back_is_refused(draft: Draft) -> None:
    """P2.2: V <= S * (n + 1) / 4."""
    with pytest.raises(BadJobFile) as refused:
        draft(text=JOB.replace("price = 100", "price = 1001"))
    assert refused.value.code == "stake_too_small"


def test_work_that_cannot_be_scored_in_time_is_refused(draft: Draft) -> None:
    """P1.5: no terms can fine honest seats for work that cannot be done in time."""
    with pytest.raises(BadJobFile, match="operations to score"):
        draft(market=replace(MARKET, limits=replace(MARKET.limits, operations_per_second=100)))
    with pytest.raises(BadJobFile, match="bytes of weights"):
        draft(market=replace(MARKET, limits=replace(MARKET.limits, weights_bytes=100)))
    with pytest.raises(BadJobFile, match="bytes of a shard"):
        draft(market=replace(MARKET, limits=replace(MARKET.limits, shard_bytes=100)))
    with pytest.raises(BadJobFile, match=r"deadlines\.bids: this market allows"):
        draft(market=replace(MARKET, limits=replace(MARKET.limits, bid=Window(5, 60))))


# ---------------------------------------------------------------------------------------------------- plan


def plan(posting: p.Posting, free: int, held: int, gas_money: int = 10**18) -> Plan:
    head = Block(BlockNumber(1), "0x", "0x", Timestamp(1_800_000_000), Wei(10**9))
    gas = {"deposit": 100_000, "post": 200_000}
    return Plan(
        posting.job,
        posting.terms,
        posting.manifest,
        head,
        Wei(free),
        Wei(held),
        Wei(gas_money),
        gas,
        10**9,
        24,
        24,
        2,
        None,
    )


def test_the_plan_deposits_what_the_escrow_lacks_and_no_more(draft: Draft) -> None:
    made = draft()
    escrow = made.terms.escrow
    assert plan(made, 0, escrow).to_deposit == escrow
    assert plan(made, escrow - 1, 1).to_deposit == 1
    assert plan(made, escrow + 1, 0).to_deposit == 0
    plan(made, escrow - 1, 1).refuse_impossible()


def test_what_cannot_be_paid_is_refused_with_exit_code_8(draft: Draft) -> None:
    made = draft()
    for poor, code in (
        (plan(made, 0, made.terms.escrow - 1), "insufficient_tokens"),
        (plan(made, made.terms.escrow, 0, gas_money=1), "insufficient_gas_money"),
    ):
        with pytest.raises(InsufficientFunds) as refused:
            poor.refuse_impossible()
        assert (refused.value.code, refused.value.exit_code) == (code, 8)


def test_the_plan_says_who_gets_what_and_the_most_that_can_be_paid(draft: Draft) -> None:
    made = draft()
    text = "\n".join(plan(made, 0, made.terms.escrow).lines())
    assert "You escrow 122.2500 HELD: you can never pay more than this" in text
    assert "3 × " not in text and "3 seats" in text and "50 % of it at 0.900000" in text
    told = plan(made, 0, made.terms.escrow).as_json()
    assert (
        int(told["never_more_than"]["wei"])
        == made.terms.escrow
        == told["lanes"] * int(told["price_cap"]["wei"])
        + told["seats"] * int(told["fee"]["wei"])
        + int(told["bond"]["wei"])
    )


def test_the_plan_names_every_window_and_promises_no_most_of_gas(draft: Draft) -> None:
    """Answers to demands and appeals are nobody's to foresee."""
    made = draft()
    text = "\n".join(plan(made, made.terms.escrow, 0).lines())
    assert all(name in text for name in ("bids", "work", "release", "commit", "reveal", "challenge"))
    assert "Gas        about" in text and "appeals cost more" in text
    (gas,) = [line for line in text.splitlines() if line.startswith("Gas")]
    assert "at most" not in gas


def test_the_plan_names_who_pays_and_every_file_that_anybody_can_read(draft: Draft) -> None:
    made = draft()
    shown = plan(made, 0, made.terms.escrow)
    lines = shown.lines()
    assert f"Account    {REQUESTER} pays, and signs" in lines
    public = next(number for number, line in enumerate(lines) if line.startswith("PUBLIC"))
    assert [line.split() for line in lines[public + 1 :]] == [["train.py", "4", "B"], ["graph.onnx", "5", "B"]]
    assert shown.as_json()["public"] == [{"path": "train.py", "bytes": 4}, {"path": "graph.onnx", "bytes": 5}]


@pytest.mark.parametrize("name", ["patients.csv", "deep/weights.safetensors", "ROWS.Parquet", "start.pt"])
def test_what_holds_rows_or_weights_is_not_made_public(draft: Draft, tmp_path: Path, name: str) -> None:
    (tmp_path / "task" / name).parent.mkdir(parents=True)
    (tmp_path / "task" / name).write_text("Anna Smith,malignant")
    with pytest.raises(BadJobFile, match="would be PUBLIC") as refused:
        draft()
    assert refused.value.code == "private_file" and name in refused.value.message


@pytest.mark.parametrize("folder", [".", "..", "task/.."])
def test_a_task_folder_that_holds_the_job_folder_is_refused(draft: Draft, folder: str) -> None:
    """Data, and weights that were fetched, lie in there."""
    with pytest.raises(BadJobFile, match="PUBLIC") as refused:
        draft(text=JOB.replace("[task]", f'[task]\ndir = "{folder}"'))
    assert refused.value.code == "public_folder"


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (["python", "/in/task/trian.py"], "trian.py"),
        (["python", "/in/task/lib/../train.py2"], "train.py2"),
        (["sh", "-c", "cd /in/task/lib && python main.py"], "lib"),
        (["python", "/in/task/train.py"], ""),
        (["python", "/in/task/./train.py", "--all=/in/task/", "/in/task"], ""),
        (["sh", "-c", "python /in/task/tr*.py /in/task/$NAME /data/in/task/x"], ""),
    ],
)
def test_a_command_names_files_that_are_there(draft: Draft, command: list[str], missing: str) -> None:
    text = JOB.replace('["python", "/in/task/train.py"]', str(command).replace("'", '"'))
    if not missing:
        assert draft(text=text).manifest.command == tuple(command)
        return
    with pytest.raises(BadJobFile, match=re.escape(f"the task has no {missing}")) as refused:
        draft(text=text)
    assert (refused.value.code, "train.py" in refused.value.hint) == ("no_such_task_file", True)
    assert "job.toml:5:" in refused.value.message


def test_the_plan_of_a_call_says_that_nothing_is_locked_and_until_when(draft: Draft) -> None:
    """P2.5."""
    made = draft()
    called = replace(plan(made, made.terms.escrow, 0), bids_first=True, gas={"open": 270_000})
    text = "\n".join(called.lines())
    assert f"called for until {clock(Timestamp(1_800_000_000 + made.terms.bidWindow))}; nothing is locked" in text
    assert "if nobody is accepted, nothing was ever locked" in text
    assert "everything comes back" not in text
    assert called.as_json()["bids_first"] is True
    assert "you can never pay more than this" in text
