"""JSON from strangers: whatever it is, it is a value or a ValueError."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.errors import BadManifest, BadMessage
from heldout.market.jsontext import DEEPEST, canonical_json, nesting, read_json
from heldout.market.manifest import Manifest
from heldout.market.messages import Letter, decode_answer

VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v), max_leaves=20)


@given(VALUES)
def test_what_is_written_is_read_again(value: object) -> None:
    assert read_json(canonical_json(value)) == value


def test_brackets_in_strings_are_no_nesting() -> None:
    text = canonical_json({"a": "[[[[", "b": '"[[', "c": [1, [2]]})
    assert nesting(text) == 3


@pytest.mark.parametrize(
    "value, depth",
    [
        ({"a": [{"b": []}]}, 4),
        ("[[[{", 0),
        (['"[', "\\", ["[["]], 2),
        ({'a\\"{': "\n[\u2028[", "b/\\": [1, 2.5e-7, None, True]}, 2),
    ],
)
def test_brackets_in_strings_are_no_levels(value: object, depth: int) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
        assert nesting(text.encode()) == depth and read_json(text.encode()) == value


@pytest.mark.parametrize("depth, fits", [(DEEPEST, True), (DEEPEST + 1, False), (1_000_000, False)])
def test_a_bomb_of_brackets_is_refused_before_it_is_read(depth: int, fits: bool) -> None:
    """Calldata of `answer` and `announce` is any stranger's: it must not end a node (threat 82)."""
    text = b"[" * depth + b"]" * depth
    if fits:
        assert nesting(text) == depth and read_json(text)[:1] != [0]
        return
    with pytest.raises(ValueError, match="nested deeper"):
        read_json(text)
    assert decode_answer(text) == []
    with pytest.raises(BadMessage):
        Letter.decode(text)
    with pytest.raises(BadManifest):
        Manifest.decode(text)
