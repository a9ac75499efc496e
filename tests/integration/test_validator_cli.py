"""`heldout validator …` as its users type it, and a node that is killed where it hurts most."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from court import PERFECT, Court, held_court

from heldout.devnet import accounts
from heldout.market.errors import AlreadyRunning, Declined
from heldout.market.failpoint import VARIABLE
from heldout.market.lifecycle import State
from heldout.market.money import ONE_TOKEN

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with held_court(tmp_path_factory.mktemp("devnet")) as court:
        yield court


def heldout(court: Court, *words: str, home: Path | str = "validator-0", code: int = 0) -> Any:
    """The JSON a command prints. Fails with its words if it does not exit with `code`."""
    at = court.devnet.home(home) if isinstance(home, str) else home
    argv = [*court.devnet.command("validator", *words), "--home", str(at), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{words} exited {done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout if done.stdout else done.stderr.splitlines()[-1])


def start(court: Court, failpoint: str = "") -> "subprocess.Popen[bytes]":
    argv = [*court.devnet.command("validator", "run", home="validator-0"), "--period", "0.1", "--relay-grace", "0"]
    log = (court.devnet.state / "validator.log").open("ab")
    return subprocess.Popen(argv, env={**os.environ, VARIABLE: failpoint}, stderr=log, stdout=log)


def mining_until(court: Court, holds: Any, patience_s: float = 60) -> None:
    give_up = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < give_up, (court.devnet.state / "validator.log").read_text()[-3000:]
        court.devnet.mine()
        time.sleep(0.3)


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "score-v1.md").read_text()


def test_a_node_killed_around_its_commit_votes_once_and_reveals(court: Court, tmp_path: Path) -> None:
    """Threats 41, 42, 44; P9.5, P11b, P11d. Its replay shows, row by row, where another's votes part from its own."""
    case = court.case()
    court.send_weights(case)
    court.send_held_out_keys(case)

    first = start(court, "before_commit")
    mining_until(court, lambda: first.poll() is not None)
    assert first.returncode == -signal.SIGKILL
    assert not court.look(case).rounds[0].commits, "the salt is on disk before anything is sent"

    second = start(court, "after_commit")
    mining_until(court, lambda: second.poll() is not None)
    assert second.returncode == -signal.SIGKILL
    heldout(court, "replay", case.id, code=Declined.exit_code)

    third = start(court)
    try:
        mining_until(court, lambda: court.look(case).state >= State.SCORED)
        assert heldout(court, "run", code=AlreadyRunning.exit_code)["code"] == "already_running"
        mining_until(court, lambda: [d["state"] for d in heldout(court, "duties")["duties"]] == ["revealed"] * 3)
        duties = heldout(court, "duties")["duties"]
    finally:
        third.send_signal(signal.SIGTERM)
    assert third.wait(20) == 0
    assert all(duty["vote"] == [PERFECT] for duty in duties)
    commits = court.chain.events(1, court.chain.head().number, job=case.id, names=["Committed"])
    assert len(commits) == len({event.args["seat"] for event in commits}) == 3
    compared = heldout(court, "replay", case.id, "--rows", str(tmp_path / "mine"))
    assert compared["agree"] and [row["mine"] for row in compared["votes"]] == [PERFECT] * 3

    lanes = json.loads((tmp_path / "mine").read_text())
    node, operator, rule = lanes["lanes"]["0"]["nodes"][0]
    prediction, digests = lanes["lanes"]["0"]["rows"][2]
    lanes["lanes"]["0"]["rows"][2] = [prediction + 1, "f" * 8 + digests[8:]]
    (tmp_path / "theirs").write_text(json.dumps(lanes))
    parted = heldout(court, "replay", case.id, "--against", str(tmp_path / "theirs"))["rows"]
    assert [list(row.values()) for row in parted] == [["0", 2, prediction, prediction + 1, node, operator, rule]]
    assert rule in PAGE, "the rule is a section of the standard"
    assert not (court.devnet.home("validator-0") / "scratch").exists(), "no plaintext outlives the node"
    assert heldout(court, "replay", case.id[:12])["agree"], "the beginning of an id will do"
    undrawn, password = tmp_path / "undrawn", ("--password-file", str(court.devnet.password_file))
    heldout(court, "init", *password, home=undrawn)
    assert heldout(court, "replay", case.id, *password, home=undrawn, code=4)["code"] == "not_drawn"


def test_a_stranger_becomes_a_validator_and_leaves_again(court: Court, tmp_path: Path) -> None:
    """P5.1, P5.5: the hot key votes, the cold key owns."""
    home, password = tmp_path / "node", ("--password-file", str(court.devnet.password_file))
    cold = (
        "--cold",
        str(court.devnet.home("validator-3-cold")),
        "--cold-password-file",
        str(court.devnet.password_file),
    )
    owner = court.devnet.keys("validator-3-cold").address

    hot = heldout(court, "init", *password, home=home)["hot"]
    assert (home / "account.json").stat().st_mode & 0o777 == 0o600

    plan = heldout(court, "stake", "2", *cold, *password, "--dry-run", home=home)
    assert plan["stake"]["tokens"] == "2000.0000" and not plan["sent"] and plan["refused"] is None
    poor = ("--cold", str(home), "--cold-password-file", str(court.devnet.password_file))
    refused = heldout(court, "stake", "2", *poor, *password, "--dry-run", home=home)["refused"]
    assert refused["code"] == "insufficient_tokens"
    assert court.chain.free(owner) == 0, "a dry run sends nothing"
    assert heldout(court, "stake", "2", *cold, *password, home=home, code=Declined.exit_code)["code"] == "declined"

    staked = heldout(court, "stake", "2", *cold, *password, "-y", home=home)
    seats = staked["seat_numbers"]
    assert {court.chain.seat(seat).hot for seat in seats} == {hot}
    assert {court.chain.seat(seat).cold for seat in seats} == {owner}

    sick = heldout(court, "doctor", *password, home=home, code=1)
    assert [check["check"] for check in sick["checks"] if not check["ok"]] == ["gas"]
    court.devnet.anvil.call("anvil_setBalance", hot, hex(10**18))
    assert heldout(court, "doctor", *password, home=home)["ok"]
    shown = heldout(court, "status", home=home)
    assert [seat["seat"] for seat in shown["seats"]] == seats and shown["node"] is None

    assert heldout(court, "unstake", *cold, "-y", home=home)["sent"]
    assert not heldout(court, "unstake", *cold, "-y", home=home)["sent"], "the delay has only begun"
    court.devnet.warp(court.chain.parameters().exit_delay + 1)
    assert heldout(court, "unstake", *cold, "-y", home=home)["sent"]
    assert court.chain.free(owner) == 2_000 * ONE_TOKEN

    court.devnet.mine(court.devnet.network.confirmations + 1)
    again = heldout(court, "stake", "2", *cold, *password, "-y", home=home)
    assert {court.chain.seat(seat).cold for seat in again["seat_numbers"]} == {owner}, "and comes back"
    assert again["tx"] != staked["tx"] and court.chain.free(owner) == 0
    heldout(court, "unstake", *cold, "-y", home=home)


def test_the_slashing_table_is_shown_before_any_stake(court: Court) -> None:
    """Issue 2, item 6: in tokens, at the bounds of the fee."""
    cold = str(court.devnet.home("validator-4-cold"))
    court.devnet.keys("validator-4-cold")
    argv = [*court.devnet.command("validator", "stake", "3", "--cold", cold, "--dry-run", home="validator-0")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    for words in ("3,000.0000", "does not commit in time", "500.0000", "250.0000"):
        assert words in done.stderr
    assert done.stdout.strip() == "nothing was sent" and accounts.PASSWORD not in done.stderr


@pytest.mark.parametrize("words, code", [(("stake", "0", "--cold", "x"), 2), (("replay", "0x" + "00" * 32), 1)])
def test_bad_input_gets_a_code_and_a_hint(court: Court, words: tuple[str, ...], code: int) -> None:
    told = heldout(court, *words, code=code)
    assert told["code"] and told["hint"]
