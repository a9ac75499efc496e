"""Log lines of strangers: bounded and inert. Threat row 74, hostile case 14."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from heldout.market.sandbox.logs import LineCutter, clean, log_hash


def cut(*chunks: bytes, total: int = 1000, line: int = 100) -> list[str]:
    cutter = LineCutter(total, line)
    return [line for chunk in chunks for line in cutter.feed(chunk)] + cutter.end()


def test_lines_are_found_across_chunks() -> None:
    assert cut(b"on", b"e\ntwo\nth", b"ree") == ["one", "two", "three"]


def test_a_long_line_is_cut_and_the_next_is_whole() -> None:
    assert cut(b"x" * 150 + b"\nnext\n") == ["x" * 100, "next"]


def test_an_endless_line_holds_no_more_memory_than_a_line() -> None:
    cutter = LineCutter(10**6, 100)
    for _ in range(1000):
        cutter.feed(b"y" * 900)
    assert cutter.end() == ["y" * 100]


def test_what_is_above_the_total_is_dropped_and_said() -> None:
    assert cut(b"abc\n" * 4, b"more\n", total=10) == ["abc", "abc", "ab", "[the rest of the log is not kept]"]


def test_control_characters_disappear() -> None:
    assert clean("a\x1b[31mb\tc\x07\u202ed\r") == "a[31mb cd"


@given(st.binary(max_size=600), st.integers(1, 50), st.integers(1, 300))
def test_how_output_is_chopped_changes_no_line(output: bytes, size: int, total: int) -> None:
    chunks = [output[start : start + size] for start in range(0, len(output), size)]
    assert cut(*chunks, total=total, line=40) == cut(output, total=total, line=40)


@given(st.binary(max_size=300))
def test_no_output_can_carry_a_control_character(output: bytes) -> None:
    assert not any(ord(c) < 32 or ord(c) == 127 for line in cut(output) for c in line)


def test_the_hash_is_of_the_clean_lines() -> None:
    assert log_hash([b"a\x07\nb"]) == hashlib.sha256(b"a\nb\n").digest()
