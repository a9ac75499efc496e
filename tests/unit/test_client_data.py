"""Sealing: nothing repeats over shards, nothing can be recognised, and a lost disk can be made again (P2.4)."""

from array import array
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.market import sealing
from heldout.market.errors import BadEnvelope, BadInput
from heldout.market.weights import Tensor, decode, encode, row_bytes
from heldout.requester_cli.dataset import open_all, overlaps, padded_size, seal
from heldout.requester_cli.project import Project
from tests.builders import digest

TEMPLATE = (files("heldout.requester_cli") / "templates" / "digits" / "job.toml").read_text()
SECRET, SALT = digest("secret"), digest("data salt")


def rows(values: list[float]) -> bytes:
    """A data file: x is [n, 2], y its row number."""
    x = array("f", [part for value in values for part in (value, value + 0.5)])
    y = array("q", range(len(values)))
    shape = (len(values), 2)
    return encode({"x": Tensor("F32", shape, x.tobytes()), "y": Tensor("I64", shape[:1], y.tobytes())})


def all_rows(parts: list[bytes]) -> list[bytes]:
    return [row for part in parts for row in row_bytes(decode(part))]


@settings(max_examples=25, deadline=None)
@given(st.integers(16, 90), st.integers(16, 20))
def test_every_row_is_in_exactly_one_shard(count: int, shards: int) -> None:
    if count < shards:
        return
    file = rows([float(i) for i in range(count)])
    sealed = seal([file], SECRET, SALT, shards)
    parts = list(open_all(sealed, SECRET))
    assert sorted(all_rows(parts)) == sorted(row_bytes(decode(file)))
    assert sum(sealed.about.rows) == count and max(sealed.about.rows) - min(sealed.about.rows) <= 1
    assert [decode(part)["y"].shape[0] for part in parts] == list(sealed.about.rows)
    assert overlaps(parts) == 0


def test_all_sealed_shards_have_one_size_and_another_salt_shares_no_byte_of_order() -> None:
    file = rows([float(i) for i in range(100)])
    one, two = seal([file], SECRET, SALT, 16), seal([file], SECRET, digest("another"), 16)
    assert {len(blob) for blob in one.sealed} == {one.about.shard_bytes + sealing.SEAL_OVERHEAD}
    assert not set(one.sealed) & set(two.sealed)
    assert all_rows(list(open_all(one, SECRET))) != all_rows(list(open_all(two, SECRET)))


def test_the_same_secret_and_salt_seal_to_the_same_bytes() -> None:
    file = rows([float(i) for i in range(40)])
    assert seal([file], SECRET, SALT, 20) == seal([file], SECRET, SALT, 20)


def test_another_secret_opens_nothing() -> None:
    sealed = seal([rows([float(i) for i in range(40)])], SECRET, SALT, 20)
    with pytest.raises(BadEnvelope):
        next(open_all(sealed, digest("stranger")))


def test_a_row_that_occurs_twice_is_refused_or_dropped() -> None:
    """A provider that trains on a held-out row has been given the answer."""
    file = rows([*map(float, range(30)), 3.0])
    with pytest.raises(BadInput, match="1 of 31 rows") as refused:
        seal([file], SECRET, SALT, 16)
    assert refused.value.code == "duplicate_rows"
    assert sum(seal([file], SECRET, SALT, 16, drop_duplicates=True).about.rows) == 30


def test_the_same_x_under_another_label_is_a_duplicate_too() -> None:
    with pytest.raises(BadInput, match="repeat the x"):
        seal([rows([1.0, *map(float, range(20))])], SECRET, SALT, 16)


def test_overlaps_over_shards_are_counted() -> None:
    assert overlaps([rows([1.0, 2.0]), rows([2.0, 3.0]), rows([1.0])]) == 2


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(BadInput) as refused:
        seal([rows([1.0, 2.0])], SECRET, SALT, 16)
    assert refused.value.code == "too_few_rows"


@pytest.mark.parametrize("data", [b"", b"\x80\x04pickle", b"PK\x03\x04zip", b"\x93NUMPY"])
def test_pickle_and_zip_are_refused_unread(data: bytes) -> None:
    """threats.md 63."""
    with pytest.raises(BadInput, match="the data cannot be read") as refused:
        seal([data], SECRET, SALT, 16)
    assert (refused.value.code, bool(refused.value.hint)) == ("bad_data", True)


@pytest.mark.parametrize("size", [1, 1015, 1016, 1017, 5000])
def test_padding_holds_the_longest_shard_and_little_more(size: int) -> None:
    padded = padded_size(size)
    assert padded % 1024 == 0 and len(sealing.pad_shard(bytes(size), padded)) == padded
    with pytest.raises(ValueError):
        sealing.pad_shard(bytes(size), padded - 1024)


def test_the_held_out_rows_are_counted_for_the_worst_draw() -> None:
    """P1.5: the operation cap must cover whichever shards the chain draws."""
    about = seal([rows([float(i) for i in range(35)])], SECRET, SALT, 16).about
    assert about.held_out_rows(4) == sum(sorted(about.rows)[-4:])


def test_a_sealed_file_that_changed_on_disk_is_named_before_anything_is_uploaded(tmp_path: Path) -> None:
    """Bad input: a shard that does not match its root loses nothing but the time to seal again."""
    for name, text in (("job.toml", TEMPLATE), ("graph.onnx", "")):
        (tmp_path / name).write_text(text)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.safetensors").write_bytes(rows([float(i) for i in range(40)]))
    project = Project(tmp_path)
    shards = seal(project.data_files(), SECRET, SALT, 20)
    project.save_shards(shards)
    assert project.shards() == shards
    for spoiled in ("07.sealed", "leaves"):
        path = tmp_path / ".heldout" / "data" / spoiled
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(BadInput, match=spoiled) as refused:
            project.shards()
        assert (refused.value.code, "--again" in refused.value.hint) == ("damaged_file", True)
        path.write_bytes(good)
