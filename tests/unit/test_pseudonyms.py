"""Pseudonyms: stable under one key, unlinkable without it, and no half-written table (issue 6 item 7)."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.console import run_command
from heldout.market.errors import BadInput
from heldout.market.keys import KeyRing
from heldout.requester_cli.main import dispatch
from heldout.requester_cli.pseudonyms import pseudonym, pseudonymised

KEY = bytes(32)
TABLE = "name,age,city\nAda,36,London\nAlan,41,London\nAda,37,\n"


def hidden(text: str, *columns: str, key: bytes = KEY) -> list[list[str]]:
    return list(pseudonymised(io.StringIO(text, newline=""), key, columns))


def test_one_person_stays_one_person_and_the_rest_stays_as_it_is() -> None:
    header, ada, alan, again = hidden(TABLE, "name")
    assert header == ["name", "age", "city"]
    assert ada[0] == again[0] != alan[0]
    assert [row[1:] for row in (ada, alan, again)] == [["36", "London"], ["41", "London"], ["37", ""]]


def test_the_formula_is_the_one_that_is_written_down() -> None:
    """RFC 2104 over `name`, a zero byte and the value."""
    assert pseudonym(KEY, "name", "Ada") == "dc5152f56bf1c915b2ec22ade1fe8248"


def test_equal_values_of_two_columns_cannot_be_matched() -> None:
    _, row = hidden("a,b\nsame,same\n", "a", "b")
    assert row[0] != row[1]


def test_an_empty_value_names_nobody() -> None:
    assert hidden(TABLE, "city")[-1][2] == ""


@given(st.text(min_size=1), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_another_key_gives_another_pseudonym(value: str, key: bytes, other: bytes) -> None:
    value = value.encode(errors="replace").decode()
    assert (pseudonym(key, "c", value) == pseudonym(other, "c", value)) is (key == other)


@pytest.mark.parametrize(
    "text, columns, code",
    [
        (TABLE, ["nam"], "no_such_column"),
        ("a,a\n1,2\n", ["a"], "no_such_column"),
        ("", ["a"], "no_such_column"),
        ("a,b\n1\n", ["a"], "bad_table"),
        ('a,b\n"1,2\n', ["a"], "bad_table"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(text: str, columns: list[str], code: str) -> None:
    with pytest.raises(BadInput) as refused:
        hidden(text, *columns)
    assert refused.value.code == code


@pytest.fixture
def ring(tmp_path: Path) -> list[str]:
    (tmp_path / "password").write_text("correct horse battery\n")
    (tmp_path / "password").chmod(0o600)
    KeyRing.create(tmp_path / "home", "correct horse battery", light=True)
    return ["--home", str(tmp_path / "home"), "--password-file", str(tmp_path / "password")]


def test_the_command_writes_a_private_file_beside_the_table(
    tmp_path: Path, ring: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "people.csv"
    table.write_text(TABLE)
    assert dispatch(["data", "pseudonymise", str(table), "--columns", "name", "city", *ring, "--json"]) == 0
    out = tmp_path / "people.pseudonymous.csv"
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "rows": 3, "columns": ["name", "city"]}
    assert out.stat().st_mode & 0o777 == 0o600
    rows = list(csv.reader(out.open()))
    assert rows[1][1] == "36" and "Ada" not in out.read_text() and "London" not in out.read_text()
    with pytest.raises(BadInput, match="exists"):
        dispatch(["data", "pseudonymise", str(table), "--columns", "name", *ring])


def test_what_spreadsheets_write_keeps_its_rows(tmp_path: Path, ring: list[str]) -> None:
    """A mark before the first name, and line ends of all kinds within a field."""
    rows = [["name", "note"], ["Ada", "one\rtwo\r\nthree"], ["Alan", 'says "no", twice\n']]
    table, out = tmp_path / "people.csv", tmp_path / "out.csv"
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
    assert dispatch(["data", "pseudonymise", str(table), "--columns", "name", "--out", str(out), *ring]) == 0
    with out.open(newline="") as file:
        written = list(csv.reader(file, strict=True))
    assert [row[1] for row in written] == [row[1] for row in rows] and len(written[1][0]) == 32


def test_what_is_in_the_way_is_named(tmp_path: Path, ring: list[str]) -> None:
    table, nowhere = tmp_path / "people.csv", tmp_path / "nowhere" / "out.csv"
    table.write_text(TABLE)
    words = ["data", "pseudonymise", "--columns", "name", *ring]
    with pytest.raises(BadInput, match="nowhere"):
        dispatch([*words, "--out", str(nowhere), "--", str(table)])
    assert run_command(dispatch, [*words, "--json", "--", "."]) != 0
    left = tmp_path / ".people.pseudonymous.csv.1.part"
    left.write_text("of a run that was killed, or of one beside this")
    assert dispatch([*words, "--", str(table)]) == 0 and left.exists()


def test_a_table_that_breaks_in_the_middle_leaves_nothing(tmp_path: Path, ring: list[str]) -> None:
    table = tmp_path / "people.csv"
    table.write_text(TABLE + "broken\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BadInput, match="line 5"):
        dispatch(["data", "pseudonymise", str(table), "--columns", "name", *ring])
    assert sorted(path.name for path in tmp_path.iterdir()) == before
