"""Key rings (threat 83, P4.2): 0600, encrypted, never overwritten, restorable from one file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from heldout.market import keys
from heldout.market.errors import Declined, KeyProblem
from heldout.market.keys import KeyRing, backup, given_password, open_ring, restore

PASSWORD = "correct horse battery"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.create(tmp_path / "ring", PASSWORD, light=True)


def test_a_ring_opens_with_its_password_and_is_the_same(ring: KeyRing, tmp_path: Path) -> None:
    again = KeyRing.open(tmp_path / "ring", PASSWORD)
    assert again.address == ring.address == KeyRing.address_of(tmp_path / "ring")
    assert (again.wrap_private, again.vote_secret, again.data_secret) == (
        ring.wrap_private,
        ring.vote_secret,
        ring.data_secret,
    )
    assert again.seed(b"job", b"lane") == ring.seed(b"job", b"lane") != ring.seed(b"jobl", b"ane")


def test_every_secret_is_for_one_purpose(ring: KeyRing) -> None:
    secrets = {ring.wrap_private, ring.vote_secret, ring.data_secret, ring.seed(), bytes(ring.account.key)}
    assert len(secrets) == 5


def test_a_wrong_password_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(KeyProblem) as refused:
        KeyRing.open(tmp_path / "ring", "wrong horse battery")
    assert refused.value.code == "wrong_password"


def test_no_key_lies_on_disk_in_clear(ring: KeyRing, tmp_path: Path) -> None:
    on_disk = b"".join(path.read_bytes() for path in (tmp_path / "ring").iterdir()).lower()
    for secret in (bytes(ring.account.key), ring._root):
        assert secret.hex().encode() not in on_disk and secret not in on_disk


@pytest.mark.parametrize("name", ["account.json", "secret.json"])
def test_a_key_file_others_may_read_is_refused(ring: KeyRing, tmp_path: Path, name: str) -> None:
    """Threat 83."""
    path = tmp_path / "ring" / name
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyProblem, match="0640") as refused:
        KeyRing.open(tmp_path / "ring", PASSWORD)
    assert refused.value.code == "key_mode"


def test_a_key_is_never_overwritten(ring: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(KeyProblem) as refused:
        KeyRing.create(tmp_path / "ring", PASSWORD, light=True)
    assert refused.value.code == "keys_exist"
    assert KeyRing.open(tmp_path / "ring", PASSWORD).address == ring.address


def test_a_backup_restores_every_secret(ring: KeyRing, tmp_path: Path) -> None:
    backup(tmp_path / "ring", tmp_path / "backup.json")
    assert (tmp_path / "backup.json").stat().st_mode & 0o777 == 0o600
    again = restore(tmp_path / "backup.json", tmp_path / "new", PASSWORD)
    assert (again.address, again.data_secret, again.vote_secret) == (ring.address, ring.data_secret, ring.vote_secret)


def test_a_restore_never_overwrites_and_needs_the_password(ring: KeyRing, tmp_path: Path) -> None:
    backup(tmp_path / "ring", tmp_path / "backup.json")
    with pytest.raises(KeyProblem, match="already"):
        restore(tmp_path / "backup.json", tmp_path / "ring", PASSWORD)
    with pytest.raises(KeyProblem, match="wrong password"):
        restore(tmp_path / "backup.json", tmp_path / "new", "wrong horse battery")
    assert not (tmp_path / "new").exists()


def test_a_backup_that_is_absent_or_lacks_a_key_is_refused_and_leaves_nothing(ring: KeyRing, tmp_path: Path) -> None:
    hollow = tmp_path / "hollow"
    hollow.write_text('{"format": "heldout-keys-v1"}')
    hollow.chmod(0o600)
    for file, code in ((hollow, "key_damaged"), (tmp_path / "absent", "no_keys")):
        with pytest.raises(KeyProblem) as refused:
            restore(file, tmp_path / "new", PASSWORD)
        assert refused.value.code == code
    assert not (tmp_path / "new").exists()


def test_an_absent_password_file_is_not_taken_for_an_absent_key(ring: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(KeyProblem) as refused:
        open_ring(tmp_path / "ring", password_file=tmp_path / "absent")
    assert refused.value.code == "no_password"


def test_a_flipped_byte_of_a_key_file_is_noticed(ring: KeyRing, tmp_path: Path) -> None:
    """Threat 47: for the ciphertext and for the text around it."""
    path = tmp_path / "ring" / "secret.json"
    store = json.loads(path.read_text())
    ciphertext = store["crypto"]["ciphertext"]
    store["crypto"]["ciphertext"] = ("0" if ciphertext[0] != "0" else "1") + ciphertext[1:]
    path.write_text(json.dumps(store))
    with pytest.raises(KeyProblem):
        KeyRing.open(tmp_path / "ring", PASSWORD)
    path.write_text("{")
    with pytest.raises(KeyProblem) as damaged:
        KeyRing.open(tmp_path / "ring", PASSWORD)
    assert damaged.value.code == "key_damaged"


def test_an_address_that_is_not_the_keys_is_noticed(ring: KeyRing, tmp_path: Path) -> None:
    """Threat 47: `heldout wallet` shows it without a password, and somebody sends money there."""
    path = tmp_path / "ring" / "account.json"
    store = json.loads(path.read_text())
    path.write_text(json.dumps(store | {"address": store["address"][:-1] + "0f"[store["address"][-1] == "0"]}))
    with pytest.raises(KeyProblem, match="another address"):
        KeyRing.open(tmp_path / "ring", PASSWORD)


def test_a_disk_that_fills_up_between_two_files_leaves_neither(ring: KeyRing, tmp_path: Path) -> None:
    """Threat 46: the same command goes on once there is room."""
    backup(tmp_path / "ring", tmp_path / "backup")
    copy = tmp_path / "copy"
    in_the_way = copy / f".secret.json.{os.getpid()}"
    in_the_way.mkdir(parents=True)
    with pytest.raises(OSError):
        KeyRing.create(copy, PASSWORD, light=True)
    with pytest.raises(OSError):
        restore(tmp_path / "backup", copy, PASSWORD)
    assert [path.name for path in copy.iterdir()] == [in_the_way.name]
    in_the_way.rmdir()
    assert restore(tmp_path / "backup", copy, PASSWORD).address == ring.address


@pytest.mark.parametrize("name", ["account.json", "secret.json"])
@pytest.mark.parametrize("store", [None, 1, "x", [], {"crypto": 1}])
def test_a_backup_of_something_else_is_refused(ring: KeyRing, tmp_path: Path, name: str, store: object) -> None:
    file = tmp_path / "backup"
    backup(tmp_path / "ring", file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: store}))
    with pytest.raises(KeyProblem):
        restore(file, tmp_path / "copy", PASSWORD)
    assert not (tmp_path / "copy").exists()


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="at least"):
        KeyRing.create(tmp_path / "ring", "short")
    assert not (tmp_path / "ring").exists()


def test_a_password_comes_from_a_private_file_or_a_descriptor(ring: KeyRing, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    assert open_ring(tmp_path / "ring", password_file=file).address == ring.address
    read, write = os.pipe()
    os.write(write, PASSWORD.encode() + b"\nmore")
    os.close(write)
    assert given_password(None, read) == PASSWORD
    os.close(read)
    file.chmod(0o644)
    with pytest.raises(KeyProblem) as loose:
        open_ring(tmp_path / "ring", password_file=file)
    assert loose.value.code == "key_mode"


def test_nobody_is_asked_without_a_terminal(ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
    with pytest.raises(Declined):
        open_ring(tmp_path / "ring")


def test_a_terminal_gets_three_tries(ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["wrong horse", "wrong again", PASSWORD]
    monkeypatch.setattr(keys, "_ask", lambda _: answers.pop(0))
    assert open_ring(tmp_path / "ring").address == ring.address
    answers[:] = ["wrong horse"] * 4
    with pytest.raises(KeyProblem):
        open_ring(tmp_path / "ring")
    assert len(answers) == 1


def test_a_missing_ring_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem) as missing:
        KeyRing.open(tmp_path, PASSWORD)
    assert (missing.value.code, "key create" in missing.value.hint) == ("no_keys", True)
