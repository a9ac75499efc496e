"""The command table: every command explains itself, `--help` costs next to nothing, generated pages are current."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import heldout
from heldout.market.console import Command, run_command
from heldout.market.errors import BadInput
from heldout.market.keys import KeyRing
from heldout.requester_cli.main import COMMANDS, dispatch
from heldout.requester_cli.reference import generated, help_of, walk

ROOT = Path(__file__).parents[2]
ALL = list(walk(COMMANDS))
OTHER_ROOMS = ("provider", "validator", "market", "store", "devnet")
HEAVY = ("web3", "numpy", "onnx", "eth_account", "cryptography", "httpx2", "fastapi", "sqlalchemy", "docker", "asyncio")


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse lays its help out otherwise")
@pytest.mark.parametrize("path", generated(ROOT), ids=lambda path: path.name)
def test_generated_files_are_current(path: Path) -> None:
    """If this fails: python -m heldout.requester_cli.reference"""
    assert path.read_text() == generated(ROOT)[path]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_help_that_says_what_it_does(words: tuple[str, ...]) -> None:
    text = help_of(words)
    assert text.startswith(f"usage: heldout {' '.join(words)}")
    assert len([line for line in text.splitlines() if line and not line.startswith((" ", "usage:"))]) >= 2


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_takes_json_and_a_network(words: tuple[str, ...]) -> None:
    text = help_of(words)
    if "COMMAND …" not in text:
        assert "--json" in text and "--network" in text


def test_no_command_takes_a_secret_on_the_command_line() -> None:
    """threats.md 83: the process list shows arguments to everybody."""
    for words in ALL:
        flags = re.findall(r"--([a-z-]+)(?: ([A-Z]+))?", help_of(words))
        secret = {value for name, value in flags if re.search("password|key|secret|mnemonic", name) and value}
        assert secret <= {"FILE", "FD", "DIR"}, words


def test_whatever_costs_money_can_be_confirmed_by_a_flag() -> None:
    for words in [
        ("job", "post"),
        ("job", "cancel"),
        ("job", "accept"),
        ("job", "appeal"),
        ("deposit",),
        ("withdraw",),
    ]:
        assert "--yes" in help_of(words)


def cpu_seconds(*argv: str) -> float:
    """Processor time of a child, the least of five runs."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


@pytest.mark.parametrize("words", [(), ("job",), ("job", "post"), ("provider",), ("validator", "run")], ids=" ".join)
def test_help_costs_at_most_twice_a_bare_python_and_a_little(words: tuple[str, ...]) -> None:
    bare = cpu_seconds(sys.executable, "-c", "pass")
    assert cpu_seconds(sys.executable, "-m", "heldout", *words, "--help") <= 2 * bare + 0.15


@pytest.mark.parametrize("words", [words for words in ALL if words[0] not in OTHER_ROOMS], ids=" ".join)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    script = (
        "import contextlib, io, json, sys\n"
        "from heldout.requester_cli.main import dispatch\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    dispatch({[*words, '--help']!r})\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []


def test_every_target_of_the_table_exists() -> None:
    def targets(commands: dict[str, Command]) -> list[str]:
        found = []
        for command in commands.values():
            found += [command.target] if isinstance(command.target, str) else targets(dict(command.target))
        return found

    for target in targets(COMMANDS):
        module, _, function = target.partition(":")
        if module.startswith("heldout.requester_cli"):
            path = ROOT / "requester_cli" / f"{module.rpartition('.')[2]}.py"
            assert re.search(rf"^def {function}\(", path.read_text(), re.MULTILINE), target


def test_python_dash_m_and_the_client_are_there() -> None:
    done = subprocess.run([sys.executable, "-m", "heldout", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"heldout {heldout.__version__}\n"
    assert sorted(heldout.__all__) == ["Client", "__version__"]
    assert heldout.Client.__module__ == "heldout.requester_cli.client"
    with pytest.raises(AttributeError):
        _ = heldout.no_such_name


def test_a_closed_pipe_ends_quietly() -> None:
    script = f"{sys.executable} -m heldout --help | head -c 10"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["job", "list", "--network", "noise"],
        ["job", "list", "--network", "half.json"],
        ["key", "create", "--password-fd", "9" * 20],
        ["key", "backup", "."],
        ["key", "backup", "/"],
        ["data", "pseudonymise", ".", "--columns", "x"],
        ["market", "hash", "--db", "noise"],
        ["store", "pins", "--store", "http://["],
        ["network", "deploy", "noise", "--rpc", "x", "--out", "y"],
    ],
    ids=" ".join,
)
def test_wrong_words_are_told_in_json_and_never_a_traceback(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("STATE", "HOME"):
        monkeypatch.setenv(f"HELDOUT_{name}", str(tmp_path / "home"))
    Path("noise").write_bytes(bytes(range(128, 256)))
    Path("half.json").write_bytes(b'{"name": "\xff')
    Path("password").write_text("correct horse battery")
    Path("password").chmod(0o600)
    monkeypatch.setenv("HELDOUT_PASSWORD_FILE", "password")
    if words[:2] != ["key", "create"]:
        KeyRing.create(tmp_path / "home", "correct horse battery", light=True)
    assert run_command(dispatch, [*words, "--json"]) > 0
    told = capsys.readouterr()
    assert told.out == "" and {"code", "message", "hint"} <= json.loads(told.err).keys()


def test_block_time_is_not_sent_back() -> None:
    """Before anything is asked of a chain."""
    with pytest.raises(BadInput, match="moves on only"):
        dispatch(["devnet", "warp", "-5"])
