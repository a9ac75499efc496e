"""A loss of power on a disk that kept only what was synced (threat 48).

The disk is a file: what a filesystem on it has not flushed is not in that file yet. A copy of the file is therefore
what a machine finds that lost its power at that moment, and a file nobody synced is lost from it.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from eth_account import Account

from heldout.market.artifacts import DiskStore, artifact_id
from heldout.market.durable import write_whole
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk of its own"),
]
KEY = b"\x01" * 32
BLOBS = [os.urandom(size) for size in (1, 70_000, 3_000_000)]


@contextmanager
def mounted(disk: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(["mount", "-o", "loop", str(disk), str(at)], check=True, capture_output=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", str(path)], check=True, capture_output=True)
    return path


def keep_journal(folder: Path) -> None:
    with Journal(folder / "journal") as journal:
        for number in range(40):
            journal.put(f"row:{number}", {"number": number})
        journal.delete("row:0")


def find_journal(folder: Path) -> None:
    with Journal(folder / "journal") as journal:
        rows = {key: value["number"] for key, value in journal.items("row:")}
    assert rows == {f"row:{number}": number for number in range(1, 40)}


def keep_artifacts(folder: Path) -> None:
    with DiskStore(folder / "store") as store:
        for blob in BLOBS:
            store.put(blob)


def find_artifacts(folder: Path) -> None:
    with DiskStore(folder / "store") as store:
        assert [b"".join(store.open(artifact_id(sha256(blob).digest()))) for blob in BLOBS] == BLOBS


def keep_keys(folder: Path) -> None:
    KeyRing.create(folder / "keys", "pass word", account_key=KEY, light=True)


def find_keys(folder: Path) -> None:
    assert KeyRing.open(folder / "keys", "pass word").address == Account.from_key(KEY).address


def keep_file(folder: Path) -> None:
    for blob in BLOBS:
        write_whole(folder / "weights", blob)


def find_file(folder: Path) -> None:
    assert (folder / "weights").read_bytes() == BLOBS[-1]


@pytest.mark.parametrize(
    ("keep", "find"),
    [
        (keep_journal, find_journal),
        (keep_artifacts, find_artifacts),
        (keep_keys, find_keys),
        (keep_file, find_file),
    ],
)
def test_what_was_reported_as_done_is_there_after_a_loss_of_power(
    disk: Path, tmp_path: Path, keep: Callable[[Path], None], find: Callable[[Path], None]
) -> None:
    with mounted(disk, tmp_path / "before") as folder:
        careless = folder / "careless"
        careless.write_bytes(BLOBS[1])
        keep(folder)
        shutil.copyfile(disk, tmp_path / "copy")
    with mounted(tmp_path / "copy", tmp_path / "after") as folder:
        careless = folder / "careless"
        assert not careless.exists() or careless.read_bytes() != BLOBS[1], "this disk keeps what nobody synced"
        find(folder)
