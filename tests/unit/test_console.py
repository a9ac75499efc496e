"""What every command has in common: JSON, exit codes, no questions without a terminal, no control characters."""

import argparse
import io
import json
import os
from pathlib import Path

import pytest

from heldout.market import console, errors
from heldout.market.console import Command, Parser, run_command, run_table
from heldout.market.errors import BadInput, Declined, HeldoutError


def arguments(**values: object) -> argparse.Namespace:
    plain = {"json": False, "network": None, "home": None, "password_file": None, "password_fd": None}
    return argparse.Namespace(**{**plain, **values})


def all_errors(kind: type[HeldoutError] = HeldoutError) -> list[type[HeldoutError]]:
    return [kind, *(sub for direct in kind.__subclasses__() for sub in all_errors(direct))]


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind.__module__ == errors.__name__])
def test_every_error_of_the_tree_has_its_exit_code_and_is_flat_json(
    kind: type[HeldoutError], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(argv: object) -> int:
        raise kind("it went wrong", hint="do better")

    assert run_command(fail, ["--json"]) == kind.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    told = json.loads(err)
    assert set(told) == {"code", "message", "hint", "retryable"}
    assert (told["code"], told["retryable"]) == (kind.code, kind.retryable)


def test_people_get_words_on_stderr_and_nothing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(argv: object) -> int:
        raise BadInput("no such job", hint="look again")

    assert run_command(fail, []) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error [bad_input]: no such job" in err and "hint: look again" in err


def test_interruption_is_exit_code_130() -> None:
    def interrupt(argv: object) -> int:
        raise KeyboardInterrupt

    assert run_command(interrupt, []) == 130


def test_a_full_disk_is_an_error_with_a_code_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    def fill(argv: object) -> int:
        raise OSError(28, os.strerror(28), "journal.db")

    assert run_command(fill, ["--json"]) == 1
    assert json.loads(capsys.readouterr().err)["code"] == "disk_full"


def test_a_wrong_flag_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    def parse(argv: object) -> int:
        Parser(prog="x").parse_args(["--what"])
        return 0

    assert run_command(parse, ["--json"]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "usage"


@pytest.mark.parametrize("hostile", ["\x1b[2Jgone", "a\nerror: forged", "\x9b31m", "\u202egnp.exe", "\r", "\x00"])
def test_control_characters_never_reach_a_terminal(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    """threats.md 74."""
    console.say(f"job {hostile}")
    console.emit(arguments(), None, f"job {hostile}", *console.table(("a",), [(hostile,)]))
    out, err = capsys.readouterr()
    for text in (out, err):
        assert all(c.isprintable() or c == "\n" for c in text)
    assert len(err.splitlines()) == 1 and len(out.splitlines()) == 3


def test_json_goes_to_stdout_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit(arguments(json=True), {"a": 1}, "words")
    console.emit(arguments(json=True), {"b": "\x1b"}, "words")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"a": 1}, {"b": "\x1b"}]


def test_money_in_json_is_exact_in_both_units() -> None:
    """threats.md 90."""
    assert console.amount(1_234_567 * 10**18 + 1) == {
        "tokens": "1234567.000000000000000001",
        "wei": "1234567000000000000000001",
    }


def test_a_table_cuts_nothing_off() -> None:
    long = "0x" + "ab" * 32
    assert console.table(("id", "n"), [(long, 1), ("x", 22)]) == [
        "id".ljust(66) + "  n",
        long + "  1",
        "x".ljust(66) + "  22",
    ]


def test_without_a_terminal_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    console.confirm("Pay?", yes=True)
    with pytest.raises(Declined) as declined:
        console.confirm("Pay?", yes=False)
    assert declined.value.exit_code == 3 and "-y" in declined.value.hint
    with pytest.raises(Declined, match="password"):
        console.ask_password(arguments(network="/nowhere/network.json"), "Password: ")


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    console.say("plain", style="red")
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.say("red", style="red")
    monkeypatch.setenv("NO_COLOR", "1")
    console.say("plain again", style="red")
    assert capsys.readouterr().err == "plain\n\x1b[31mred\x1b[0m\nplain again\n"


def test_a_command_is_imported_only_when_it_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    table = {"broken": Command("cannot even be imported", "heldout.no_such_module:x"), "deep": Command("more", {})}
    assert run_table("heldout", "about", table, ["--help"]) == 0
    assert "cannot even be imported" in capsys.readouterr().out
    with pytest.raises(ModuleNotFoundError):
        run_table("heldout", "about", table, ["broken"])


def test_a_missing_extra_says_what_to_install() -> None:
    table = {"serve": Command("needs something", "no_such_library_at_all:main", "market")}
    with pytest.raises(HeldoutError) as missing:
        run_table("heldout", "about", table, ["serve"])
    assert missing.value.code == "missing_extra" and "heldout[market]" in missing.value.hint


def test_a_typo_is_answered_with_the_nearest_command() -> None:
    with pytest.raises(BadInput) as refused:
        run_table("heldout", "about", {"wallet": Command("", "x:y")}, ["walet"])
    assert "heldout wallet" in refused.value.hint


def test_a_flag_before_its_command_is_told_where_it_belongs() -> None:
    with pytest.raises(BadInput) as refused:
        run_table("heldout", "", {"wallet": Command("", "nowhere:wallet")}, ["--json", "wallet"])
    assert refused.value.hint == "flags stand behind the command: `heldout COMMAND --json`"


def test_the_network_file_is_found_by_flag_then_environment_then_devnet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HELDOUT_STATE", str(tmp_path))
    monkeypatch.delenv("HELDOUT_NETWORK", raising=False)
    monkeypatch.delenv("HELDOUT_HOME", raising=False)
    assert console.network_path(arguments()) == tmp_path / "network.json"
    assert console.home_path(arguments()) == tmp_path / "keys" / "requester"
    monkeypatch.setenv("HELDOUT_NETWORK", "/else/net.json")
    assert console.network_path(arguments()) == Path("/else/net.json")
    assert console.network_path(arguments(network="/flag.json")) == Path("/flag.json")
    with pytest.raises(BadInput) as refused:
        console.load_network(arguments(network=str(tmp_path / "none.json")))
    assert refused.value.code == "no_network"


def test_the_devnets_password_is_only_used_for_the_devnets_keys(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("play-money\n")
    network = str(tmp_path / "network.json")
    assert console.password_path(arguments(network=network)) == tmp_path / "password"
    assert console.password_path(arguments(network=network, home="/elsewhere/keys")) is None
    assert console.password_path(arguments(network=network, password_fd=5)) is None
