"""`heldout` as a person or a script uses it, on a real chain and a real store, with no market service at all (P8)."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from heldout.devnet import Devnet
from heldout.market.artifacts import artifact_id
from heldout.market.console import run_command
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import State
from heldout.market.money import ONE_TOKEN, Wei
from heldout.requester_cli import trying
from heldout.requester_cli.client import Client
from heldout.requester_cli.main import dispatch

pytestmark = pytest.mark.integration
IMAGE = "sha256:" + "00" * 32
"""The process runner needs no image, but terms name one."""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def run_here(folder: Path, words: Sequence[str]) -> Done:
    """One command line in `folder`; there is no TTY."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(dispatch, words)
    return Done(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Desk:
    """A requester's terminal."""

    devnet: Devnet
    folder: Path

    def run(self, *words: str, home: str = "requester") -> Done:
        """In this process, which has imported everything already; `test_it_is_a_program` starts a real one."""
        return run_here(self.folder, self.devnet.command(*words, home=home)[3:])

    def json(self, *words: str) -> Any:
        """The one JSON object of a command that must succeed."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *words: str, home: str = "requester") -> tuple[int, dict[str, Any]]:
        """Exit code and error object of a command that must fail, with nothing on stdout."""
        done = self.run(*words, "--json", home=home)
        assert done.returncode != 0 and done.stdout == "", done.stdout
        return done.returncode, json.loads(done.stderr.splitlines()[-1])

    def edit(self, old: str, new: str, name: str = "job.toml") -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Chain and store. The service the network file names is not there."""
    with Devnet.up(tmp_path_factory.mktemp("cli") / "devnet", service=False) as running:
        yield running


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A digits folder with data and graph."""
    folder = tmp_path_factory.mktemp("template") / "digits"
    subprocess.run([sys.executable, "-m", "heldout", "init", "digits", str(folder)], check=True, capture_output=True)
    for script in ("make_data.py", "make_graph.py"):
        subprocess.run([sys.executable, str(folder / script)], check=True, capture_output=True)
    return folder


@pytest.fixture
def desk(town: Devnet, made: Path, tmp_path: Path) -> Desk:
    folder = tmp_path / "digits"
    shutil.copytree(made, folder)
    desk = Desk(town, folder)
    desk.edit('graph = "graph.onnx"', f'graph = "graph.onnx"\nimage = "{IMAGE}"')
    return desk


def sealed_and_checked(desk: Desk) -> None:
    assert desk.run("data", "seal").returncode == 0
    done = desk.run("job", "check", "--runner", "process")
    assert done.returncode == 0, done.stderr
    assert re.search(r"exactness 0\.\d{6} exactly, 0\.\d{6} in float32, difference [+-]0\.\d{4} points", done.stdout)


# ---------------------------------------------------------------------------------------------- the good road


def test_a_job_goes_from_a_folder_to_the_chain_and_back(desk: Desk) -> None:
    sealed_and_checked(desk)
    plan = desk.json("job", "post", "--dry-run")
    parts = [plan["price_cap"], plan["fee"], plan["bond"]]
    counts = [plan["lanes"], plan["seats"], 1]
    escrow = sum(int(part["wei"]) * count for part, count in zip(parts, counts, strict=True))
    assert int(plan["escrow"]["wei"]) == int(plan["never_more_than"]["wei"]) == escrow
    assert plan["gas"]["conclude"] > 200_000, "the plan goes to the end of the job"
    assert plan["gas"]["post"] > 0 and int(plan["gas_cost"]["wei"]) > 0
    assert desk.run("job", "list", "--json", "--mine").stdout.count(plan["job"]) == 0, "a dry run sends nothing"

    before = desk.json("wallet")
    assert desk.json("job", "post", "-y")["job"] == plan["job"]
    shown = desk.json("job", "show")
    assert (shown["id"], shown["state"], shown["sums"]) == (plan["job"], "open", True)
    held = desk.json("wallet")
    assert int(before["tokens"]["wei"]) + int(before["free"]["wei"]) - escrow == (
        int(held["tokens"]["wei"]) + int(held["free"]["wei"])
    )
    code, refused = desk.refused("job", "post", "-y")
    assert (code, refused["code"]) == (2, "job_exists")

    assert desk.run("job", "cancel", "-y").returncode == 0
    watched = desk.run("job", "watch", "--look-only", "--json")
    assert (watched.returncode, json.loads(watched.stderr)["code"]) == (5, "nothing_bought")
    assert [json.loads(line)["event"] for line in watched.stdout.splitlines()][-1] == "end"
    after = desk.json("wallet")
    assert int(after["tokens"]["wei"]) + int(after["free"]["wei"]) == (
        int(before["tokens"]["wei"]) + int(before["free"]["wei"])
    )


def test_it_is_a_program(desk: Desk) -> None:
    argv = desk.devnet.command("wallet", "--json", home="requester")
    done = subprocess.run(argv, cwd=desk.folder, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["address"] == desk.devnet.keys("requester").address
    piped = subprocess.run([*argv[:3], "no-such-command"], capture_output=True, text=True, timeout=60, check=False)
    assert (piped.returncode, piped.stdout) == (2, "")


def test_what_people_read_says_never_more_than_and_every_deadline(desk: Desk) -> None:
    sealed_and_checked(desk)
    done = desk.run("job", "post", "--dry-run")
    assert "you can never pay more than this" in done.stdout
    for word in (
        "Gas",
        "bids 1 min",
        "work 5 min",
        "commit 2 min",
        "challenge 2 min",
        "comes back",
        "Nothing was sent",
    ):
        assert word in done.stdout


def test_money_goes_in_and_out_to_the_last_unit(desk: Desk) -> None:
    before = desk.json("wallet")
    free = desk.json("deposit", "1.000000000000000001", "-y")["free"]
    assert int(free["wei"]) == int(before["free"]["wei"]) + ONE_TOKEN + 1
    left = desk.json("withdraw", "1.000000000000000001", "-y")["free"]
    assert left == before["free"]
    assert desk.json("wallet") | {"gas": ""} == before | {"gas": ""}


def test_sealing_twice_changes_nothing_and_again_changes_everything(desk: Desk) -> None:
    first = desk.json("data", "seal")
    assert desk.json("data", "seal") == first
    assert desk.json("data", "seal", "--again")["data_root"] != first["data_root"]
    leaves = (desk.folder / ".heldout" / "data" / "leaves").read_bytes()
    name = artifact_id(sha256(leaves).digest())
    with Client(desk.devnet.network) as anybody:
        assert anybody.stores.get(name) == leaves, "uploaded under its own hash"


# ------------------------------------------------------------------------------------- refused before money moves


@pytest.mark.parametrize(
    ("old", "new", "code", "exit_code"),
    [
        ("floor = 0.93", "floor = 0.5", "floor_too_low", 2),
        ("shards = 20", "shards = 12", "bad_job_file", 2),
        ("price = 100", "price = 100000", "stake_too_small", 2),
        ("price = 100", 'price = 100\nfee = "0.000001"', "fee_too_low", 2),
        ("price = 100", "price = 100\nbond = 1", "bond_too_small", 2),
        ("price = 100", "price = 100\ncollateral = 1", "collateral_too_small", 2),
        ('bids = "1 min"', 'bids = "1 s"', "bad_job_file", 2),
        ('graph = "graph.onnx"', 'graph = "job.toml"', "bad_graph", 2),
        ('graph = "graph.onnx"', 'graph = "none.onnx"', "bad_job_file", 2),
    ],
)
def test_a_bad_job_is_refused_by_the_check(desk: Desk, old: str, new: str, code: str, exit_code: int) -> None:
    """Issue 2, bad input; threats.md 69 and 90."""
    assert desk.run("data", "seal").returncode == 0
    desk.edit(old, new)
    assert desk.refused("job", "check", "--runner", "process")[1]["code"] == code
    assert desk.refused("job", "post", "-y")[0] == exit_code
    assert not (desk.folder / ".heldout" / "check.json").exists()


def test_rows_that_a_baseline_is_shown_are_no_other_users_to_read(desk: Desk) -> None:
    """They are the requester's, in the clear, in a folder for temporary files. The baseline looks at who may enter."""
    desk.edit(
        "def main() -> None:\n",
        "def main() -> None:\n    above = [p for p in (IN / 'data').resolve().parents if 'heldout-check' in str(p)]\n"
        "    assert not above[-1].stat().st_mode & 0o077, above\n",
        "task/baseline.py",
    )
    sealed_and_checked(desk)


def test_a_baseline_that_differs_between_runs_is_refused(desk: Desk) -> None:
    desk.edit(
        "    save_file(",
        "    weights['output.weight'] += np.random.default_rng().standard_normal((256, 10))\n    save_file(",
        "task/baseline.py",
    )
    assert desk.run("data", "seal").returncode == 0
    assert desk.refused("job", "check", "--runner", "process")[1]["code"] == "not_deterministic"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("raise SystemExit('the data is not here')", "bad_baseline"),
        (
            "import os; open(os.environ['HELDOUT_OUT'] + '/weights.safetensors', 'wb').write(b'\\x80\\x04')",
            "bad_baseline",
        ),
        (None, "no_baseline"),
    ],
)
def test_a_baseline_that_fails_or_is_missing_is_refused(desk: Desk, script: str | None, code: str) -> None:
    path = desk.folder / "task" / "baseline.py"
    path.unlink()
    if script:
        path.write_text(script)
    assert desk.run("data", "seal").returncode == 0
    refused = desk.refused("job", "check", "--runner", "process")[1]
    assert refused["code"] == code
    if script and "not here" in script:
        assert "the data is not here" in refused["hint"], "the user's own error is shown"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("raise SystemExit('there is no such column')", "there is no such column"),
        ("print('done, and wrote nothing')", ""),
        ("import os; open(os.environ['HELDOUT_OUT'] + '/weights.safetensors', 'wb').write(b'\\x80\\x04')", ""),
    ],
)
def test_a_command_that_fails_is_refused_with_its_last_words(desk: Desk, script: str, says: str) -> None:
    """Who trains it would lose a collateral for the requester's mistake."""
    (desk.folder / "task" / "train.py").write_text(script)
    assert desk.run("data", "seal").returncode == 0
    code, told = desk.refused("job", "check", "--runner", "process")
    assert (code, told["code"]) == (2, "bad_command") and says in told["hint"]
    assert desk.refused("job", "post", "-y")[1]["code"] == "unchecked"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import time; print('{\"epoch\": 1}', flush=True); time.sleep(3600)", "took its first step after"),
        ("import time; print('no metrics'); time.sleep(3600)", "at work, no line of metrics yet"),
    ],
)
def test_a_training_that_started_is_stopped_and_counts(
    desk: Desk, script: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "TRIAL_S", 3600 if "epoch" in script else 1)
    (desk.folder / "task" / "train.py").write_text(script)
    assert desk.run("data", "seal").returncode == 0
    assert told in desk.json("job", "check", "--runner", "process")["command"]


def test_a_job_that_was_not_checked_is_not_posted_by_accident(desk: Desk) -> None:
    assert desk.run("data", "seal").returncode == 0
    assert desk.refused("job", "post", "-y")[1]["code"] == "unchecked"
    dry = desk.run("job", "post", "--dry-run").stdout
    assert "Would be refused now: this task and data have not passed `job check`; run" in dry
    assert [each["code"] for each in desk.json("job", "post", "--dry-run")["refused"]] == ["unchecked"]
    sealed_and_checked(desk)
    assert "Post it: heldout job post" in desk.run("job", "post", "--dry-run").stdout
    with (desk.folder / "task" / "train.py").open("a") as script:
        script.write("# one more line\n")
    assert desk.refused("job", "post", "-y")[1]["code"] == "unchecked", "the task changed since"


def test_data_that_changed_since_it_was_sealed_is_refused(desk: Desk) -> None:
    sealed_and_checked(desk)
    data = desk.folder / "data" / "digits.safetensors"
    raw = bytearray(data.read_bytes())
    raw[-8] ^= 1
    data.write_bytes(raw)
    assert desk.refused("job", "post", "-y")[1]["code"] == "data_changed"


def test_plain_data_never_leaves_the_folder(desk: Desk) -> None:
    """P2.4: what anybody can read holds neither rows, nor what made them, nor the model that was bought, nor the
    folder's own state; check and plan name it all."""
    (desk.folder / "patients.csv").write_text("Anna Smith,malignant")
    (desk.folder / "weights.safetensors").write_bytes(b"as `job fetch` writes it")
    assert desk.run("data", "seal").returncode == 0
    for words in (("job", "check", "--runner", "process"), ("job", "post", "--dry-run")):
        lines = desk.run(*words).stdout.split("PUBLIC")[1].splitlines()
        assert [line.split()[0] for line in lines[1:4]] == ["baseline.py", "train.py", "graph.onnx"]
        assert "patients" not in "".join(lines) and "safetensors" not in "".join(lines)
    with Client(desk.devnet.network, desk.devnet.keys("requester")) as client:
        paths = [file.path for file in client.draft(desk.folder).manifest.files]
    assert paths == ["baseline.py", "train.py"]


# ------------------------------------------------------------------------------------------------ wrong surroundings


def test_without_a_terminal_nothing_is_asked_and_the_flag_is_named(desk: Desk) -> None:
    sealed_and_checked(desk)
    code, told = desk.refused("job", "post")
    assert (code, told["code"]) == (3, "declined") and "-y" in told["hint"]
    code, told = desk.refused("withdraw", "0.5")
    assert code in (3, 8)


def test_an_unfunded_wallet_is_told_what_it_lacks_and_nothing_is_sent(desk: Desk) -> None:
    """Threat 90 and bad input: exit 8."""
    KeyRing.create(desk.devnet.home("pauper"), desk.devnet.password_file.read_text().strip(), light=True)
    sealed = desk.run("data", "seal", home="pauper")
    assert sealed.returncode == 0, sealed.stderr
    dry = desk.run("job", "post", "--dry-run", "--unchecked", home="pauper").stdout
    assert "Would be refused now: the escrow is" in dry and "Post it" not in dry
    code, told = desk.refused("job", "post", "-y", "--unchecked", home="pauper")
    assert (code, told["code"]) == (8, "insufficient_tokens")
    assert desk.run("job", "list", "--mine", "--json", home="pauper").stdout == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code_hash", "0x" + "11" * 32),
        ("genesis", "0x" + "11" * 32),
        ("chain_id", 1),
        ("token", "0x" + "11" * 20),
        ("market", "0x" + "11" * 20),
    ],
)
def test_another_chain_or_contract_is_refused_before_anything_is_signed(
    desk: Desk, field: str, value: object, tmp_path: Path
) -> None:
    """threats.md 39 and 87."""
    altered = tmp_path / "network.json"
    altered.write_text(json.dumps({**json.loads(desk.devnet.network_file.read_text()), field: value}))
    code, told = with_network(desk, altered, "deposit", "1", "-y")
    assert (code, told["code"]) == (7, "wrong_network")


def test_a_dead_rpc_is_exit_7_and_says_that_a_retry_can_help(desk: Desk, tmp_path: Path) -> None:
    altered = tmp_path / "network.json"
    raw = json.loads(desk.devnet.network_file.read_text())
    altered.write_text(json.dumps({**raw, "rpc": ["http://127.0.0.1:9"]}))
    code, told = with_network(desk, altered, "job", "list")
    assert (code, told["code"], told["retryable"]) == (7, "chain_unavailable", True)


def test_a_malformed_network_file_is_exit_2(desk: Desk, tmp_path: Path) -> None:
    for text in ("", "{}", "[]", '{"name": 1}'):
        altered = tmp_path / "network.json"
        altered.write_text(text)
        assert with_network(desk, altered, "job", "list")[0] == 2


def with_network(desk: Desk, network: Path, *words: str) -> tuple[int, dict[str, Any]]:
    home, password = desk.devnet.home("requester"), desk.devnet.password_file
    flags = ["--json", "--network", str(network), "--home", str(home), "--password-file", str(password)]
    done = run_here(desk.folder, [*words, *flags])
    return done.returncode, json.loads(done.stderr.splitlines()[-1])


# ----------------------------------------------------------------------------------------------------------- keys


def test_keys_are_made_backed_up_and_restored_with_every_secret(desk: Desk, tmp_path: Path) -> None:
    """threats.md 83: 0600, encrypted, no password in argv."""
    (tmp_path / "pw").write_text("correct horse\n")
    (tmp_path / "pw").chmod(0o600)
    flags = ["--password-file", str(tmp_path / "pw"), "--json"]
    home, backup, other = (str(tmp_path / name) for name in ("ring", "backup.json", "restored"))

    def heldout(*words: str) -> Done:
        return run_here(tmp_path, [*words, *flags])

    made = heldout("key", "create", "--home", home)
    assert made.returncode == 0, made.stderr
    assert {path.stat().st_mode & 0o777 for path in Path(home).iterdir() if path.is_file()} == {0o600}
    assert heldout("key", "create", "--home", home).returncode == 4
    assert heldout("key", "backup", backup, "--home", home).returncode == 0
    restored = heldout("key", "restore", backup, "--home", other)
    assert json.loads(restored.stdout)["address"] == json.loads(made.stdout)["address"]
    assert heldout("key", "backup", backup, "--home", home).returncode == 4, "a backup is never overwritten"

    (tmp_path / "pw").write_text("another horse\n")
    wrong = heldout("deposit", "1", "-y", "--network", str(desk.devnet.network_file), "--home", other)
    assert (wrong.returncode, json.loads(wrong.stderr)["code"]) == (4, "wrong_password")
    (tmp_path / "pw").chmod(0o644)
    loose = heldout("deposit", "1", "-y", "--network", str(desk.devnet.network_file), "--home", other)
    assert (loose.returncode, json.loads(loose.stderr)["code"]) == (4, "key_mode")


def test_the_client_posts_and_cancels_without_the_command_line(desk: Desk) -> None:
    """The CLI is a layer on `heldout.Client`."""
    town = desk.devnet
    with Client.open(town.network_file, home=town.home("requester"), password_file=town.password_file) as client:
        client.seal(desk.folder)
        posting = client.draft(desk.folder)
        job = client.post(posting)
        assert client.post(posting) == job, "safe to repeat"
        assert client.job(job[:12]).state is State.OPEN
        client.cancel(client.job(job))
        assert client.job(job).final and client.job(job).sums
        assert client.withdraw(Wei(ONE_TOKEN)).ok
